"""Piano rolls made of a few notes."""

import numpy as np

from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import encode


def roll_of(*notes: tuple[int, int, int], steps: int = 128) -> np.ndarray:
    """(2, steps, 128) of (onset, pitch, duration)."""
    onset, pitch, duration = np.array(notes, np.int64).reshape(-1, 3).T
    return encode(Notes(onset, pitch, duration, np.full_like(onset, 80), np.zeros_like(onset)), steps)
