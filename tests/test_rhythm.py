"""Volume, accents and their distances with known answers."""

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.evaluation.rhythm import (
    AdvSettings,
    accent_distance_variance,
    accents,
    adv,
    adv_columns,
    relative_variance,
    volume,
)
from diffbgm.fields import check
from diffbgm.music.notes import Notes


def piece(onset, duration=4, velocity=80, pitch=60) -> Notes:
    onset = np.asarray(onset, np.int64)
    ones = np.ones(onset.shape, np.int64)
    return Notes(onset, ones * pitch, ones * duration, ones * velocity, ones * 0)


def test_volume_enters_with_the_velocity_dies_away_and_ends_with_the_note():
    curve = volume(piece([2], duration=3, velocity=127), steps=8)
    assert curve == pytest.approx([0, 0, 1, np.exp(-1 / 8), np.exp(-2 / 8), 0, 0, 0])
    two = volume(Notes.concatenate([piece([0], 1, 127), piece([0], 1, 127, pitch=64)]))
    assert two == pytest.approx([np.sqrt(2)])
    assert len(volume(Notes.empty())) == 0


@pytest.mark.parametrize("gap", [2, 4, 8, 16])
def test_evenly_spaced_accents_are_all_found_and_have_no_variance(gap):
    notes = piece(np.arange(0, 256, gap), duration=gap)
    assert accents(volume(notes)).tolist() == list(range(0, 256, gap))
    assert adv(notes) == pytest.approx(0, abs=1e-12)


def test_a_loud_note_among_soft_ones_is_the_accent():
    soft = piece(np.arange(0, 64, 2), duration=2, velocity=40)
    loud = piece([16, 48], duration=2, velocity=120, pitch=72)
    assert {16, 48} <= set(accents(volume(Notes.concatenate([soft, loud])))) <= {0, 16, 48}


def sigmoid_form(spread: float) -> float:
    return 2 * (1 / (1 + np.exp(-spread)) - 0.5)


def test_adv_is_equation_2_with_the_longest_distance_itself_below_the_line():
    """Distances 2 and 4, divided by 4: 1/2 and 1, var 1/16; three accents: L = 3/16 / 4."""
    assert accent_distance_variance(np.array([0, 2, 6])) == pytest.approx(sigmoid_form(3 / 64), abs=1e-12)
    by_sum = AdvSettings(norm="sum")  # 1/3 and 2/3, var 1/36
    assert accent_distance_variance(np.array([0, 2, 6]), by_sum) == pytest.approx(sigmoid_form(3 / 36 / 4), abs=1e-12)


def test_the_maximum_is_taken_before_and_the_variance_after_deletion():
    """Distances 1, 8, 8, 16: the 1 is deleted; the others over 16 are 1/2, 1/2, 1, var 1/18; five accents."""
    times = np.array([0, 1, 9, 17, 33])
    assert accent_distance_variance(times) == pytest.approx(sigmoid_form(5 / 18 / 16), abs=1e-12)
    kept = AdvSettings(shortest=0.0)
    assert accent_distance_variance(times, kept) > accent_distance_variance(times)


def test_relative_adv_divides_by_the_longest_normalised_distance():
    """Distances 2, 4 of 6: normalised 1/3, 2/3; var 1/36, max 2/3, three accents: L = 3/36 / (2/3) = 1/8."""
    assert relative_variance(np.array([0, 2, 6])) == pytest.approx(sigmoid_form(1 / 8), abs=1e-12)


def test_relative_adv_does_not_depend_on_the_unit_and_the_literal_one_does():
    times = np.cumsum([4, 4, 8, 4, 12, 4])
    assert relative_variance(times) == pytest.approx(relative_variance(3 * times), abs=1e-12)
    assert accent_distance_variance(3 * times) < accent_distance_variance(times)


def test_echoes_are_deleted():
    echo = np.array([0, 8, 16, 24, 25, 32 + 1])  # the 1 is under half of the mean
    assert accent_distance_variance(echo) == pytest.approx(0, abs=1e-12)
    assert relative_variance(echo) == pytest.approx(0, abs=1e-12)


def test_settings_that_make_no_sense_are_refused():
    for wrong in ({"norm": "median"}, {"shortest": 2.0}, {"segments": 0}):
        with pytest.raises(InputError, match=r"adv\."):
            check(AdvSettings, wrong, "adv")


def test_fewer_than_three_accents_have_no_number():
    assert accent_distance_variance(np.array([0, 4])) is None
    assert adv(Notes.empty()) is None
    assert adv(piece([0])) is None
    assert adv_columns(piece([0])) == {"adv": None, "adv_relative": None}
