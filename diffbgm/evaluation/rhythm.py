"""Volume, accents, and the variance of the distances between accents (ADV, supplement of Diff-BGM).

The supplement gives the formula in words; the accent detector and the two choices marked below are ours.

Shape legend: N notes, S steps, A accents. Times are in sixteenth steps, so that tempo does not enter.
"""

import numpy as np

from diffbgm.music.notes import STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes

DECAY = float(STEPS_PER_BEAT)  # steps in which the energy of a struck string falls to 1/e, about a piano's at 120 BPM
PROMINENCE = 0.5  # standard deviations above its segment's mean that a rise needs to be an accent
SHORTEST = 0.5  # distances under this share of the mean distance are deleted


def volume(notes: Notes, steps: int | None = None) -> np.ndarray:
    """Volume at each step, (S,) float: root of the summed energy of what sounds.

    A note enters with energy (velocity / 127)^2 and dies away exponentially until it is released. S is the piece's end
    unless given. Zeros where nothing sounds.
    """
    steps = notes.end if steps is None else steps
    age = np.arange(notes.duration.sum()) - np.repeat(notes.duration.cumsum() - notes.duration, notes.duration)
    at = np.repeat(notes.onset, notes.duration) + age
    energy = np.repeat((notes.velocity / 127.0) ** 2, notes.duration) * np.exp(-age / DECAY)
    inside = at < steps
    return np.sqrt(np.bincount(at[inside], weights=energy[inside], minlength=steps))


def accents(curve: np.ndarray, segments: int | None = None) -> np.ndarray:
    """Steps (A,) of the marked accents of a volume curve (S,), increasing.

    The curve is split into `segments` equal parts (8 bars each by default). A step is an accent where the volume rises
    by more than the mean of the rises of its part plus half their standard deviation, and no neighbour rises more.
    Ours: the supplement only says that accents are detected in n equal segments of the volume curve.
    """
    if not len(curve):
        return np.zeros(0, np.int64)
    rise = np.maximum(np.diff(curve, prepend=0.0), 0.0)
    segments = segments or max(1, round(len(curve) / STEPS_PER_SEGMENT))
    parts = np.array_split(rise, segments)
    level = np.concatenate([np.full(len(part), part.mean() + PROMINENCE * part.std()) for part in parts])
    padded = np.pad(rise, 1)
    peak = (rise > padded[:-2]) & (rise >= padded[2:])
    return np.flatnonzero(peak & (rise > level + 1e-9))


def accent_distance_variance(times: np.ndarray) -> float | None:
    """ADV of accent times (A,), in [0, 1): 0 for evenly spaced accents, small is rhythmic. None for fewer than three.

    Distances D between neighbours are normalised to sum 1, those under half the mean distance deleted (ours: the
    supplement names no threshold and no norm; this norm makes the number independent of length and tempo), then
    L = l var(D) / max(D) with l the number of accents, and ADV = 2 (sigmoid(L) - 1/2).
    """
    if len(times) < 3:
        return None
    distances = np.diff(np.asarray(times, np.float64))
    distances = distances / distances.sum()
    distances = distances[distances >= SHORTEST * distances.mean()]
    spread = len(times) * distances.var() / distances.max()
    return float(np.tanh(spread / 2))  # 2 (sigmoid(L) - 1/2) = tanh(L / 2)


def adv(notes: Notes) -> float | None:
    """ADV of a piece: of the accents of its volume curve. None where it has fewer than three."""
    return accent_distance_variance(accents(volume(notes)))
