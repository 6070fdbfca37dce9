"""Chords: their symbols, the pitch classes that each asks for, and whether the notes have them.

Shape legend: N beats of a piece, M bars, 12 pitch classes (C = 0).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.key import Key
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, Notes

QUALITIES = {  # semitones above the root, in the order root, third (or what replaces it), fifth, further tones
    "": (0, 4, 7),
    "m": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "6": (0, 4, 7, 9),
    "m6": (0, 3, 7, 9),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "m7": (0, 3, 7, 10),
    "mmaj7": (0, 3, 7, 11),
    "dim7": (0, 3, 6, 9),
    "m7b5": (0, 3, 6, 10),
    "7sus4": (0, 5, 7, 10),
    "add9": (0, 4, 7, 2),
}
_ALIASES = {
    "maj": "", "M": "", "min": "m", "-": "m", "o": "dim", "°": "dim", "+": "aug", "sus": "sus4", "maj6": "6",
    "min6": "m6", "M7": "maj7", "Δ": "maj7", "Δ7": "maj7", "min7": "m7", "-7": "m7", "mM7": "mmaj7",
    "minmaj7": "mmaj7", "o7": "dim7", "°7": "dim7", "ø": "m7b5", "ø7": "m7b5", "hdim7": "m7b5", "sus4(b7)": "7sus4",
}  # fmt: skip
TONES = (1.0, 0.7, 0.7, 0.5)  # durations of root, third, fifth and further tones, relative to the longest
_OWN = (
    "dim",
    "aug",
    "sus2",
    "sus4",
    "dim7",
    "m7b5",
)  # qualities that are not a major or minor triad with further tones
_LETTERS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_SYMBOL = re.compile(r"([A-G])([#b]?):?([^/\s]*)(?:/([A-G])([#b]?))?")


@dataclass(frozen=True)
class Chord:
    """A root, a quality of `QUALITIES` and, where another tone than the root is lowest, that tone."""

    root: int  # pitch class
    quality: str = ""
    bass: int | None = None

    @classmethod
    def parse(cls, text: str) -> "Chord":
        """Read "C", "F#m7", "Bb:maj7", "G/B" or "Esus4"; InputError for anything else."""
        match = _SYMBOL.fullmatch(text)
        quality = _ALIASES.get(match[3], match[3]) if match else None
        if match is None or quality not in QUALITIES:
            kinds = ", ".join(f"C{name}" for name in QUALITIES)
            raise InputError(f"{text!r} is not a chord that can be read; write a root and one of these kinds: {kinds}")
        bass = None if match[4] is None else _pitch_class(match[4], match[5])
        return cls(_pitch_class(match[1], match[2]), quality, bass)

    def __str__(self) -> str:
        return _name(self.root) + self.quality + ("" if self.bass is None else f"/{_name(self.bass)}")

    @property
    def classes(self) -> tuple[int, ...]:
        """Its pitch classes, the root first."""
        return tuple((self.root + tone) % 12 for tone in QUALITIES[self.quality])

    @property
    def triad(self) -> "Chord":
        """The major or minor triad that it is heard as, by its third; a suspended chord counts as major."""
        return Chord(self.root, "m" if 3 in QUALITIES[self.quality] else "")

    @property
    def harmony(self) -> np.ndarray:
        """What it asks of a beat, (12,) float32: the share of each pitch class in a theme (music/theme.py)."""
        asked = np.zeros(12, np.float32)
        asked[list(self.classes)] = TONES[: len(self.classes)]
        if self.bass is not None:
            asked[self.bass] = 1.0
        return asked


def parse_chords(text: str) -> list[Chord]:
    """The chords of "C G Am F" (spaces, commas or bars between them). InputError names the one that cannot be read."""
    names = [name for name in re.split(r"[\s,|]+", text) if name]
    if not names:
        raise InputError("chords names no chord; write one for each bar, such as chords='C G Am F'")
    return [Chord.parse(name) for name in names]


def over_bars(chords: Sequence[Chord], bars: int) -> list[Chord]:
    """A chord for each of M bars: those given, repeated. InputError if more are given than there are bars."""
    if len(chords) > bars:
        raise InputError(f"{len(chords)} chords are more than the {bars} bars of the piece; give {bars} or fewer")
    return [chords[bar % len(chords)] for bar in range(bars)]


def harmony_plane(chords: Sequence[Chord], beats: int, each: int) -> np.ndarray:
    """What chords of `each` beats ask of every beat of a piece, (N, 12) float32; the last one lasts to the end."""
    index = np.minimum(np.arange(beats) // each, len(chords) - 1)
    return np.stack([chord.harmony for chord in chords])[index]


def share_heard(notes: Notes, chords: Sequence[Chord], each: int = STEPS_PER_BAR) -> float | None:
    """Share of the spans that sound in which the triad asked is the one heard; None where none sounds.

    `chords` (M,), one for every `each` steps. Heard is the major or minor triad whose tones together sound longest. A
    diminished, augmented or suspended chord is compared by its own tones.
    """
    triads = [Chord(root, quality) for quality in ("", "m") for root in range(12)]
    right = []
    for weights, chord in zip(_weights(notes, len(chords), each), chords, strict=True):
        if weights.any():
            asked = chord if chord.quality in _OWN else chord.triad
            candidates = triads if asked in triads else [*triads, asked]
            fits = [weights[list(c.classes)].sum() / len(c.classes) ** 0.5 for c in candidates]
            right.append(candidates[int(np.argmax(fits))].classes == asked.classes)
    return float(np.mean(right)) if right else None


def _weights(notes: Notes, spans: int, each: int) -> np.ndarray:
    """Sounding steps of each pitch class in each span of `each` steps, (spans, 12)."""
    age = np.arange(notes.duration.sum()) - np.repeat(notes.duration.cumsum() - notes.duration, notes.duration)
    span = (np.repeat(notes.onset, notes.duration) + age) // each
    cell = span * 12 + np.repeat(notes.pitch % 12, notes.duration)
    return np.bincount(cell[span < spans], minlength=12 * spans).reshape(spans, 12).astype(np.float64)


def bars_of(beats: int) -> int:
    """Bars of a piece of N beats, a partial one counted as a whole."""
    return -(-beats // BEATS_PER_BAR)


def _pitch_class(letter: str, accidental: str) -> int:
    return (_LETTERS[letter] + {"#": 1, "b": -1, "": 0}[accidental]) % 12


def _name(pitch_class: int) -> str:
    return str(Key(pitch_class, False)).split()[0]
