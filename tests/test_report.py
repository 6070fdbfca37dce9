"""Intervals, files and figures of an evaluation."""

import csv
import json

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.evaluation.alignment import Aligned
from diffbgm.evaluation.figures import KeptStates, adv_figure, draw_figures, scape_figure, volume_figure
from diffbgm.evaluation.measure import Row
from diffbgm.evaluation.report import (
    Evaluation,
    bootstrap,
    retrieval_summaries,
    summarise,
    table_rows,
    unknown,
    with_chance,
    write_metrics,
    write_songs,
    write_table,
)
from diffbgm.evaluation.retrieval import drawn
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import encode

TABLE = {
    "title": "Title",
    "columns": {"pche_paper": "PCHE →", "gps": "GPS, exact"},
    "real": [{"key": "real", "label": "Real", "source": "paper", "values": {"pche_paper": 2.717}}],
    "rows": [{"key": "video", "label": "Only Video", "source": "paper", "values": {"pche_paper": 2.835}}],
    "remarks": ["A remark."],
}


def rows() -> list[Row]:
    good = Row("a")
    good.add({"pche": 2.5, "gps": 0.5})
    short = Row("b")
    short.add({"pche": 3.5, "gps": None})
    return [good, short, Row("c", error="c.mid is damaged")]


def evaluation() -> Evaluation:
    return Evaluation(rows(), summarise(rows(), 0), None, ("a note",))


def test_a_bootstrap_interval_covers_the_mean_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = [(lambda low, high: low <= 1.0 <= high)(*bootstrap(rng.normal(1, 2, 40), rng)) for _ in range(300)]
    assert 0.90 < np.mean(covered) < 0.98
    assert bootstrap(np.full(5, 3.0), rng) == [3.0, 3.0]
    assert bootstrap(np.array([3.0]), rng) is None


def test_summaries_state_n_and_leave_out_what_has_no_number():
    metrics = summarise(rows(), 0)
    assert (metrics["pche"]["mean"], metrics["pche"]["n"]) == (3.0, 2)
    assert metrics["gps"] == {"mean": 0.5, "ci95": None, "n": 1}
    assert "adv" not in metrics


def test_a_metric_that_no_song_has_is_null_with_its_reason():
    metrics = summarise(rows()[1:], 0)
    assert metrics["gps"]["mean"] is None
    assert "two bars" in metrics["gps"]["reason"]


def test_alignment_carries_chance_and_p():
    summary = with_chance({"mean": 0.5, "ci95": None, "n": 1}, [Aligned(0.5, np.array([0.1, 0.3]))])
    assert summary["chance"] == pytest.approx(0.2)
    assert summary["p"] == pytest.approx(1 / 3)


def test_retrieval_carries_chance_and_how_many():
    result = drawn(np.eye(80), np.arange(80), np.random.default_rng(0), draws=10)
    summary = retrieval_summaries(result, "segment_p_{}", "segment_mean_rank")["segment_p_5"]
    assert (summary["mean"], summary["n"], summary["candidates"]) == (100.0, 80, 60)
    assert summary["chance"] == pytest.approx(100 * 5 / 60)


