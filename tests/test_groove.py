"""Groove similarities with known answers."""

import numpy as np
import pytest

from diffbgm.evaluation.groove import gps, musdr_gs, patterns, similarity
from diffbgm.music.notes import STEPS_PER_BAR, Notes


def piece(onset) -> Notes:
    onset = np.asarray(onset, np.int64)
    ones = np.ones(onset.shape, np.int64)
    return Notes(onset, ones * 60, ones, ones * 80, ones * 0)


def test_identical_bars_are_1_and_opposite_bars_0():
    even, odd = np.arange(0, 16, 2), np.arange(1, 16, 2)
    same = piece(np.concatenate([even + 16 * bar for bar in range(5)]))
    assert gps(same) == 1.0
    opposite = piece(np.concatenate([even, odd + 16, even + 32]))  # the third bar is the dropped one
    assert gps(opposite) == 0.0


def test_all_pairs_count_not_only_neighbours():
    """Bars A, A, B with opposite A and B: pairs AA 1, AB 0, AB 0."""
    even, odd = np.arange(0, 16, 2), np.arange(1, 16, 2)
    notes = piece(np.concatenate([even, even + 16, odd + 32]))
    assert gps(notes, drop_last=False) == pytest.approx(1 / 3, abs=1e-12)


def test_the_fast_sum_equals_the_definition():
    bars = np.random.default_rng(0).random((9, 16)) < 0.4
    pairs = [1 - np.mean(bars[i] ^ bars[j]) for i in range(9) for j in range(i)]
    assert similarity(bars) == pytest.approx(np.mean(pairs), abs=1e-12)


def test_random_bars_score_half_at_16_positions_and_seven_eighths_at_64():
    bars = np.random.default_rng(1).random((2000, 16)) < 0.5
    notes = piece(np.flatnonzero(bars.reshape(-1)))
    assert gps(notes) == pytest.approx(0.5, abs=0.01)
    assert musdr_gs(notes) == pytest.approx(0.875, abs=0.003)


def test_too_few_bars_have_no_number():
    assert gps(Notes.empty()) is None
    assert gps(piece([0, 4])) is None
    assert gps(piece([0, STEPS_PER_BAR])) is None  # one of the two is dropped
    assert patterns(Notes.empty()).shape == (0, 16)


def test_silent_bars_before_the_music_do_not_count():
    rhythm = np.concatenate([[0, 4, 8], [16, 22], [32]])
    assert gps(piece(rhythm + 5 * STEPS_PER_BAR)) == gps(piece(rhythm))
