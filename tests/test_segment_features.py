"""Features of segments with known answers."""

import numpy as np
import pytest

from diffbgm.evaluation.segment_features import FEATURES, segment_features, windows
from diffbgm.music.notes import STEPS_PER_SEGMENT, Notes


def notes(*table: tuple[int, int, int]) -> Notes:
    """Of (onset, pitch, duration)."""
    onset, pitch, duration = np.array(table, np.int64).reshape(-1, 3).T
    return Notes(onset, pitch, duration, onset * 0 + 80, onset * 0)


def features(*table: tuple[int, int, int]) -> dict[str, float]:
    return dict(zip(FEATURES, segment_features(notes(*table)).tolist(), strict=True))


def test_a_held_triad_on_every_bar() -> None:
    found = features(*[(16 * bar, pitch, 16) for bar in range(8) for pitch in (60, 64, 67)])
    assert found["notes_per_beat"] == 24 / 32
    assert found["attacks_per_beat"] == 8 / 32
    assert found["notes_per_attack"] == found["polyphony"] == 3
    assert found["on_beats"] == found["in_triad"] == found["in_scale"] == 1
    assert found["silent_steps"] == found["on_odd_sixteenths"] == found["short_notes"] == found["harsh_pairs"] == 0
    assert found["long_notes"] == found["top_repeats"] == 1
    assert found["pitch_class_entropy"] == pytest.approx(np.log2(3))
    assert found["harmonic_change"] == pytest.approx(0)
    assert found["bar_rhythm_again"] == found["bar_notes_again"] == found["groove"] == 1
    assert found["pitch_range"] == 7


def test_a_scale_in_sixteenths_moves_by_step() -> None:
    scale = (60, 62, 64, 65, 67, 69, 71, 72)
    found = features(*[(step, scale[step % 8], 1) for step in range(128)])
    assert found["on_beats"] == 0.25
    assert found["on_odd_sixteenths"] == 0.5
    assert found["short_notes"] == found["in_scale"] == found["polyphony"] == 1
    assert found["top_steps"] == pytest.approx(112 / 127)  # fifteen times it falls back by an octave
    assert found["top_leaps"] == pytest.approx(15 / 127)
    assert np.isnan(found["harsh_pairs"])  # nothing sounds together


def test_pairs_that_sound_together() -> None:
    """An octave for eight steps, beside them a semitone for four."""
    found = features((0, 60, 8), (0, 72, 8), (4, 61, 4))
    assert found["octave_pairs"] == 8 / 16
    assert found["harsh_pairs"] == 8 / 16  # 60-61 and 61-72
    assert found["silent_steps"] == 120 / 128


def test_bars_are_looked_for_among_the_earlier_ones() -> None:
    """A bar with onsets 0 and 8, one with 0 and 4, the first again: nothing new in the third."""
    found = features(*[(step, 60, 1) for step in (0, 8, 16, 20, 32, 40)])
    assert found["bar_rhythm_again"] == pytest.approx((1 / 3 + 1) / 2)


def test_silence_has_the_few_numbers_that_it_has() -> None:
    found = features()
    assert found["silent_steps"] == 1
    assert found["notes_per_beat"] == found["attacks_per_beat"] == 0
    assert sum(np.isnan(list(found.values()))) == len(FEATURES) - 3


def test_windows_begin_at_the_first_bar_and_are_full() -> None:
    """Two silent bars, then 17 bars of which the last is only started."""
    piece = notes(*[(16 * bar, 60, 4) for bar in range(2, 19)])
    parts = windows(piece)
    assert [len(part) for part in parts] == [8, 8]
    assert parts[0].onset[0] == 0
    assert parts[1].end <= STEPS_PER_SEGMENT
    assert windows(notes((0, 60, 3))) == []