def test_songs_csv_has_a_row_a_song_and_reasons_for_the_gaps(tmp_path):
    write_songs(evaluation(), tmp_path / "songs.csv")
    with open(tmp_path / "songs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0])[:5] == ["song", "pche", "gps", "pche_paper", "gps_paper"]
    assert [line["song"] for line in lines] == ["a", "b", "c"]
    assert float(lines[0]["gps"]) == 0.5
    assert lines[1]["gps"] == ""
    assert "two bars" in lines[1]["reason"]
    assert lines[2]["reason"] == "c.mid is damaged"


def test_metrics_json_counts_songs_and_names_what_failed(tmp_path):
    write_metrics(evaluation(), tmp_path / "metrics.json")
    content = json.loads((tmp_path / "metrics.json").read_text())
    assert content["songs"] == 2
    assert content["metrics"]["pche"]["mean"] == 3.0
    assert content["failed"] == [{"song": "c", "error": "c.mid is damaged"}]


def test_a_run_stands_under_the_row_of_its_key_and_others_at_the_end():
    lines = table_rows(TABLE, {"mine": evaluation(), "video": evaluation()})
    assert lines[0] == ["method", "PCHE →", "GPS, exact"]
    assert lines[1] == ["Real (paper)", "2.717", "–"]
    assert lines[2][0] == "Only Video (paper)"
    assert lines[3] == ["**Only Video, this run (n = 2)**", "–", "0.500"]
    assert lines[4][0] == "**mine, this run (n = 2)**"


def test_the_table_is_written_for_people_and_for_programs(tmp_path):
    text = write_table(TABLE, {"mine": evaluation()}, tmp_path)
    assert (tmp_path / "table.md").read_text() == text
    assert "| Real (paper) | 2.717 | – |" in text
    assert "* mine: a note" in text
    assert "| pche | 3.000 [2.500, 3.500] | 2 | – | – | – |" in text
    with open(tmp_path / "table.csv", newline="") as file:
        assert list(csv.reader(file)) == table_rows(TABLE, {"mine": evaluation()})


def test_the_details_show_chance_and_why_a_number_is_missing(tmp_path):
    metrics = {
        "motion_density": {"mean": 0.5, "ci95": [0.25, 0.75], "n": 3, "chance": 0.01, "p": 0.002},
        "p_at_20": unknown("no reference music was given"),
    }
    text = write_table(TABLE, {"mine": Evaluation([], metrics, None, ())}, tmp_path)
    assert "| motion_density | 0.500 [0.250, 0.750] | 3 | 0.010 | 0.002 | – |" in text
    assert "| p_at_20 | null: no reference music was given | 0 | – | – | – |" in text


def states(tmp_path) -> KeptStates:
    onset = np.arange(0, 128, 4)
    notes = Notes(onset, onset * 0 + 60, onset * 0 + 4, onset * 0 + 80, onset * 0)
    rolls = np.stack([encode(notes, 128), encode(notes, 128) * 0]).astype(np.float16)
    noise = np.random.default_rng(0).standard_normal(rolls.shape)
    np.savez_compressed(
        tmp_path / "clip.states.npz", t=np.array([0, 1000]), x=rolls + [[[[0]]], [[[1]]]] * noise, x0=rolls
    )
    return KeptStates.load(tmp_path / "clip.states.npz")


def test_states_are_read_from_noise_to_music(tmp_path):
    loaded = states(tmp_path)
    assert loaded.name == "clip"
    assert loaded.t.tolist() == [1000, 0]
    silent, music = loaded.curves("x0")
    assert not silent.any()
    assert np.flatnonzero(np.diff(music, prepend=0) > 0).tolist() == list(range(0, 128, 4))
    noisy, same = loaded.curves()
    assert (noisy > 1).all()  # of standard normal cells, three in ten lie above 0.5
    assert same.tolist() == music.tolist()


def test_states_next_to_some_timesteps_are_taken_once():
    t = np.array([999, 900, 400, 75, 0])
    rolls = np.zeros((5, 2, 16, 128))
    assert KeptStates("clip", t, rolls, rolls).nearest((1000, 400, 0)).t.tolist() == [999, 400, 0]
    assert KeptStates("clip", t[:1], rolls[:1], rolls[:1]).nearest((1000, 400, 0)).t.tolist() == [999]


def test_a_run_without_states_or_with_damaged_ones_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr("diffbgm.evaluation.figures.save", lambda figure, path: path.touch())
    music = Evaluation([], {}, None, ())
    write_midi(Notes(*np.array([[0], [60], [4], [80], [0]])), tmp_path / "a.mid")
    assert draw_figures(tmp_path, music, tmp_path, 4) == []
    (tmp_path / "a.states.npz").write_bytes(b"PK")
    assert len(draw_figures(tmp_path, music, tmp_path, 4)) == 1
    assert not list(tmp_path.glob("*.png"))
    states(tmp_path)
    draw_figures(tmp_path, music, tmp_path, 4)
    assert {path.name for path in tmp_path.glob("*.png")} == {
        "volume_clip.png", "volume_clip_x0.png", "adv.png", "adv_x0.png"
    }  # fmt: skip


def test_states_of_another_form_are_one_sentence(tmp_path):
    np.savez(tmp_path / "a.states.npz", t=np.zeros(2), x=np.zeros((2, 128, 128)), x0=np.zeros((2, 128, 128)))
    with pytest.raises(InputError, match="expected"):
        KeptStates.load(tmp_path / "a.states.npz")
    np.savez(tmp_path / "old.states.npz", t=np.zeros(2), rolls=np.zeros((2, 2, 128, 128)))
    with pytest.raises(InputError, match="keep_states"):
        KeptStates.load(tmp_path / "old.states.npz")
    (tmp_path / "b.states.npz").write_bytes(b"PK")
    with pytest.raises(InputError, match="keep_states"):
        KeptStates.load(tmp_path / "b.states.npz")


def test_figures_are_pictures(tmp_path):
    volume_figure(states(tmp_path), tmp_path / "volume.png")
    adv_figure([states(tmp_path)], {"real": 0.04}, tmp_path / "adv.png", "x0")
    scape_figure(np.tril(np.ones((20, 20)))[::-1], "name", tmp_path / "scape.png")
    for name in ("volume", "adv", "scape"):
        assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
