"""The paper's protocol against the release's own notebook, song by song.

golden/notebook_metrics.json: for 30 songs of POP909 what the release's notebook computes (`*_notebook`), and the same
definitions on the exact sixteenth grid (`*_grid`). The notebook's code has no licence, so only its numbers are here.
"""

import json
import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.evaluation.groove import gps
from diffbgm.evaluation.paper_protocol import Imported, gps_paper, import_score, pche_paper
from diffbgm.evaluation.pitch import pche
from diffbgm.evaluation.songs import Song, find_songs
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

NOTEBOOK = json.loads((Path(__file__).with_name("golden") / "notebook_metrics.json").read_text())
POP909 = os.environ.get("POP909_DIR")
needs_pop909 = pytest.mark.skipif(POP909 is None, reason="POP909_DIR does not name POP909's folder")


def paper_numbers(song: Song) -> tuple[float | None, float | None]:
    score = import_score(song.path)
    return pche_paper(score), gps_paper(score)


@pytest.fixture(scope="module")
def songs() -> dict[str, Song]:
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
