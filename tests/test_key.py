"""Known answers for key estimation, key names and transposition into a key."""

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.music.key import Key, estimate_key, into_key, key_correlations
from diffbgm.music.notes import Notes


def scale(tonic: int, steps: list[int]) -> Notes:
    """A scale up and back to a long tonic, the tonic triad stressed."""
    pitch = np.array([60 + tonic + step for step in [*steps, *reversed(steps), 0, steps[2], steps[4], 0]])
    count = len(pitch)
    duration = np.where(np.isin((pitch - 60 - tonic) % 12, [0, steps[2], 7]), 4, 1)
    return Notes(np.arange(count) * 4, pitch, duration, np.full(count, 80), np.zeros(count, int))


MAJOR, MINOR = [0, 2, 4, 5, 7, 9, 11], [0, 2, 3, 5, 7, 8, 11]


@pytest.mark.parametrize("tonic", range(12))
def test_scales_are_found_in_every_key(tonic):
    assert estimate_key(scale(tonic, MAJOR)) == Key(tonic, minor=False)
    assert estimate_key(scale(tonic, MINOR)) == Key(tonic, minor=True)


def test_a_profile_correlates_with_itself_perfectly_and_silence_with_nothing():
    from diffbgm.music.key import MINOR_PROFILE

    correlations = key_correlations(np.stack([np.roll(MINOR_PROFILE, 9), np.zeros(12), np.ones(12)]))
    assert correlations[0, 12 + 9] == pytest.approx(1.0)
    assert correlations[0].argmax() == 12 + 9
    assert not correlations[1:].any()


@pytest.mark.parametrize(
    ("text", "key"),
    [("C", (0, False)), ("F# minor", (6, True)), ("Bbm", (10, True)), ("Eb:maj", (3, False)), ("a minor", (9, True))],
)
def test_key_names(text, key):
    assert Key.parse(text) == Key(*key)
    assert Key.parse(str(Key.parse(text))) == Key(*key)


@pytest.mark.parametrize("text", ["H", "C dur", "", "C##"])
def test_unknown_key_names_are_refused_in_one_sentence(text):
    with pytest.raises(InputError, match=r"unknown key .* write a tonic and a mode"):
        Key.parse(text)


def test_into_key_moves_by_the_shortest_way_and_keeps_the_mode():
    moved, semitones = into_key(scale(10, MAJOR), Key.parse("C major"))
    assert semitones == 2
    assert estimate_key(moved) == Key.parse("C major")


def test_into_a_key_of_the_other_mode_goes_to_the_relative_key():
    moved, _ = into_key(scale(0, MAJOR), Key.parse("E minor"))
    assert estimate_key(moved) == Key.parse("G major")
    moved, semitones = into_key(scale(0, MAJOR), Key.parse("A minor"))
    assert semitones == 0
    moved, _ = into_key(scale(9, MINOR), Key.parse("D major"))
    assert estimate_key(moved) == Key.parse("B minor")
