"""How much of its own theme a training segment is told: so that a network can be asked for chords, a key, a groove, or
nothing at all.

Shape legend: B segments, T beats, S steps, P pitches, 16 numbers of a theme (music/theme.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

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
        """Theme (B, T, 16) of rolls (B, 2, S, P); zeros where it is not told."""
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
