"""The paper's protocol compared with the release's notebook, song by song.

golden/notebook_metrics.json: for 30 songs of POP909 what the release's notebook computes (`*_notebook`), and the same
definitions on the exact sixteenth grid (`*_grid`). The notebook's code has no licence, so only its numbers are here.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pretty_midi
import pytest
from music21 import converter

from diffbgm.errors import InputError
from diffbgm.evaluation.groove import gps
from diffbgm.evaluation.paper_protocol import Imported, gps_paper, import_score, pche_paper
from diffbgm.evaluation.pitch import pche
from diffbgm.evaluation.songs import SongFile, find_songs
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

NOTEBOOK = json.loads((Path(__file__).with_name("golden") / "notebook_metrics.json").read_text())
POP909 = os.environ.get("POP909_DIR")
needs_pop909 = pytest.mark.skipif(POP909 is None, reason="POP909_DIR does not name POP909's folder")


def paper_numbers(song: SongFile) -> tuple[float | None, float | None]:
    score = import_score(song.path)
    return pche_paper(score), gps_paper(score)


@pytest.fixture(scope="module")
def songs() -> dict[str, SongFile]:
    return {song.name: song for song in find_songs(POP909) if song.name in NOTEBOOK}


@pytest.fixture(scope="module")
def imported(songs) -> dict[str, tuple[float, float]]:
    with ProcessPoolExecutor(os.cpu_count(), get_context("spawn")) as pool:
        return dict(zip(songs, pool.map(paper_numbers, songs.values()), strict=True))


@needs_pop909
@pytest.mark.parametrize("song", NOTEBOOK)
def test_a_song_has_the_notebooks_numbers(imported, song):
    expected = NOTEBOOK[song]
    assert imported[song] == pytest.approx((expected["pche_notebook"], expected["gps_notebook"]), abs=1e-6)


@needs_pop909
def test_the_exact_grid_is_within_002_a_song_on_average(songs):
    assert len(songs) == 30
    off = [
        (pche(song.score.notes) - NOTEBOOK[name]["pche_grid"], gps(song.score.notes) - NOTEBOOK[name]["gps_grid"])
        for name, song in songs.items()
    ]
    assert (np.abs(off).mean(axis=0) < (0.002, 0.001)).all()
    assert np.abs(off).max() < 0.02


def test_the_bar_of_the_last_onset_is_dropped():
    """Onsets on every beat of two bars, none in a third; a fourth is dropped."""
    offset = np.array([0, 1, 2, 3, 4, 5, 6, 7, 12, 13.0])
    score = Imported(offset, np.full(10, 60))
    assert gps_paper(score) == pytest.approx((1 + 2 * (1 - 4 / 16)) / 3)
    assert pche_paper(score) == pytest.approx(-np.log2(1 + 1e-6), abs=1e-12)


def test_windows_are_averaged_with_the_notebooks_guard():
    triad, fifth = np.array([0.0, 0, 0]), np.array([32.0, 32])
    score = Imported(np.concatenate([triad, fifth, [64.0]]), np.array([60, 64, 67, 60, 67, 61]))
    guarded = [-np.log2(1 / 3 + 1e-6), -np.log2(1 / 2 + 1e-6)]
    assert pche_paper(score) == pytest.approx(np.mean(guarded), abs=1e-12)


def test_a_score_without_notes_has_no_numbers():
    empty = Imported(np.zeros(0), np.zeros(0, int))
    assert pche_paper(empty) is None
    assert gps_paper(empty) is None


def counted(events: list[tuple[float, tuple[int, ...]]]) -> tuple[float, float]:
    """PCHE and GPS as the notebook counts them, event by event; an event without pitches is a stroke of percussion."""
    windows: list[list[int]] = []
    bars: list[set[int]] = []
    classes: list[int] = []
    positions: set[int] = set()
    for offset, pitches in events:
        while offset >= 32 * (len(windows) + 1):
            windows.append(classes)
            classes = []
        while offset >= 4 * (len(bars) + 1):
            bars.append(positions)
            positions = set()
        classes += [pitch % 12 for pitch in pitches]
        positions.add(int(4 * (offset - 4 * len(bars))))
    entropies = []
    for window in windows:
        shares = [window.count(name) / len(window) for name in range(12)]
        entropies.append(-sum(share * np.log2(share + 1e-6) for share in shares))
    pairs = [1 - len(a ^ b) / 16 for i, a in enumerate(bars) for b in bars[i + 1 :]]
    return float(np.mean(entropies)), float(np.mean(pairs))


def events_of(path: Path) -> list[tuple[float, tuple[int, ...]]]:
    """The events that music21 reads from a file, in its order."""
    score = converter.parse(path, format="midi", forceSource=True)
    return [(float(e.offset), tuple(pitch.midi for pitch in e.pitches)) for e in score.flatten().notes]


@pytest.fixture
def band(tmp_path) -> Path:
    """Twenty bars of piano on every beat, and a kit whose pattern changes from bar to bar and ends last."""
    rng = np.random.default_rng(3)
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    piano, kit = pretty_midi.Instrument(0), pretty_midi.Instrument(0, is_drum=True)
    for beat in range(80):
        for pitch in rng.choice(range(48, 72), 2, replace=False):
            piano.notes.append(pretty_midi.Note(80, int(pitch), beat / 2, beat / 2 + 0.5))
    for bar in range(21):
        for step in np.flatnonzero(rng.random(16) < 0.4):
            start = 2 * bar + step / 8
            kit.notes += [pretty_midi.Note(90, pitch, start, start + 0.1) for pitch in (36, 42)[: 1 + step % 2]]
    midi.instruments += [piano, kit]
    midi.write(str(tmp_path / "band.mid"))
    return tmp_path / "band.mid"


def test_triplets_and_notes_over_bar_lines_are_imported_as_by_music21_itself(tmp_path):
    """Voices that overlap, thirds of beats and notes of up to six beats, some from one bar into the next but one."""
    rng = np.random.default_rng(8)
    midi = pretty_midi.PrettyMIDI(initial_tempo=120)
    for _ in range(2):
        part = pretty_midi.Instrument(0)
        for third in rng.choice(240, 60, replace=False):
            start, beats = third / 6 + rng.choice([0, 0.125]), rng.choice([1 / 3, 0.75, 2.5, 6])
            part.notes.append(pretty_midi.Note(80, int(rng.integers(48, 72)), start, start + beats / 2))
        midi.instruments.append(part)
    midi.write(str(tmp_path / "thirds.mid"))
    score, plain = import_score(tmp_path / "thirds.mid"), events_of(tmp_path / "thirds.mid")
    assert score.offset.tolist() == [offset for offset, pitches in plain for _ in pitches]
    assert score.pitch.tolist() == [pitch for _, pitches in plain for pitch in pitches]
    assert len(score.offset) > 150


def test_drums_count_as_the_notebook_counts_them(band):
    score = import_score(band)
    assert len(score.percussion) > 100
    assert (pche_paper(score), gps_paper(score)) == pytest.approx(counted(events_of(band)), abs=1e-12)
    without = Imported(score.offset, score.pitch)
    assert gps_paper(without) == 1.0
    assert gps_paper(score) < 0.8


@needs_pop909
def test_a_song_with_a_kit_under_it_counts_as_in_the_notebook(songs, tmp_path):
    """One of the 30 songs, a stroke on every second beat added."""
    name = min(songs)
    midi = pretty_midi.PrettyMIDI(str(songs[name].path))
    kit = pretty_midi.Instrument(0, is_drum=True)
    kit.notes = [pretty_midi.Note(90, 38, float(beat), float(beat) + 0.05) for beat in midi.get_beats()[1::2]]
    midi.instruments.append(kit)
    midi.write(str(tmp_path / "kit.mid"))
    score = import_score(tmp_path / "kit.mid")
    assert len(score.percussion) > 50
    assert (pche_paper(score), gps_paper(score)) == pytest.approx(counted(events_of(tmp_path / "kit.mid")), abs=1e-12)


def test_a_window_of_percussion_alone_is_left_out_and_still_counts_as_a_window():
    score = Imported(np.array([0.0, 64]), np.array([60, 61]), np.array([33.0, 97]))
    assert pche_paper(score) == pytest.approx(-np.log2(1 + 1e-6), abs=1e-12)
    drums = Imported(np.zeros(0), np.zeros(0, int), np.arange(0, 16, 0.5))
    assert (pche_paper(drums), gps_paper(drums)) == (None, 1.0)


def test_music_on_the_grid_is_imported_as_it_is(tmp_path):
    """Quarter notes within their bars give music21 nothing to push: both protocols agree but for the dropped bar."""
    onset = np.concatenate([np.array([0, 4, 12]) + 16 * bar for bar in range(9)])
    notes = Notes(onset, onset * 0 + np.tile([60, 64, 67], 9), onset * 0 + 4, onset * 0 + 80, onset * 0)
    write_midi(notes, tmp_path / "quarters.mid")
    score = import_score(tmp_path / "quarters.mid")
    assert (score.offset * 4).tolist() == onset.tolist()
    assert gps_paper(score) == 1.0
    assert pche_paper(score) == pytest.approx(np.log2(3), abs=1e-5)


def test_a_file_that_is_no_midi_is_one_sentence(tmp_path):
    (tmp_path / "noise.mid").write_bytes(b"not a midi file")
    with pytest.raises(InputError, match=r"cannot read .*noise\.mid"):
        import_score(tmp_path / "noise.mid")
