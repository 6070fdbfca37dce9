"""A few of the bad inputs of tests/attack.py, in this process and without root; the program itself runs all of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from attack_files import checkpoint_cases, data_cases, midi_cases
from attack_lay import prepare_shared
from attack_runner import Case, Ran, contents, faults, inside, leftovers, sentences
from attack_settings import settings_cases
from attack_videos import out_cases, video_cases

SEED, EACH = 7, 3


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    shared = tmp_path_factory.mktemp("shared")
    prepare_shared(shared)
    return shared


def kinds(top: Path, rng: np.random.Generator) -> dict[str, Iterator[Case]]:
    return {
        "videos": video_cases(top, rng),
        "out": out_cases(),
        "checkpoints": checkpoint_cases(top, rng),
        "midi": midi_cases(rng),
        "data": data_cases(rng),
        "settings": settings_cases(),
    }


@pytest.mark.parametrize("kind", ["videos", "out", "checkpoints", "midi", "data", "settings"])
def test_bad_input_is_one_sentence_and_touches_nothing(
    kind: str, top: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = np.random.default_rng(SEED)
    refused = [
        case for case in kinds(top, rng)[kind] if case.codes == (1,) and not case.made and "3 GB" not in case.name
    ]
    monkeypatch.setenv("DIFFBGM_DEBUG", "")
    for place, number in enumerate(rng.permutation(len(refused))[:EACH]):
        case, folder = refused[number], top / f"{kind}{place}"
        folder.mkdir()
        case.lay(folder)
        before = contents(folder)
        monkeypatch.chdir(folder)
        capfd.readouterr()
        code = inside([word.replace("{top}", str(top)) for word in case.words])
        assert faults(Ran(code, capfd.readouterr().err, 0.0), case, folder, before) == [], case


def test_what_is_not_held_is_found(tmp_path: Path) -> None:
    """The runner detects every kind of fault."""
    case, before = Case("x", (), made=("made",), says="word"), {"mine": "hash"}
    (tmp_path / "o").mkdir()
    (tmp_path / "o/a.json").write_text("{")
    (tmp_path / ".making.5bce98-16829-38d0a9e7").mkdir()
    found = faults(Ran(0, "one\nTraceback\ntwo failed unexpectedly", 0.0), case, tmp_path, before)
    for fault in ("exit code 0, expected 1", "a traceback", "unexpected: ", "says nothing of word", "mine was changed"):
        assert any(line.startswith(fault) for line in found), fault
    assert {"made was not made", ".making.5bce98-16829-38d0a9e7 is left", "a.json lacks mid", "a.json is cut"} <= {
        *found
    }
    assert faults(Ran(1, "error: a word\n", 0.0), Case("x", (), says="word"), tmp_path / "nowhere", {}) == []
    assert any("2 lines" in line for line in faults(Ran(1, "a\nb\n", 0.0), Case("x", ()), tmp_path / "nowhere", {}))
    assert sentences(
        "diffbgm sample: loading torch ...\ndiffbgm prepare-bgm909: loading torch ...\nusage: x\n\nerror: y\n"
    ) == ["error: y"]
    (tmp_path / "o/a.json").write_text(json.dumps({}))
    assert leftovers(tmp_path, contents(tmp_path)) == []


@pytest.mark.parametrize(
    "name", ["features.jsonl", "config.yaml", "log.jsonl", "songs.csv", "metrics.json", "table.md"]
)
def test_results_that_are_not_ours_stay(name: str, top: Path, monkeypatch: Any, capfd: Any) -> None:
    (case,) = [case for case in out_cases() if case.name.endswith(f": a foreign {name}")]
    folder = top / f"foreign-{name}"
    folder.mkdir()
    case.lay(folder)
    before = contents(folder)
    monkeypatch.chdir(folder)
    assert inside(case.words) == 1
    assert f"{name} is not ours" in capfd.readouterr().err
    assert {key: value for key, value in contents(folder).items() if key in before} == before
