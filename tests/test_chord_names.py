"""Chord names: known triads, notes that form none, and positions of changes."""

import numpy as np

from diffbgm.music.chord_names import NO_CHORD, NamedChord, chord_names
from diffbgm.music.notes import Notes


def chords(*pitches: list[int], steps: int = 8) -> Notes:
    """Each chord held for two beats."""
    rows = [(k * steps, pitch, steps, 80, 0) for k, chord in enumerate(pitches) for pitch in chord]
    return Notes(*np.array(rows, np.int64).reshape(-1, 5).T)


def test_triads_have_their_names_whatever_their_inversion():
    found = chord_names(chords([48, 52, 55], [64, 67, 72], [57, 60, 64], [54, 57, 61], [58, 62, 65]))
    assert found == [NamedChord(0, "C"), NamedChord(4, "Am"), NamedChord(6, "F#m"), NamedChord(8, "Bb")]


def test_a_chord_that_is_held_is_named_once():
    assert chord_names(chords([48, 52, 55], steps=32)) == [NamedChord(0, "C")]


def test_what_is_no_triad_has_no_name():
    assert [chord.name for chord in chord_names(chords([60], [60, 61, 62, 63]))] == [NO_CHORD]
    assert chord_names(Notes.empty()) == []


def test_a_rest_ends_a_chord():
    music = Notes.concatenate([chords([48, 52, 55]), chords([48, 52, 55]).shifted(24)])
    assert chord_names(music) == [NamedChord(0, "C"), NamedChord(2, NO_CHORD), NamedChord(6, "C")]
