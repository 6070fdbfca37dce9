"""Known answers for the choice of a tempo."""

import numpy as np
import pytest

from diffbgm.music.tempo import beat_score, choose_tempo


@pytest.mark.parametrize("bpm", [96.0, 100.0, 112.5, 131.0])
def test_cuts_on_the_beats_of_a_tempo_give_that_tempo(bpm):
    beats = np.array([3, 7, 16, 22, 29, 41, 55])
    choice = choose_tempo(beats * 60.0 / bpm)
    assert choice.bpm == bpm
    assert choice.score == pytest.approx(1.0)


def test_no_cuts_keep_the_preferred_tempo():
    choice = choose_tempo(np.zeros(0))
    assert (choice.bpm, choice.score) == (120.0, None)


def test_score_is_one_on_beats_and_minus_one_between_them():
    assert beat_score(np.array([0.5, 1.0, 7.5]), 120.0) == pytest.approx(1.0)
    assert beat_score(np.array([0.25, 1.75]), 120.0) == pytest.approx(-1.0)


def test_one_cut_is_met_near_the_preferred_tempo():
    choice = choose_tempo(np.array([10.2]))
    assert choice.score > 0.95
    assert abs(choice.bpm - 120.0) < 6.0
