"""Keys: the Krumhansl-Schmuckler estimate, names, and transposition from one key into another.

Shape legend: ... leading axes, 12 pitch classes (C = 0), 24 keys (12 major tonics, then 12 minor).
"""

import re
from dataclasses import dataclass

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.notes import Notes

# Krumhansl & Kessler (1982), probe-tone ratings; index 0 is the tonic.
MAJOR_PROFILE = np.array([6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88])
MINOR_PROFILE = np.array([6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17])

_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


@dataclass(frozen=True)
class Key:
    """A tonic pitch class and a mode."""

    tonic: int  # 0..11, C = 0
    minor: bool

    def __str__(self) -> str:
        return f"{_NAMES[self.tonic]} {'minor' if self.minor else 'major'}"

    @classmethod
    def parse(cls, text: str) -> "Key":
        """Read "C", "F# minor", "Bbm", "Eb:maj" or "a minor". Raises InputError for anything else."""
        match = re.fullmatch(r"([A-Ga-g])([#b]?)[\s:]*(major|maj|minor|min|m)?", text.strip())
        if match is None:
            raise InputError(f"unknown key {text!r}: write a tonic and a mode, such as 'C major', 'F# minor' or 'Bbm'")
        letter, accidental, mode = match.groups()
        return cls(pitch_class(letter, accidental), mode in ("minor", "min", "m"))


def pitch_class(letter: str, accidental: str) -> int:
    """The pitch class (C = 0) of a letter with "#", "b" or "" after it."""
    return (_LETTERS[letter.upper()] + {"#": 1, "b": -1, "": 0}[accidental]) % 12


def pitch_class_weights(notes: Notes) -> np.ndarray:
    """Sounding steps per pitch class, (12,) float; zeros for an empty piece."""
    return np.bincount(notes.pitch % 12, weights=notes.duration, minlength=12)


def key_correlations(weights: np.ndarray) -> np.ndarray:
    """Pearson correlation of pitch-class weights (..., 12) with the 24 rotated key profiles, (..., 24).

    Zeros if the weights do not vary (silence, or all classes equal).
    Source: Krumhansl, "Cognitive Foundations of Musical Pitch" (1990), chapter 4.
    """
    profiles = np.stack([np.roll(profile, k) for profile in (MAJOR_PROFILE, MINOR_PROFILE) for k in range(12)])
    profiles = profiles - profiles.mean(axis=1, keepdims=True)
    profiles /= np.linalg.norm(profiles, axis=1, keepdims=True)
    centred = weights - weights.mean(axis=-1, keepdims=True)
    norm = np.linalg.norm(centred, axis=-1, keepdims=True)
    return np.divide(centred @ profiles.T, norm, out=np.zeros((*weights.shape[:-1], 24)), where=norm > 1e-9)


def estimate_key(notes: Notes) -> Key:
    """The key whose profile the notes' sounding time matches best (C major for an empty piece)."""
    best = int(key_correlations(pitch_class_weights(notes)).argmax())
    return Key(best % 12, best >= 12)


def into_key(notes: Notes, target: Key) -> tuple[Notes, int]:
    """Transpose a piece into `target` by the smallest interval; returns the piece and the semitones (-6..+5).

    A piece in the other mode is transposed to the relative key, which has the same scale as the target.
    """
    key = estimate_key(notes)
    relative = 0 if key.minor == target.minor else (3 if target.minor else -3)
    semitones = (target.tonic + relative - key.tonic + 6) % 12 - 6
    return notes.transposed(semitones), semitones
