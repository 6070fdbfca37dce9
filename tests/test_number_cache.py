"""Numbers that are slow to compute are stored, and an evaluation that was stopped goes on."""

import csv
import os
import shutil
import signal

import pytest
from evaluate_run import command, metrics, piece, two_pieces

from diffbgm.evaluation import measure
from diffbgm.music.midi import write_midi


@pytest.fixture
def folder(tmp_path):
    return two_pieces(tmp_path)


def test_slow_numbers_are_computed_once_for_a_file(folder, monkeypatch):
    given = ("metrics=[paper]", f"numbers={folder}/numbers")
    assert command(folder, *given) == 0
    first = metrics(folder)["metrics"]
    monkeypatch.setattr("diffbgm.evaluation.measure.import_score", None)  # would fail if it were called
    assert command(folder, *given) == 0
    assert metrics(folder)["metrics"] == first
    for place in (folder / "numbers").rglob("*.json"):
        place.write_text("{ damaged")
    monkeypatch.undo()
    assert command(folder, *given) == 0
    assert metrics(folder)["metrics"] == first


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_evaluation_has_its_finished_songs_on_disk_and_goes_on(folder, monkeypatch, number):
    """A process of its own is killed while it measures the third song."""
    for seed, name in ((2, "three"), (3, "zero")):
        write_midi(piece(16, seed), folder / "generated" / f"{name}.mid")
    given = ("metrics=[exact,paper]", f"numbers={folder}/numbers")
    seen, inner = [], measure.measure_song

    def killed(song, *rest):
        seen.append(song.name)
        if len(seen) == 3:
            os.kill(os.getpid(), number)
        return inner(song, *rest)

    if (child := os.fork()) == 0:
        measure.measure_song = killed
        os._exit(command(folder, *given))
    status = os.waitpid(child, 0)[1]
    if number == signal.SIGTERM:
        assert os.waitstatus_to_exitcode(status) == 128 + number
    else:
        assert os.WTERMSIG(status) == number
    with open(folder / "out" / "songs.csv", newline="") as file:
        before = list(csv.DictReader(file))
    assert [line["song"] for line in before] == ["one", "three"]
    assert not (folder / "out" / "metrics.json").exists()
    imported, real = [], measure.import_score
    monkeypatch.setattr(measure, "import_score", lambda path: imported.append(path.stem) or real(path))
    assert command(folder, *given) == 0
    assert imported == ["two", "zero"]
    with open(folder / "out" / "songs.csv", newline="") as file:
        after = list(csv.DictReader(file))
    assert after[:2] == before
    assert len(after) == metrics(folder)["songs"] == 4


@pytest.mark.slow
def test_shards_keep_what_is_slow_and_a_run_over_all_reports(folder, monkeypatch, capsys):
    write_midi(piece(6, 2), folder / "generated" / "three.mid")
    write_midi(piece(6, 7), folder / "real" / "one.mid")
    given = ("metrics=[exact,paper,retrieval]", f"reference={folder}/real", f"numbers={folder}/numbers")
    assert command(folder, *given) == 1  # songs without partners
    whole = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    shutil.rmtree(folder / "out")
    shutil.rmtree(folder / "numbers")
    assert [command(folder, *given, "shards=3", f"shard={shard}") for shard in range(3)] == [0, 0, 0]
    assert not (folder / "out").exists()
    assert capsys.readouterr().out.count("songs of shard") == 3
    computed = []
    for slow in ("diffbgm.evaluation.measure.import_score", "diffbgm.evaluation.search.song_rows"):
        monkeypatch.setattr(slow, lambda *given: computed.append(given))
    assert command(folder, *given) == 1
    assert computed == []
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == whole
    assert command(folder, *given, "shards=3", "shard=3") == 1
    assert command(folder, *given, "numbers=null", "shards=3", "shard=0") == 1
    assert "give numbers=FOLDER" in capsys.readouterr().err
