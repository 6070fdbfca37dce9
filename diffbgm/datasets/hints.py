"""Hints given in training: the harmony and groove of a segment, and another passage of its song.

A network trained with them can be asked for chords, a key, a groove or the return of a passage when it generates. Hints
are withheld at random, so that it also works without them.

Shape legend: B segments, C planes, T beats, S steps, P pitches, 16 numbers of a theme (music/theme.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.errors import InputError
from diffbgm.fields import field
from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.music.parts import merged
from diffbgm.music.pianoroll import ONSET
from diffbgm.music.theme import GROOVE, HARMONY, THEME_WIDTH, groove_of, harmony_of


@dataclass(frozen=True)
class ThemeHint:
    """Draws the theme of training segments. Each segment has its own generator; probabilities are per segment."""

    spans: tuple[int, ...] = field(
        (2, 8, 32),
        low=1,
        high=BEATS_PER_SEGMENT,
        length=(1, 8),
        help="beats over which harmony is averaged: chords, a phrase, the segment (its key)",
    )
    shares: tuple[float, ...] = field((0.5, 0.2, 0.3), low=0, high=1, length=(1, 8), help="probability of each span")
    no_harmony: float = field(0.3, low=0, high=1, help="probability of withholding harmony")
    no_groove: float = field(0.4, low=0, high=1, help="probability of withholding groove, independently")
    partly: float = field(0.15, low=0, high=1, help="probability of giving the theme for one range of beats only")

    def __post_init__(self) -> None:
        if len(self.spans) != len(self.shares) or abs(sum(self.shares) - 1) > 1e-6:
            raise InputError(
                f"theme.shares={list(self.shares)} does not fit theme.spans={list(self.spans)}; give each span its "
                "probability, together 1"
            )

    def __call__(self, rolls: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Theme (B, T, 16) float32 of rolls (B, 2, S, P); zeros where it is withheld."""
        harmony, groove, part, which, *ends = np.stack([generator.random(6) for generator in generators], axis=1)
        by_span = np.stack([harmony_of(rolls, span) for span in self.spans])
        chosen = np.searchsorted(np.cumsum(self.shares[:-1]), which, side="right")
        theme = np.zeros((*by_span.shape[1:3], THEME_WIDTH), np.float32)
        theme[..., HARMONY] = by_span[chosen, np.arange(len(rolls))]
        theme[..., GROOVE] = groove_of(rolls)
        theme[harmony < self.no_harmony, :, HARMONY] = 0
        theme[groove < self.no_groove, :, GROOVE] = 0
        beat = np.arange(theme.shape[1])
        first, last = np.sort(ends, axis=0) * len(beat)
        outside = (beat < first[:, None]) | (beat > last[:, None])
        theme[(part < self.partly)[:, None] & outside] = 0
        return theme


@dataclass(frozen=True)
class ReferenceHint:
    """Draws the other segment of its song that a training segment gets as a reference.

    The references that are neither the twin nor the segment before are drawn from all that are at least 8 bars away.
    """

    told: float = field(0.7, low=0, high=1, help="probability of getting a reference")
    twin: float = field(0.5, low=0, high=1, help="share of references that are the most similar segment")
    before: float = field(0.25, low=0, high=1, help="share that are the segment ending where this one begins")

    def __post_init__(self) -> None:
        if self.twin + self.before > 1 + 1e-6:
            raise InputError(
                f"reference.twin={self.twin:g} and reference.before={self.before:g} are shares of the same references; "
                "give at most 1 together"
            )

    def choose(self, segment: int, cache: Mapping[str, np.ndarray], generator: np.random.Generator) -> int:
        """The index of the reference, or -1 for none. `cache` holds segment_song, segment_beat and segment_twin."""
        told, which, place = generator.random(3)
        if told >= self.told:
            return -1
        if which < self.twin:
            return int(cache["segment_twin"][segment])
        song, beat = cache["segment_song"], cache["segment_beat"]
        first, stop = np.searchsorted(song, [song[segment], song[segment] + 1])
        away = beat[first:stop] - beat[segment]
        before = which < self.twin + self.before
        found = np.flatnonzero(away == -BEATS_PER_SEGMENT if before else np.abs(away) >= BEATS_PER_SEGMENT)
        return int(first + found[int(place * len(found))]) if len(found) else -1


def likeness(one: np.ndarray, two: np.ndarray) -> float:
    """Jaccard index of the onsets of two binary rolls (C, S, P), parts merged; 0 if both are empty."""
    a, b = (merged(roll)[ONSET] > 0.5 for roll in (one, two))
    return float((a & b).sum() / max(int((a | b).sum()), 1))
