"""Notes to rolls and back, compared with a plain loop and by round trips."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, notes_of, tables

from diffbgm.music.notes import PITCHES, Notes
from diffbgm.music.pianoroll import decode, encode, encode_batch


def painted(notes: Notes, steps: int) -> np.ndarray:
    """A direct implementation of the definition, as the oracle."""
    roll = np.zeros((2, steps, PITCHES), np.float32)
    resolved = Notes(notes.onset, notes.pitch, notes.duration, notes.velocity, 0 * notes.track).without_overlaps()
    for onset, pitch, duration in zip(resolved.onset, resolved.pitch, resolved.duration, strict=True):
        roll[0, onset, pitch] = 1
        for step in range(onset + 1, min(onset + duration, steps)):
            roll[1, step, pitch] = 1
    return roll


def test_one_note() -> None:
    roll = encode(notes_of([(3, 60, 4, 80, 0)]), 16)
    assert roll.shape == (2, 16, 128)
    assert roll.dtype == np.float32
    assert np.argwhere(roll[0]).tolist() == [[3, 60]]
    assert np.argwhere(roll[1]).tolist() == [[4, 60], [5, 60], [6, 60]]


def test_notes_outside_are_left_out_and_long_ones_cut() -> None:
    roll = encode(notes_of([(-1, 60, 4, 80, 0), (16, 61, 4, 80, 0), (14, 62, 9, 80, 0), (0, 63, 0, 80, 0)]), 16)
    assert np.argwhere(roll[0]).tolist() == [[0, 63], [14, 62]]
    assert np.argwhere(roll[1]).tolist() == [[15, 62]]


def test_a_new_onset_ends_the_older_note_across_tracks() -> None:
    roll = encode(notes_of([(0, 60, 16, 80, 0), (4, 60, 2, 90, 1)]), 16)
    assert_same(decode(roll), notes_of([(0, 60, 4, 80, 0), (4, 60, 2, 80, 0)]))


def test_empty_piece() -> None:
    roll = encode(Notes.empty(), 8)
    assert not roll.any()
    assert len(decode(roll)) == 0


def test_sustain_without_an_onset_is_ignored() -> None:
    roll = np.zeros((2, 8, 128), np.float32)
    roll[1, 2:5, 60] = 1
    roll[0, 6, 60] = 1
    assert_same(decode(roll), notes_of([(6, 60, 1, 80, 0)]))


def test_sustain_on_an_onset_step_starts_a_new_note() -> None:
    roll = np.zeros((2, 8, 128), np.float32)
    roll[0, [0, 4], 60] = 1
    roll[1, :, 60] = 1
    assert decode(roll).duration.tolist() == [4, 4]


def test_a_note_ends_with_the_roll_and_not_on_the_next_pitch() -> None:
    roll = np.zeros((2, 8, 128), np.float32)
    roll[0, 6, 60] = 1
    roll[1, 7, 60] = roll[1, 0, 61] = 1
    assert_same(decode(roll), notes_of([(6, 60, 2, 80, 0)]))


@pytest.mark.parametrize(("threshold", "durations"), [(0.5, [3]), (0.2, [4, 1]), (0.95, [])])
def test_threshold_applies_to_both_channels(threshold: float, durations: list[int]) -> None:
    roll = np.zeros((2, 8, 128), np.float32)
    roll[0, 0, 60], roll[0, 7, 60] = 0.9, 0.3
    roll[1, 1:3, 60], roll[1, 3, 60] = 0.8, 0.4
    assert decode(roll, threshold).duration.tolist() == durations


def test_velocity_is_given() -> None:
    assert decode(encode(notes_of([(0, 60, 1, 33, 0)]), 4), velocity=101).velocity.tolist() == [101]


@given(tables(steps=64, tracks=3))
def test_encoding_equals_the_plain_loop(notes: Notes) -> None:
    np.testing.assert_array_equal(encode(notes, 64), painted(notes, 64))
    np.testing.assert_array_equal(encode(notes, 40), painted(notes.select(notes.onset < 40), 40))


@given(tables(steps=64, velocity=80))
def test_notes_survive_the_roll(notes: Notes) -> None:
    assert_same(decode(encode(notes, 64)), notes.without_overlaps())


@given(st.integers(0, 2**32 - 1))
def test_any_roll_decodes_to_notes_that_encode_to_its_sounding_part(seed: int) -> None:
    rng = np.random.default_rng(seed)
    roll = (rng.random((2, 24, 128)) < np.array([0.05, 0.5])[:, None, None]).astype(np.float32)
    notes = decode(roll)
    again = encode(notes, 24)
    np.testing.assert_array_equal(again[0], roll[0])
    assert (again[1] <= roll[1]).all()
    assert_same(decode(again), notes)


@given(st.lists(tables(steps=32), min_size=1, max_size=5))
def test_a_batch_equals_its_segments(segments: list[Notes]) -> None:
    every = Notes.concatenate(segments)
    index = np.repeat(np.arange(len(segments)), [len(segment) for segment in segments])
    shuffle = np.random.default_rng(0).permutation(len(every))
    every, index = every.select(shuffle), index[shuffle]
    rolls = encode_batch(every.onset, every.pitch, every.duration, index, len(segments), 32)
    np.testing.assert_array_equal(rolls, np.stack([encode(segment, 32) for segment in segments]))


def test_narrow_integers_do_not_overflow() -> None:
    table = notes_of([(120, 100, 8, 80, 0)])
    columns = (table.onset.astype(np.uint8), table.pitch.astype(np.uint8), table.duration.astype(np.uint8))
    rolls = encode_batch(*columns, np.array([200], np.uint8), 201, 128)
    np.testing.assert_array_equal(rolls[200], encode(table, 128))
    assert rolls.sum() == 8
