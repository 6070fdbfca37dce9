"""Notes per beat, and Spearman's correlation of two numbers per beat.

Shape legend: T beats.
"""

import numpy as np
from numpy.typing import NDArray

from diffbgm.music.notes import STEPS_PER_BEAT, Notes

FEWEST_BEATS = 4  # for a correlation


def note_density(notes: Notes, beats: int) -> NDArray[np.float64]:
    """Notes that start in each beat, (T,) float."""
    beat = notes.onset // STEPS_PER_BEAT
    return np.bincount(beat[beat < beats], minlength=beats).astype(np.float64)


def rank(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Centred rank within the piece, (T,) -> (T,) in (0, 1); ties share their mean rank, so constant gives 0.5."""
    _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
    return ((np.cumsum(counts) - counts / 2) / max(len(values), 1))[where]


def standardised(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Values of mean 0 and length 1; zeros where they are constant."""
    centred = values - values.mean()
    length = np.linalg.norm(centred)
    return centred / length if length > 0 else centred


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float | None:
    """Spearman's rank correlation of two numbers per beat, (T,) each, in [-1, 1].

    None for fewer than four beats, and if either is constant.
    """
    if len(first) < FEWEST_BEATS or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(standardised(rank(second)) @ standardised(rank(first)))
