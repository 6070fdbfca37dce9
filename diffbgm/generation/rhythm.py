"""The groove of a piece, chosen before its notes."""

import numpy as np

from diffbgm.music.rhythm_plan import grooves
from diffbgm.music.theme import GROOVE, THEME_WIDTH
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import pace

RHYTHM = 3_000_017  # separates the seed of the groove from that of the notes
MIDDLE = 0.5  # motion if the features do not measure it


def planned_theme(features: BeatFeatures, seed: tuple[int, ...]) -> np.ndarray:
    """A theme (N, 16) for N beats, float32, that asks for one groove, of a song with as much motion, and no harmony."""
    motion = pace(features)
    mean = MIDDLE if motion is None or not features.valid.any() else float(motion[features.valid].mean())
    bar = grooves().draw(mean, np.random.default_rng([*seed, RHYTHM]))
    theme = np.zeros((len(features.valid), THEME_WIDTH), np.float32)
    theme[:, GROOVE] = np.resize(bar, (len(theme), bar.shape[1]))
    return theme
