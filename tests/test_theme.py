"""Harmony and groove of rolls with known answers."""

import numpy as np
from rolls import roll_of

from diffbgm.music.theme import groove_of, harmony_of

C, E, G = 0, 4, 7


def test_harmony_is_sounding_time_by_pitch_class() -> None:
    """C in two octaves for 4 + 4 steps, E for 4, then two beats of silence, then G."""
    harmony = harmony_of(roll_of((0, 60, 4), (2, 72, 4), (0, 64, 4), (16, 67, 1)), 2)
    assert harmony.shape == (32, 12)
    assert harmony.dtype == np.float32
    expected = np.zeros((32, 12))
    expected[0:2, [C, E]] = 1.0, 0.5
    expected[4:6, G] = 1.0
    np.testing.assert_allclose(harmony, expected)


def test_harmony_of_a_long_span_is_that_of_all_its_beats() -> None:
    harmony = harmony_of(roll_of((0, 60, 8), (64, 67, 4)), 32)
    np.testing.assert_allclose(harmony, np.tile(harmony[:1], (32, 1)))
    np.testing.assert_allclose(harmony[0, [C, E, G]], [1.0, 0.0, 0.5])


def test_a_last_span_may_be_shorter() -> None:
    harmony = harmony_of(roll_of((0, 60, 4), (8, 64, 2), steps=12), 2)
    np.testing.assert_allclose(harmony[:, [C, E]], [[1, 0], [1, 0], [0, 1]])


def test_groove_is_the_share_of_bars_in_which_a_note_starts() -> None:
    """On the first sixteenth of every bar, and on the sixth of two of eight; a held note starts once only."""
    downbeats = [(16 * bar, 60, 2) for bar in range(8)]
    groove = groove_of(roll_of(*downbeats, (5, 64, 16), (21, 50, 1)))
    assert groove.shape == (32, 4)
    expected = np.full((8, 16), -1.0)
    expected[:, 0], expected[:, 5] = 1.0, 2 * 2 / 8 - 1
    np.testing.assert_allclose(groove.reshape(8, 16), expected)
