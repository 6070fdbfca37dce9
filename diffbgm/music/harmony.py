"""Chords: their symbols, the pitch classes that each asks for, and whether they are heard in the notes.

Shape legend: N beats of a piece, M bars, 12 pitch classes (C = 0).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.key import Key, pitch_class
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
_OWN = frozenset("dim aug sus2 sus4 dim7 m7b5".split())  # not a major or minor triad with further tones
_SYMBOL = re.compile(r"([A-G])([#b]?):?([^/\s]*)(?:/([A-G])([#b]?))?")


@dataclass(frozen=True)
class Chord:
    """A root, a quality of `QUALITIES` and, if another tone than the root is lowest, that tone."""

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
        bass = None if match[4] is None else pitch_class(match[4], match[5])
        return cls(pitch_class(match[1], match[2]), quality, bass)

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
        """What it asks a beat for, (12,) float32: the share of each pitch class in a theme (music/theme.py)."""
        asked = np.zeros(12, np.float32)
        asked[list(self.classes)] = TONES[: len(self.classes)]
        if self.bass is not None:
            asked[self.bass] = 1.0
        return asked


def parse_chords(text: str) -> list[Chord]:
    """The chords of text such as "C G Am F", separated by spaces, commas or bar lines.

    Raises InputError, which names the chord, if one cannot be read.
    """
    names = [name for name in re.split(r"[\s,|]+", text) if name]
    if not names:
        raise InputError("chords names no chord; write one for each bar, such as chords='C G Am F'")
    return [Chord.parse(name) for name in names]


def over_bars(chords: Sequence[Chord], bars: int) -> list[Chord]:
    """A chord for each of M bars: `chords`, repeated. Raises InputError for more chords than bars."""
    if len(chords) > bars:
        raise InputError(f"{len(chords)} chords are more than the {bars} bars of the piece; give {bars} or fewer")
    return [chords[bar % len(chords)] for bar in range(bars)]


def harmony_plane(chords: Sequence[Chord], beats: int, each: int) -> np.ndarray:
    """What chords of `each` beats ask every beat of a piece for, (N, 12) float32; the last one lasts to the end."""
    index = np.minimum(np.arange(beats) // each, len(chords) - 1)
    return np.stack([chord.harmony for chord in chords])[index]


def share_heard(notes: Notes, chords: Sequence[Chord], each: int = STEPS_PER_BAR) -> float | None:
    """Share of the spans with notes in which the triad that was asked for is heard; None if there are no notes.

    `chords` (M,), one for every `each` steps. The triad heard is the major or minor one whose tones together sound
    longest. Diminished, augmented and suspended chords are compared by their own tones.
    """
    triads = [Chord(root, quality) for quality in ("", "m") for root in range(12)]
    right = []
    for weights, chord in zip(sounding_steps(notes, len(chords), each), chords, strict=True):
        if weights.any():
            asked = chord if chord.quality in _OWN else chord.triad
            candidates = triads if asked in triads else [*triads, asked]
            fits = [weights[list(c.classes)].sum() / len(c.classes) ** 0.5 for c in candidates]
            right.append(candidates[int(np.argmax(fits))].classes == asked.classes)
    return float(np.mean(right)) if right else None


def sounding_steps(notes: Notes, spans: int, each: int) -> np.ndarray:
    """For how many steps each pitch class sounds in each span of `each` steps, (spans, 12)."""
    age = np.arange(notes.duration.sum()) - np.repeat(notes.duration.cumsum() - notes.duration, notes.duration)
    span = (np.repeat(notes.onset, notes.duration) + age) // each
    cell = span * 12 + np.repeat(notes.pitch % 12, notes.duration)
    return np.bincount(cell[span < spans], minlength=12 * spans).reshape(spans, 12).astype(np.float64)


def bars_of(beats: int) -> int:
    """Bars of a piece of N beats, counting an incomplete one."""
    return -(-beats // BEATS_PER_BAR)


def _name(pitch_class: int) -> str:
    return str(Key(pitch_class, False)).split()[0]
