"""Entropies with known answers."""

import numpy as np
import pytest

from diffbgm.evaluation.pitch import musdr_h, pche
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_SEGMENT, Notes


def piece(onset, pitch, duration=1) -> Notes:
    onset, pitch = np.broadcast_arrays(np.asarray(onset, np.int64), np.asarray(pitch, np.int64))
    ones = np.ones(onset.shape, np.int64)
    return Notes(onset, pitch, ones * duration, ones * 80, ones * 0)


def test_a_chromatic_scale_has_the_entropy_of_twelve_classes():
    assert pche(piece(np.arange(12), np.arange(60, 72))) == pytest.approx(np.log2(12), abs=1e-12)


def test_a_triad_has_log2_3_in_any_voicing():
    assert pche(piece(np.zeros(6), [60, 64, 67, 72, 76, 79])) == pytest.approx(np.log2(3), abs=1e-12)


def test_one_repeated_pitch_has_no_entropy_and_no_notes_have_no_number():
    assert pche(piece([0, 4, 8], [60, 60, 72])) == 0.0
    assert pche(Notes.empty()) is None
    assert musdr_h(Notes.empty(), 1) is None


def test_windows_are_averaged_and_the_last_partial_one_is_dropped():
    triad = piece([0, 0, 0], [60, 64, 67])
    chromatic = piece(np.arange(12), np.arange(60, 72)).shifted(STEPS_PER_SEGMENT)
    tail = piece([0, 4], [61, 62]).shifted(2 * STEPS_PER_SEGMENT)
    notes = Notes.concatenate([triad, chromatic, tail])
    assert pche(notes) == pytest.approx((np.log2(3) + np.log2(12)) / 2, abs=1e-12)
    assert pche(Notes.concatenate([triad, chromatic])) == pytest.approx(np.log2(3), abs=1e-12)


def test_a_piece_shorter_than_a_window_is_one_window_and_silent_windows_are_left_out():
    assert pche(piece([0, 4, 8], [60, 64, 67])) == pytest.approx(np.log2(3), abs=1e-12)
    gap = Notes.concatenate([piece([0, 1], [60, 64]), piece([2 * STEPS_PER_SEGMENT], [60], STEPS_PER_SEGMENT)])
    assert pche(gap) == pytest.approx(0.5, abs=1e-12)


def test_h1_and_h4_slide_bar_by_bar():
    """Four bars, one pitch class each: one bar has entropy 0, four bars have 2 bits."""
    notes = piece(np.arange(4) * STEPS_PER_BAR, [60, 61, 62, 63])
    assert musdr_h(notes, 1) == 0.0
    assert musdr_h(notes, 4) == pytest.approx(2.0, abs=1e-12)
    two = piece(np.arange(5) * STEPS_PER_BAR, [60, 61, 60, 61, 60])
    assert musdr_h(two, 2) == pytest.approx(1.0, abs=1e-12)


def test_a_segment_knows_its_numbers():
    numbers = segment_numbers(piece(np.arange(8) * STEPS_PER_BAR, [60, 64] * 4, duration=8), STEPS_PER_SEGMENT)
    assert (numbers.pche, numbers.gps, numbers.onsets) == (1.0, 1.0, 8)
    assert (numbers.notes_per_beat, numbers.polyphony) == (0.25, 1.0)
    assert (numbers.lowest, numbers.highest) == (60, 64)
    silent = segment_numbers(Notes.empty(), STEPS_PER_SEGMENT)
    assert (silent.pche, silent.gps, silent.onsets, silent.polyphony) == (None, None, 0, None)
