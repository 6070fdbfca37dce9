"""Music that follows the video, music that does not, and copied music."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from diffbgm.evaluation.alignment import Aligned, cuts_on_accents, follows, note_density, p_value, register
from diffbgm.evaluation.copies import Collection, bars_of
from diffbgm.music.notes import STEPS_PER_BAR, Notes


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def piece(onset, pitch) -> Notes:
    onset, pitch = np.asarray(onset, np.int64), np.asarray(pitch, np.int64)
    return Notes(onset, pitch, onset * 0 + 2, onset * 0 + 80, onset * 0)


def melody(bars: int, seed: int) -> Notes:
    """Five notes a bar at drawn places and pitches."""
    generator = np.random.default_rng(seed)
    onset = np.concatenate([16 * bar + np.sort(generator.permutation(16)[:5]) for bar in range(bars)])
    return piece(onset, generator.integers(40, 80, len(onset)))


def test_density_counts_onsets_of_each_beat():
    assert note_density(piece([0, 1, 3, 4, 9, 40], [60] * 6), 3).tolist() == [3, 1, 1]


def test_the_correlation_is_scipys_with_ties():
    density, motion = rng().integers(0, 5, 40).astype(float), rng().random(40)
    assert follows(density, motion, rng()).value == pytest.approx(spearmanr(density, motion).statistic, abs=1e-12)


def test_music_that_follows_motion_beats_every_turn_and_unrelated_music_does_not():
    motion = rng().random(64)
    found = follows(np.exp(motion), motion, rng())
    assert found.value == pytest.approx(1.0)
    assert p_value([found]) < 0.05  # one turn in 64 is none at all
    unrelated = [
        follows(np.random.default_rng(seed).random(64), motion, np.random.default_rng(seed)) for seed in range(100, 120)
    ]
    assert abs(np.mean([song.value for song in unrelated])) < 0.1
    assert p_value(unrelated) > 0.05


def test_register_is_the_mean_pitch_of_a_beats_onsets():
    found = register(piece([0, 1, 9, 40], [60, 64, 50, 90]), 3)
    np.testing.assert_array_equal(found, [62.0, np.nan, 50.0])


def test_beats_without_a_value_are_left_out():
    light = rng().random(32)
    music = np.where(np.arange(32) % 4 == 0, np.nan, -light)
    found = follows(music, light, rng())
    assert found.value == pytest.approx(-1.0)
    assert found.turned.min() >= -1 - 1e-9
    assert follows(np.where(np.arange(32) < 3, light, np.nan), light, rng()) is None


def test_what_does_not_change_has_no_correlation():
    assert follows(np.ones(16), rng().random(16), rng()) is None
    assert follows(rng().random(16), np.ones(16), rng()) is None
    assert follows(np.arange(3.0), np.arange(3.0), rng()) is None


def test_cuts_within_a_beat_of_an_accent_count():
    found = cuts_on_accents(np.array([4.0, 8.9, 13.0]), np.array([4.0, 8.0, 20.0]), 32.0, rng())
    assert found.value == pytest.approx(2 / 3)


def test_chance_is_the_share_of_time_near_an_accent():
    """Accents every 8 beats, one beat to each side: a quarter of the time."""
    times = np.arange(0, 64, 8.0) + 1
    found = cuts_on_accents(np.array([1.0, 9.0, 33.0, 49.0]), times, 64.0, rng())
    assert found.value == 1.0
    assert found.turned.mean() == pytest.approx(0.25, abs=0.03)
    generator = rng()
    several = [cuts_on_accents(times[:4] + shift, times, 64.0, generator) for shift in (0.0, 0.5, -0.5)]
    assert p_value([*several, found]) < 0.05


def test_no_cuts_have_no_share_and_no_accents_have_none_of_them():
    assert cuts_on_accents(np.zeros(0), np.array([1.0]), 8.0, rng()) is None
    assert cuts_on_accents(np.array([4.0]), np.zeros(0), 8.0, rng()).value == 0.0


def test_a_p_value_counts_the_turns_that_do_as_well():
    assert p_value([Aligned(0.5, np.array([0.1, 0.5, 0.9]))]) == pytest.approx(3 / 4)


def test_bars_are_relative_to_their_lowest_pitch_and_sparse_ones_are_none():
    low = bars_of(piece([0, 4, 8, 20], [60, 64, 67, 60]))
    high = bars_of(piece([0, 4, 8], [65, 69, 72]))
    assert low[0][0] == high[0][0]
    assert (low[0][1], high[0][1]) == (60, 65)
    assert low[1] is None
    assert bars_of(Notes.empty()) == []


def test_a_transposed_copy_is_found_with_its_length_and_interval():
    songs = [(f"song{seed}", melody(12, seed)) for seed in range(5)]
    stolen = songs[3][1].window(4 * STEPS_PER_BAR, 10 * STEPS_PER_BAR).transposed(3)
    own = melody(4, 99)
    mixed = Notes.concatenate([own, stolen.shifted(own.end // 16 * 16 + 16)])
    copy = Collection(songs).longest_copy(mixed)
    assert (copy.bars, copy.song, copy.transposition) == (6, "song3", 3)
    assert Collection(songs).longest_copy(own).bars == 0


def test_bars_moved_by_different_intervals_are_no_run():
    original = melody(2, 7)
    parts = [original.window(0, 16), original.window(16, 32).transposed(1).shifted(16)]
    assert Collection([("a", original)]).longest_copy(Notes.concatenate(parts)).bars == 1
