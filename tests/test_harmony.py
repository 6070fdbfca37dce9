"""Chord symbols, the chords they ask for, and the chords in a piece."""

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.music.harmony import Chord, harmony_plane, over_bars, parse_chords, share_heard
from diffbgm.music.notes import Notes


def notes_of(*table: tuple[int, int, int]) -> Notes:
    """Of (onset, pitch, duration)."""
    onset, pitch, duration = np.array(table, np.int64).reshape(-1, 3).T
    return Notes(onset, pitch, duration, onset * 0 + 80, onset * 0)


@pytest.mark.parametrize(
    ("text", "classes", "name"),
    [
        ("C", (0, 4, 7), "C"),
        ("F#m7", (6, 9, 1, 4), "F#m7"),
        ("Gb:maj7/5".replace("/5", ""), (6, 10, 1, 5), "F#maj7"),
        ("Bbsus4", (10, 3, 5), "Bbsus4"),
        ("B:sus4(b7)", (11, 4, 6, 9), "B7sus4"),
        ("C#dim7", (1, 4, 7, 10), "C#dim7"),
        ("Dø", (2, 5, 8, 0), "Dm7b5"),
        ("G/B", (7, 11, 2), "G/B"),
    ],
)
def test_symbols(text: str, classes: tuple[int, ...], name: str) -> None:
    chord = Chord.parse(text)
    assert chord.classes == classes
    assert str(chord) == name
    assert Chord.parse(str(chord)) == chord


@pytest.mark.parametrize("bad", ["H", "c", "Cfoo", "G/x", "4"])
def test_the_chord_that_cannot_be_read_is_named(bad: str) -> None:
    with pytest.raises(InputError, match=f"'{bad}' is not a chord"):
        parse_chords(f"C G {bad} F")
    with pytest.raises(InputError, match="names no chord"):
        parse_chords(" | ")


def test_chords_go_round_and_may_not_be_more_than_bars() -> None:
    chords = parse_chords("C, G | Am F")
    assert [str(chord) for chord in over_bars(chords, 6)] == ["C", "G", "Am", "F", "C", "G"]
    with pytest.raises(InputError, match="4 chords are more than the 3 bars"):
        over_bars(chords, 3)


def test_what_is_asked_of_each_beat() -> None:
    plane = harmony_plane(parse_chords("C Am7/G"), 10, 4)
    assert plane.shape == (10, 12)
    np.testing.assert_allclose(plane[3, [0, 4, 7]], [1.0, 0.7, 0.7])
    np.testing.assert_allclose(plane[9, [9, 0, 4, 7]], [1.0, 0.7, 0.7, 1.0])
    assert plane[0].sum() == pytest.approx(2.4)


def test_the_share_of_bars_with_the_chord_that_was_asked() -> None:
    """C, then G with a passing tone, then silence, then F where A minor was asked."""
    bars = [(60, 64, 67), (55, 59, 62), (), (53, 57, 60)]
    music = notes_of(*[(16 * bar, pitch, 16) for bar, chord in enumerate(bars) for pitch in chord], (16 + 8, 69, 2))
    assert share_heard(music, parse_chords("C G C Am")) == pytest.approx(2 / 3)
    assert share_heard(music, parse_chords("C G7 C F")) == 1
    assert share_heard(Notes.empty(), parse_chords("C")) is None
    assert share_heard(notes_of((0, 60, 4), (0, 65, 4), (0, 67, 4)), parse_chords("Csus4")) == 1
