"""Grooving pattern similarity over note tables: the exact GPS on the sixteenth grid, and MusDr's GS under its own name.

Shape legend: N notes, M bars, P positions in a bar. Times are in sixteenth steps.
"""

import numpy as np

from diffbgm.evaluation.pitch import from_first_bar
from diffbgm.music.notes import STEPS_PER_BAR, Notes


def patterns(notes: Notes) -> np.ndarray:
    """Which of the 16 positions of each bar have an onset: bool (M, 16), from the first to the last bar with one."""
    notes = from_first_bar(notes)
    bars = int(notes.onset.max()) // STEPS_PER_BAR + 1 if len(notes) else 0
    grid = np.zeros(bars * STEPS_PER_BAR, bool)
    grid[notes.onset] = True
    return grid.reshape(bars, STEPS_PER_BAR)


def similarity(bars: np.ndarray, positions: int | None = None) -> float | None:
    """1 - XOR / positions, mean over all pairs of bars (M, P): 1 for identical bars, 0 for opposite ones.

    `positions` is the divisor (P by default). None for fewer than two bars. All pairs are counted at once: among M
    bars, a position with k onsets differs in k (M - k) of the M (M - 1) / 2 pairs.
    """
    count, width = bars.shape
    if count < 2:
        return None
    onsets = bars.sum(axis=0).astype(np.int64)
    differing = float((onsets * (count - onsets)).sum()) / (count * (count - 1) / 2)
    return 1.0 - differing / (positions or width)


def gps(notes: Notes, drop_last: bool = True) -> float | None:
    """Grooving pattern similarity of a piece on the exact grid, in [0, 1].

    A bar of 4/4 is a binary vector of 16 onset positions; 1 - XOR / 16, mean over all pairs of bars, the last bar
    dropped as the release does (`drop_last`). None if fewer than two bars are left. Source: Wu & Yang 2020 (the
    measure), the evaluation of Diff-BGM's release (16 positions, all pairs). The result is higher than that of the
    paper's protocol, `gps_paper`; do not compare one with the other.
    """
    bars = patterns(notes)
    return similarity(bars[:-1] if drop_last else bars)


def musdr_gs(notes: Notes) -> float | None:
    """GS of MusDr: 64 positions per bar, so on a sixteenth grid the XOR of 16 positions is divided by 64.

    All pairs are taken where MusDr samples 1,000. None for fewer than two bars. Source: Wu & Yang 2020, section 4.2.
    """
    return similarity(patterns(notes), positions=4 * STEPS_PER_BAR)
