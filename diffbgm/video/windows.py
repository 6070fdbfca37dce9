"""How many beats an attention window spans where the shots of the video decide it."""

import numpy as np

from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.video.streams import spans

WINDOWS = (4, 8, 16, 32)  # beats; what a dynamic attention window may be (paper, table S2)


def dynamic_windows(cut: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """The allowed window (K,) closest to the median length of the shots a segment overlaps; ties go to the shorter.

    `cut` (n,) bool marks beats in which a new shot begins, `starts` (K,) first beats of the segments. A shot counts at
    its full length, even where it reaches out of the segment.
    """
    first, last = spans(cut)
    choices = np.array(WINDOWS)
    windows = np.zeros(len(starts), np.int64)
    for k, start in enumerate(starts):
        inside = (first < start + BEATS_PER_SEGMENT) & (last > start)
        windows[k] = choices[np.abs(choices - np.median((last - first)[inside])).argmin()]
    return windows
