"""The harness of the benchmarks: what it counts and prints, and that the quick ones run."""

import json

import pytest
from make_video import ramp, write_video
from tiny_checkpoint import save_tiny_checkpoint

from benchmarks.__main__ import NAMES, main
from benchmarks.harness import cell, rate, seconds, show
from diffbgm.evaluation.report import mean_of


def ticking():
    """A clock that advances by one second with every reading."""
    now = iter(range(1000))
    return lambda: float(next(now))


def test_the_first_call_is_not_counted():
    calls = []
    assert seconds(lambda: calls.append(1), 3, ticking()) == [1, 1, 1]
    assert len(calls) == 4


def test_rates_have_a_mean_and_an_interval():
    assert rate([2.0, 2.0, 2.0], 10) == {"mean": 5.0, "ci95": pytest.approx([5, 5]), "n": 3}
    spread = mean_of([1.0, 2.0, 3.0, 4.0])
    assert spread["ci95"][0] < spread["mean"] == 2.5 < spread["ci95"][1]
    assert mean_of([7.0])["ci95"] is None


def test_a_table_and_a_json_line(capsys):
    show("x", [{"name": "a", "value": 1234.5}, {"name": "b", "value": mean_of([2.0])}], seed=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[:4] == ["| name | value |", "|---|---|", "| a | 1,234 |", "| b | 2 [2, 2] |"]
    assert json.loads(lines[4])["seed"] == 3
    assert cell(0.12345) == "0.1235"
    assert cell(mean_of([])) == "–"


@pytest.mark.parametrize("name", ["roll", "seams"])
def test_quick_ones_end_with_a_json_line(name, capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert main([name, "--quick", "--repeats", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["bench"] == name
    assert found["rows"]


@pytest.mark.slow
def test_controls_are_measured(tmp_path, capsys, monkeypatch):
    save_tiny_checkpoint(tmp_path / "tiny.safetensors", hints=True)
    write_video(tmp_path / "clip.mp4", ramp(24), fps=4)
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    words = [f"videos={tmp_path}", f"checkpoint={tmp_path / 'tiny.safetensors'}", f"cache={tmp_path}", "device=cpu"]
    asked = ["--seeds", "1", "--controls", "dynamics,chords,melody,variations,seed"]
    assert main(["controls", *asked, *words, "sampler.steps=1"]) == 0
    table, line = capsys.readouterr().out.rsplit("|\n", 1)
    assert "| seed | another | share of equal notes | – | 0 " in table, "one seed has no pairs"
    known = {(row["control"], row["asked"], row["measured"]): row["got"] for row in json.loads(line)["rows"]}
    assert known["dynamics", "0.0", "range of velocity"] == {"mean": 0, "ci95": None, "n": 1}
    assert known["melody", "12 notes", "other notes per beat"]["mean"] > 0
    first, mean = (known["variations", "4", f"following, {which}"] for which in ("first take", "all takes"))
    assert first["n"] == 0 or first["mean"] >= mean["mean"]
    assert {row[1] for row in known if row[0] == "chords"} == {"C F G", "Dm Bb A", "E A B7", "none"}


def test_an_unknown_control_is_named(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmarks"])
    assert main(["controls", "--controls", "key,mood"]) == 1
    assert "there is no control mood" in capsys.readouterr().err


def test_an_unknown_name_is_answered_with_the_list(capsys):
    assert main(["speed"]) == 2
    assert "|".join(NAMES) in capsys.readouterr().err
