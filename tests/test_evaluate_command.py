"""`python evaluate.py`: its files, its messages about bad input, and its exit codes."""

import csv
import shutil

import numpy as np
import pretty_midi
import pytest
from evaluate_run import FAST, command, metrics, piece, two_pieces

from diffbgm.app.cli import run
from diffbgm.app.evaluate import evaluate
from diffbgm.errors import InputError
from diffbgm.evaluation.suite import Options, evaluate_run
from diffbgm.music.midi import write_midi
from diffbgm.video.features import VideoFeatures
from diffbgm.video.streams import MEASURES


@pytest.fixture
def folder(tmp_path):
    return two_pieces(tmp_path)


def test_a_run_leaves_numbers_and_tables(folder, capsys):
    assert command(folder, FAST) == 0
    found = metrics(folder)
    assert found["songs"] == 2
    assert set(found["metrics"]["gps"]) == {"mean", "ci95", "n"}
    with open(folder / "out" / "songs.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["song"] for line in lines] == ["one", "two"]
    assert found["metrics"]["pche"]["mean"] == pytest.approx(np.mean([float(line["pche"]) for line in lines]))
    printed = capsys.readouterr().out
    assert "| Real (BGM909) (paper) | 2.717 | 0.708 | 0.486 |" in printed
    assert printed.strip() == (folder / "out" / "table.md").read_text().strip()
    assert (folder / "out" / "table.csv").exists()


def test_the_same_command_gives_the_same_files_over_one_process_or_two(folder):
    assert command(folder, FAST) == 0
    first = {path.name: path.read_bytes() for path in (folder / "out").iterdir()}
    assert command(folder, FAST, "workers=2") == 0
    assert {path.name: path.read_bytes() for path in (folder / "out").iterdir()} == first


def test_everything_at_once_with_a_reference(folder):
    """No metric is asked for by name, so what cannot be had (retrieval without its tagger) is null with a reason."""
    assert command(folder, f"reference={folder}/generated", f"musicnn={folder}/none.whl", "figures=1") == 0
    found = metrics(folder)
    for name in ("pche_paper", "gps_paper", "si_3_8", "si_15", "adv", "h4", "polyphony"):
        assert found["metrics"][name]["n"] == 2
        assert found["reference"][name] == found["metrics"][name]
    assert "2 of 2 reference songs are generated ones (the same files)" in found["notes"]
    assert found["metrics"]["p_at_20"]["mean"] is None
    assert "does not hold the weights of musicnn" in found["metrics"]["p_at_20"]["reason"]
    assert (folder / "out" / "scape_one.png").exists()


def test_without_the_extra_the_other_metrics_are_computed(folder, monkeypatch):
    monkeypatch.setattr("diffbgm.extras.find_spec", lambda name: None)
    assert command(folder, "workers=1") == 0
    found = metrics(folder)["metrics"]
    assert found["pche"]["n"] == 2
    assert found["pche_paper"]["reason"].startswith("libfmp is not installed; it belongs to the extra 'eval'")


def test_bad_files_are_named_and_the_others_evaluated(folder, capsys):
    generated = folder / "generated"
    (generated / "corrupt.mid").write_bytes(b"MThd and no more")
    drums = pretty_midi.PrettyMIDI()
    drums.instruments.append(pretty_midi.Instrument(0, is_drum=True, name="kit"))
    drums.instruments[0].notes.append(pretty_midi.Note(90, 36, 0, 1))
    drums.write(str(generated / "drums.mid"))
    pretty_midi.PrettyMIDI().write(str(generated / "silent.mid"))
    assert command(folder, FAST) == 1
    errors = capsys.readouterr().err
    for name in ("corrupt", "drums", "silent"):
        assert f"{name}.mid" in errors
    found = metrics(folder)
    assert found["songs"] == 2
    assert {failure["song"] for failure in found["failed"]} == {"corrupt", "drums", "silent"}
    assert found["metrics"]["gps"]["n"] == 2


def test_one_bar_has_no_groove_but_is_no_failure_among_others(folder):
    write_midi(piece(1), folder / "generated" / "bar.mid")
    assert command(folder, FAST) == 0
    with open(folder / "out" / "songs.csv", newline="") as file:
        line = {line["song"]: line for line in csv.DictReader(file)}["bar"]
    assert line["gps"] == ""
    assert "gps: fewer than two bars" in line["reason"]
    assert float(line["pche"]) > 0
    assert metrics(folder)["metrics"]["gps"]["n"] == 2


def test_what_was_asked_for_and_has_no_number_at_all_is_a_failure(tmp_path, capsys):
    write_midi(piece(1), tmp_path / "generated" / "bar.mid")
    assert command(tmp_path, "metrics=[exact]") == 1
    assert "gps: fewer than two bars" in capsys.readouterr().err
    assert metrics(tmp_path)["metrics"]["gps"]["mean"] is None
    assert command(tmp_path, "metrics=[retrieval]") == 1
    assert "reference=FOLDER" in capsys.readouterr().err
    assert command(tmp_path, "metrics=[alignment]") == 1
    assert "videos=FOLDER" in capsys.readouterr().err


def test_empty_and_missing_folders_and_unknown_metrics_are_one_sentence(tmp_path, capsys):
    assert command(tmp_path) == 1
    assert "there is no folder" in capsys.readouterr().err
    (tmp_path / "generated").mkdir()
    assert command(tmp_path) == 1
    assert "holds no MIDI files" in capsys.readouterr().err
    write_midi(piece(4), tmp_path / "generated" / "a.mid")
    assert command(tmp_path, "metrics=[loudness]") == 1
    errors = capsys.readouterr().err
    assert "loudness" in errors
    assert errors.count("\n") == 1


def test_a_file_that_only_music21_fails_on_keeps_its_other_numbers(folder, capsys, monkeypatch):
    def broken(path):
        raise InputError(f"music21 cannot read {path} (KeyError); export the file again")

    monkeypatch.setattr("diffbgm.evaluation.measure.import_score", broken)
    assert command(folder, "metrics=[exact,paper]", f"numbers={folder}/numbers") == 1
    assert "paper of one (music21 cannot read" in capsys.readouterr().err
    found = metrics(folder)["metrics"]
    assert found["pche"]["n"] == 2
    assert (found["gps_paper"]["mean"], found["gps_paper"]["n"]) == (None, 0)
    assert "music21" in found["gps_paper"]["reason"]


def test_music_that_is_not_in_4_4_is_named(folder):
    midi = pretty_midi.PrettyMIDI(str(folder / "generated" / "one.mid"))
    midi.time_signature_changes = [pretty_midi.TimeSignature(3, 4, 0)]
    midi.write(str(folder / "generated" / "waltz.mid"))
    assert command(folder, "metrics=[exact]") == 0
    assert any("not in 4/4" in note and "waltz (3 quarter notes a bar)" in note for note in metrics(folder)["notes"])


def test_nested_folders_many_instruments_and_drums_are_one_system(tmp_path):
    for genre, seed in (("pop", 0), ("rock", 1)):
        write_midi(piece(12, seed), tmp_path / "generated" / genre / "take" / "clip.mid")
        path = tmp_path / "generated" / genre / "take" / "band.mid" if genre == "rock" else None
        if path is not None:
            midi = pretty_midi.PrettyMIDI(initial_tempo=90)
            for program, drum in ((0, False), (40, False), (0, True)):
                part = pretty_midi.Instrument(program, is_drum=drum)
                part.notes = [pretty_midi.Note(80, 60 + k % 5, k / 3, k / 3 + 0.2) for k in range(90)]
                midi.instruments.append(part)
            midi.write(str(path))
    assert command(tmp_path, "metrics=[exact,paper,rhythm,texture]", f"numbers={tmp_path}/numbers") == 0
    with open(tmp_path / "out" / "songs.csv", newline="") as file:
        assert [line["song"] for line in csv.DictReader(file)] == ["band", "pop.take.clip", "rock.take.clip"]


def test_music_is_found_again_by_its_rows_and_a_broken_reference_is_named(folder):
    """The generated pieces are the reference; a third piece's reference cannot be played."""
    (folder / "real").mkdir()
    for seed, name in enumerate(("one", "two")):
        write_midi(piece(6, seed), folder / "generated" / f"{name}.mid")
        shutil.copy(folder / "generated" / f"{name}.mid", folder / "real" / f"{name}.mid")
    (folder / "real" / "three.mid").write_bytes(b"MThd and no more")
    write_midi(piece(6, 9), folder / "generated" / "three.mid")
    given = (f"reference={folder}/real", f"numbers={folder}/numbers", "metrics=[retrieval]")
    assert command(folder, *given) == 0
    found = metrics(folder)
    assert found["metrics"]["p_at_1"]["mean"] == 100.0
    assert found["metrics"]["p_at_20"]["n"] == 8  # 12 s each and the last notes' sound: four rows
    assert any("leaves out three" in note for note in found["notes"])
    assert len(list((folder / "numbers").rglob("*.npy"))) == 3  # one.mid is one.mid, wherever it lies


def test_reference_and_generated_without_common_names_are_one_sentence(folder):
    write_midi(piece(16, 6), folder / "real" / "three.mid")
    assert command(folder, "metrics=[exact,retrieval]", f"reference={folder}/real") == 1
    assert "no name in common" in metrics(folder)["metrics"]["p_at_20"]["reason"]


def test_names_without_partner_are_reported(folder, capsys):
    write_midi(piece(16, 5), folder / "real" / "one.mid")
    write_midi(piece(16, 6), folder / "real" / "three.mid")
    arguments = (f"reference={folder}/real", f"musicnn={folder}/none.whl")
    assert command(folder, "metrics=[exact,retrieval]", *arguments) == 1
    assert "retrieval of two (no reference of that name)" in capsys.readouterr().err
    assert any("two" in note for note in metrics(folder)["notes"])


def test_pop909s_own_tree_is_read_with_its_beats(tmp_path):
    """Beats of 0.4 s over notes written at 120 BPM: every 0.5 s of the file is 1.25 beats."""
    write_midi(piece(8), tmp_path / "generated" / "001" / "001.mid")
    (tmp_path / "generated" / "001" / "beat_midi.txt").write_text(
        "\n".join(f"{0.4 * beat} 0 0" for beat in range(60)) + "\n"
    )
    assert command(tmp_path, "metrics=[texture]") == 0
    found = metrics(tmp_path)
    assert found["songs"] == 1
    assert found["metrics"]["notes_per_beat"]["mean"] == pytest.approx(48 / (32 * 1.25), rel=0.05)


def test_subfolders_named_after_rows_are_runs_side_by_side(tmp_path):
    for seed, key in enumerate(("video", "language_video")):
        write_midi(piece(12, seed), tmp_path / "generated" / key / "clip.mid")
    assert command(tmp_path, "metrics=[exact]", "table=feature_selector") == 0
    text = (tmp_path / "out" / "table.md").read_text().splitlines()
    rows = [line.split("|")[1].strip() for line in text if line.startswith("|")]
    assert rows.index("**Only Video, this run (n = 1)**") == rows.index("Only Video (paper)") + 1
    assert rows.index("**Language+Video, this run (n = 1)**") == rows.index("Language+Video (paper)") + 1
    assert (tmp_path / "out" / "video" / "songs.csv").exists()


def test_folders_named_by_row_share_one_reference(tmp_path):
    for seed, name in enumerate("abc"):
        write_midi(piece(12, seed), tmp_path / name / "clip.mid")
    rows = f"generated={{video: {tmp_path}/a, concat: {tmp_path}/b}}"
    given = [rows, f"reference={tmp_path}/c", f"out={tmp_path}/out", "table=feature_selector", "workers=1"]
    assert run(evaluate, "evaluate", [*given, "metrics=[exact]"]) == 0
    text = (tmp_path / "out" / "table.md").read_text()
    assert "**Only Video, this run (n = 1)**" in text
    assert "**Concat, this run (n = 1)**" in text
    assert text.count("| reference of ") == 1
    assert "| reference of all | – | – | – |" in text


class Motion:
    """An extractor of a video whose motion is the number of notes in each beat, with cuts where `cuts` says."""

    id = "motion"

    def __init__(self, density: np.ndarray, cuts: list[float]) -> None:
        self.density, self.cuts = density, cuts

    def extract(self, path) -> VideoFeatures:
        duration = len(self.density) / 2
        visual = np.full((len(self.density), len(MEASURES)), 0.3, np.float32)
        visual[:, MEASURES.index("motion")] = 0.05 * (1 + self.density)
        edges = np.array([0.0, *self.cuts, duration])
        shots = np.stack([edges[:-1], edges[1:]], axis=1)
        captions = ("",) * len(shots)
        return VideoFeatures(visual, 2.0, MEASURES, np.zeros((len(shots), 4)), shots, captions, duration, self.id)


def test_music_that_follows_its_video_is_told_from_chance(folder):
    notes = piece(16, 0)
    density = np.bincount(notes.onset // 4, minlength=64)
    (folder / "videos").mkdir()
    (folder / "videos" / "one.mp4").write_bytes(b"only its name and content hash matter here")
    options = Options(
        metrics=("alignment",),
        videos=folder / "videos",
        extractor=Motion(density, [8.0, 16.0]),
        cache=folder / "cache",
    )
    evaluation, missing = evaluate_run(folder / "generated", options, lambda items, total, name: items)
    found = evaluation.metrics["motion_density"]
    assert found["mean"] == pytest.approx(1.0)
    assert abs(found["chance"]) < 0.1
    assert found["p"] < 0.05
    assert evaluation.metrics["cuts_on_accents"]["n"] == 1
    assert any("two" in note for note in evaluation.notes)
    assert [what.partition(":")[0] for what in missing] == ["light_register"]  # the picture's light never changes


def test_copies_of_the_training_music_are_counted(folder):
    write_midi(piece(16, 0).transposed(2), folder / "training" / "source.mid")
    write_midi(piece(16, 9), folder / "training" / "other.mid")
    (folder / "training" / "broken.mid").write_bytes(b"no")
    assert command(folder, "metrics=[copies]", f"training={folder}/training") == 0
    with open(folder / "out" / "songs.csv", newline="") as file:
        copied = {line["song"]: float(line["copied_bars"]) for line in csv.DictReader(file)}
    assert copied["one"] == 16
    assert copied["two"] == 0
    assert any("broken" in note for note in metrics(folder)["notes"])


def test_judges_want_a_reference_and_enough_songs(folder, capsys):
    assert command(folder, "metrics=[overlap]") == 1
    assert "reference=FOLDER" in capsys.readouterr().err
    assert command(folder, "metrics=[overlap,two_sample]", f"reference={folder}/generated") == 1
    errors = capsys.readouterr().err
    assert "oa: 2 generated songs have at least eight bars; overlap needs four of each" in errors
    assert "two_sample: 2 generated and 2 real songs" in errors


def test_overlap_with_the_reference_is_written_beside_its_ceiling(folder):
    for seed in range(2, 5):
        write_midi(piece(16, seed), folder / "generated" / f"more{seed}.mid")
    for seed in range(10, 14):
        write_midi(piece(16, seed), folder / "real" / f"{seed}.mid")
    assert command(folder, "metrics=[overlap]", f"reference={folder}/real", f"training={folder}/generated") == 0
    found = metrics(folder)["metrics"]["oa"]
    assert 0.5 < found["mean"] <= 1
    assert found["n"] == 10
    assert found["ceiling_from"] == "other real songs"
    assert found["features"]["on_beats"]["real"] == pytest.approx(0.25, abs=0.1)
    assert "(other real songs)" in (folder / "out" / "table.md").read_text()
