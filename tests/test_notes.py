"""The note table."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, notes_of, tables

from diffbgm.music.notes import Notes

THREE = notes_of([(16, 60, 4, 90, 0), (0, 64, 8, 80, 1), (0, 55, 2, 70, 2)])


def test_empty_piece() -> None:
    empty = Notes.empty()
    assert len(empty) == 0
    assert empty.end == 0
    assert_same(empty, Notes.concatenate([]))
    assert_same(empty, empty.without_overlaps())
    assert_same(empty, empty.transposed(3).shifted(2).window(0, 8).sorted())


def test_end_is_the_step_after_the_last_sounding_one() -> None:
    assert THREE.end == 20
    assert notes_of([(0, 60, 30, 80, 0), (8, 62, 1, 80, 0)]).end == 30


def test_sorted_by_onset_then_pitch() -> None:
    assert THREE.sorted().pitch.tolist() == [55, 64, 60]


def test_transposition_drops_what_leaves_the_pitches() -> None:
    moved = notes_of([(0, 126, 1, 80, 0), (1, 60, 1, 80, 0)]).transposed(5)
    assert moved.pitch.tolist() == [65]
    assert moved.onset.tolist() == [1]


def test_window_counts_from_its_start_and_cuts_at_its_stop() -> None:
    part = THREE.window(14, 18)
    assert part.onset.tolist() == [2]
    assert part.duration.tolist() == [2]


def test_windows_put_back_together_hold_every_note_once() -> None:
    whole = notes_of([(3, 60, 2, 80, 0), (17, 61, 3, 80, 0), (40, 62, 1, 80, 0)])
    parts = [whole.window(start, start + 16).shifted(start) for start in (0, 16, 32)]
    assert_same(Notes.concatenate(parts), whole)


def test_short_rests_are_held_over_and_longer_ones_stay() -> None:
    """Silence at 3; at 6 and 7; none at 10, where a later note still sounds; the last note is never longer."""
    piece = notes_of([(4, 60, 2, 80, 0), (0, 62, 3, 80, 0), (0, 64, 2, 80, 1), (8, 65, 2, 80, 0), (8, 67, 4, 80, 1)])
    piece = Notes.concatenate([piece, notes_of([(11, 60, 1, 80, 0)])])
    assert piece.over_rests(1).duration.tolist() == [2, 4, 2, 2, 4, 1]
    assert piece.over_rests(2).duration.tolist() == [4, 4, 2, 2, 4, 1]
    assert_same(piece.over_rests(0), piece)
    assert len(Notes.empty().over_rests(1)) == 0


@given(tables())
def test_after_short_rests_are_held_over_there_are_none(notes: Notes) -> None:
    held = notes.over_rests(2)
    sounding = np.zeros(notes.end + 1, bool)
    for onset, duration in zip(held.onset, held.duration, strict=True):
        sounding[onset : onset + duration] = True
    begins = np.unique(notes.onset)[1:]
    for begin in begins[~sounding[begins - 1]]:
        assert not sounding[max(begin - 3, 0) : begin].any() or begin < 3
    assert held.end == notes.end


def test_a_new_onset_ends_the_older_note() -> None:
    overlapping = notes_of([(0, 60, 16, 80, 0), (4, 60, 2, 90, 0), (2, 61, 8, 80, 0)])
    resolved = overlapping.without_overlaps()
    assert resolved.onset.tolist() == [0, 2, 4]
    assert resolved.duration.tolist() == [4, 8, 2]


def test_of_notes_that_start_together_the_longest_is_kept() -> None:
    doubled = notes_of([(0, 60, 2, 50, 0), (0, 60, 9, 70, 0), (0, 60, 4, 90, 0)])
    assert_same(doubled.without_overlaps(), notes_of([(0, 60, 9, 70, 0)]))


def test_of_equally_long_notes_that_start_together_the_loudest_is_kept() -> None:
    doubled = notes_of([(0, 60, 4, 50, 0), (0, 60, 4, 90, 0), (0, 60, 4, 70, 0)])
    assert doubled.without_overlaps().velocity.tolist() == [90]


def test_tracks_do_not_end_each_others_notes() -> None:
    two = notes_of([(0, 60, 16, 80, 0), (4, 60, 2, 80, 1)])
    assert_same(two.without_overlaps(), two)


@given(tables(tracks=3))
def test_without_overlaps_no_two_notes_share_a_cell(notes: Notes) -> None:
    resolved = notes.without_overlaps()
    cells = [
        (track, pitch, step)
        for track, pitch, onset, duration in zip(
            resolved.track, resolved.pitch, resolved.onset, resolved.duration, strict=True
        )
        for step in range(onset, onset + duration)
    ]
    assert len(cells) == len(set(cells))
    onsets = set(zip(notes.track.tolist(), notes.pitch.tolist(), notes.onset.tolist(), strict=True))
    assert len(resolved) == len(onsets)
    assert_same(resolved, resolved.without_overlaps())


@given(tables(tracks=3), st.integers(-6, 5))
def test_transposition_keeps_rhythm(notes: Notes, semitones: int) -> None:
    inside = notes.select((notes.pitch >= 6) & (notes.pitch < 122))
    moved = inside.transposed(semitones)
    np.testing.assert_array_equal(moved.onset, inside.onset)
    np.testing.assert_array_equal(moved.pitch - inside.pitch, semitones)
