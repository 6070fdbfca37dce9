"""The groove of a piece, chosen before its notes (`compose.rhythm=plan`).

Shape legend: N beats of a piece, T of a theme, 16 numbers of a theme (music/theme.py).
"""

from dataclasses import dataclass

import numpy as np

from diffbgm.music.rhythm_plan import grooves
from diffbgm.music.theme import GROOVE
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import average, pace

SEED = 3_000_017  # separates the seed of the groove from that of the notes
POWER = 0.4  # exponent of the shares of bars: a low temperature makes rare onsets rarer, so more are asked for


@dataclass(frozen=True)
class Rhythm:
    """How the network is conditioned on a groove."""

    planned: bool

    def begun(
        self, theme: np.ndarray, features: BeatFeatures, seed: tuple[int, ...], among: np.ndarray | None = None
    ) -> np.ndarray:
        """A theme (T, 16) in the groove of a song of similar motion to that of N beats; unchanged without a plan.

        `among` (N,) bool chooses the beats whose motion counts; None: all.
        """
        if not self.planned:
            return theme
        motion = average(pace(features), features, among)
        bar = grooves().draw(motion, np.random.default_rng([*seed, SEED]))
        told = theme.copy()
        told[:, GROOVE] = np.resize(bar, (len(theme), bar.shape[1]))
        return self.heard(told)

    def heard(self, theme: np.ndarray) -> np.ndarray:
        """The theme (N, 16) to ask for so that this one results: with a plan, rare onsets are asked for more often."""
        told = theme.copy()
        if self.planned:
            share = (told[:, GROOVE] + 1) / 2
            told[:, GROOVE] = 2 * share**POWER - 1
        return told
