"""Structureness compared with libfmp's scape plot, and on audio with a known structure."""

import libfmp.c4
import numpy as np
import pytest

from diffbgm.evaluation.fitness import fitness_scape
from diffbgm.evaluation.structure import (
    COLUMNS,
    SAMPLE_RATE,
    fitness_of_midi,
    scape_plot,
    self_similarity,
    si_columns,
    structureness,
)
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes


def random_similarity(frames: int, seed: int) -> np.ndarray:
    cells = np.random.default_rng(seed).random((frames, frames))
    cells = np.maximum(cells, cells.T)
    cells[cells < 0.8] = -2
    np.fill_diagonal(cells, 1)
    return cells


@pytest.mark.parametrize("frames", [2, 3, 5, 17, 40])
def test_the_compiled_scape_plot_is_libfmps(frames):
    similarity = random_similarity(frames, frames)
    expected = libfmp.c4.compute_fitness_scape_plot(similarity)[0]
    assert fitness_scape(similarity) == pytest.approx(expected, abs=1e-12)


def tones(pitches: list[int], seconds: float = 0.5) -> np.ndarray:
    time = np.arange(int(SAMPLE_RATE * seconds)) / SAMPLE_RATE
    return np.concatenate([np.sin(2 * np.pi * 440 * 2 ** ((pitch - 69) / 12) * time) for pitch in pitches])


def test_two_identical_halves_have_the_si_that_libfmp_gives_and_more_than_no_repetition():
    rng = np.random.default_rng(5)
    half = tones(list(rng.integers(48, 84, 20)))
    other = tones(list(rng.integers(48, 84, 20)))
    twice = self_similarity(np.concatenate([half, half]))
    once = self_similarity(np.concatenate([half, other]))
    expected = libfmp.c4.compute_fitness_scape_plot(twice)[0]
    bands = si_columns(scape_plot(twice))
    assert bands["si_3"] == pytest.approx(expected[5:].max(), abs=1e-12)
    assert bands["si_3_8"] == pytest.approx(expected[5:16].max(), abs=1e-12)
    assert bands["si_3"] > si_columns(scape_plot(once))["si_3"]


def test_a_band_reads_its_rows_and_no_others():
    fitness = np.zeros((40, 40))
    fitness[4, 0], fitness[5, 0], fitness[15, 0], fitness[16, 0] = 0.9, 0.1, 0.2, 0.8
    assert structureness(fitness, 3, 8) == 0.2  # rows 5 .. 15: lengths of 6 to 16 frames, 3 to 8 s
    assert structureness(fitness, 8, 15) == 0.8
    assert structureness(fitness, 15) == 0.0


def test_silence_and_short_sound_have_no_number():
    assert self_similarity(np.zeros(3 * SAMPLE_RATE)) is None
    assert self_similarity(np.ones(100)) is None
    assert si_columns(None) == dict.fromkeys(COLUMNS)
    assert structureness(np.zeros((4, 4)), 3, 8) is None


def test_the_single_number_is_the_mean_of_the_three_bands():
    fitness = np.zeros((40, 40))
    fitness[10, 0], fitness[20, 0], fitness[35, 0] = 0.6, 0.3, 0.9
    columns = si_columns(fitness)
    assert columns["si_mean"] == pytest.approx(0.6)
    assert columns["si_3"] == 0.9
    assert si_columns(np.zeros((20, 20)))["si_mean"] is None  # 10 s long: nothing of 15 s and up


def test_a_midi_file_is_played_and_measured(tmp_path):
    onset = np.arange(0, 128, 4)
    ones = np.ones_like(onset)
    pitch = np.tile([60, 64, 67, 72, 69, 65, 62, 59], 4)
    write_midi(Notes(onset, pitch, ones * 4, ones * 80, ones * 0), tmp_path / "loop.mid")
    bands = si_columns(fitness_of_midi(tmp_path / "loop.mid"))
    assert 0.3 < bands["si_3"] < 1
    assert bands["si_8_15"] is not None
