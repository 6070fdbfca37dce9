"""Attention windows whose length follows the shots of the video."""

import numpy as np

from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.video.streams import spans

WINDOWS = (4, 8, 16, 32)  # beats; allowed lengths of a dynamic attention window (paper, table S2)


def dynamic_windows(cut: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The allowed window (K,) closest to the median length of the shots that overlap each segment; the shorter on ties.

    `cut` (n,) marks beats in which a new shot begins; `starts` (K,) are the first beats of the segments. A shot counts
    with its full length even if part of it lies outside the segment.
    """
    first, last = spans(cut)
    choices = np.array(WINDOWS)
    windows = np.zeros(len(starts), np.int64)
    for k, start in enumerate(starts):
        inside = (first < start + BEATS_PER_SEGMENT) & (last > start)
        windows[k] = choices[np.abs(choices - np.median((last - first)[inside])).argmin()]
    return windows
