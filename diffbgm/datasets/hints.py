"""Hints that a training segment is given about itself and its song, so that a network can be asked for chords, a key,
a groove, a passage to take up again, or nothing at all.

Shape legend: B segments, C planes, T beats, S steps, P pitches, 16 numbers of a theme (music/theme.py).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.music.parts import merged
from diffbgm.music.pianoroll import ONSET
from diffbgm.music.theme import GROOVE, HARMONY, THEME_WIDTH, groove_of, harmony_of


@dataclass(frozen=True)
class ThemeHint:
    """Probabilities are per segment; what is drawn for one depends on its generator alone."""

    spans: tuple[int, ...] = (2, 8, 32)  # beats: chords, a phrase's pitch classes, or the whole segment's (its key)
    shares: tuple[float, ...] = (0.5, 0.2, 0.3)  # how often each is told
    no_harmony: float = 0.3  # probability of not being told of harmony
    no_groove: float = 0.4  # nor, by itself, of groove
    partly: float = 0.15  # probability of being told of one stretch of beats only

    def __call__(self, rolls: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Theme (B, T, 16) of rolls (B, 2, S, P); zeros where it is withheld."""
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
    """Which other segment of its song a training segment gets as a reference; shares are of those that get one."""

    told: float = 0.7  # probability of being told any
    twin: float = 0.5  # the most similar one
    before: float = 0.25  # the one that ends where this one begins; the rest: any that is 8 bars away or more

    def choose(self, segment: int, cache: Mapping[str, np.ndarray], generator: np.random.Generator) -> int:
        """The number of a segment, or -1 for none. `cache` holds segment_song, segment_beat and segment_twin."""
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


def reference_planes(roll: np.ndarray, asked: float) -> np.ndarray:
    """The hint (C + 1, S, P) for a passage (C, S, P) that the music should resemble; `asked`: how closely."""
    return np.concatenate([roll, np.full((1, *roll.shape[1:]), asked, np.float32)]).astype(np.float32)


def likeness(one: np.ndarray, two: np.ndarray) -> float:
    """Share of the onsets of two rolls (C, S, P) of 0 and 1 that they have in common (Jaccard); 0 where both are empty.

    With two parts an onset counts whichever part has it.
    """
    a, b = (merged(roll)[ONSET] > 0.5 for roll in (one, two))
    return float((a & b).sum() / max(int((a | b).sum()), 1))
