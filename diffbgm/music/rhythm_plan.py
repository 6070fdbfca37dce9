"""Plan the rhythm of a piece before its notes: in how many bars a note starts at each sixteenth.

    groove = grooves().draw(motion=0.4, rng=np.random.default_rng(0))

Drawn from the grooves of POP909's training segments whose motion (notes per beat, as the video's motion asks for them)
is closest to the one asked for. `scripts/fit_grooves.py` collects them; grooves.npz holds them.

Shape legend: G segments of 8 bars, 16 sixteenths of a bar.
"""

from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from diffbgm.music.notes import BARS_PER_SEGMENT, BEATS_PER_BAR, STEPS_PER_BEAT

NEAREST = 1 / 40  # share of the segments, those with the closest motion, from which one is drawn
MODEL = Path(__file__).with_name("grooves.npz")


@dataclass(frozen=True)
class Grooves:
    """The rhythms to draw from, in ascending order of motion."""

    starts: np.ndarray  # (G, 16) uint8, number of a segment's bars in which a note starts at this sixteenth
    motion: np.ndarray  # (G,) float32 in [0, 1], mean of the motion stream over the segment

    @classmethod
    def load(cls, path: Path = MODEL) -> "Grooves":
        """The collection that ships with the package."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))

    def draw(self, motion: float, rng: np.random.Generator) -> np.ndarray:
        """The groove of a bar, (4, 4) beats and sixteenths, in [-1, 1] as in music/theme.py, for a motion in [0, 1]."""
        count = max(1, round(NEAREST * len(self.motion)))
        middle = int(np.searchsorted(self.motion, motion))
        first = int(np.clip(middle - count // 2, 0, len(self.motion) - count))
        share = self.starts[first + rng.integers(count)].astype(np.float32) / BARS_PER_SEGMENT
        return (2 * share - 1).reshape(BEATS_PER_BAR, STEPS_PER_BEAT)


@lru_cache(1)
def grooves() -> Grooves:
    """The collection that ships with the package, read once."""
    return Grooves.load()
