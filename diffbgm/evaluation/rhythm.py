"""Volume, accents, and the variance of the distances between accents (ADV, supplement of Diff-BGM, equation 2).

The supplement gives the formula but leaves open the accent detector, the norm of the distances, the threshold below
which they are deleted and the number of segments; the last three are settings (`AdvSettings`).

Shape legend: N notes, S steps, A accents. Times are in sixteenth steps, so that the tempo does not matter.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from diffbgm.fields import field
from diffbgm.music.notes import STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes

DECAY = float(STEPS_PER_BEAT)  # steps in which the energy of a struck string falls to 1/e, about a piano's at 120 BPM
PROMINENCE = 0.5  # an accent rises more than this many standard deviations above its segment's mean rise
NORMS: dict[str, Callable[[np.ndarray], float]] = {"max": np.max, "sum": np.sum, "mean": np.mean}


@dataclass(frozen=True)
class AdvSettings:
    """Settings that the supplement leaves open."""

    norm: str = field("max", choices=tuple(NORMS), help="what the distances are divided by")
    shortest: float = field(0.5, low=0, high=1, help="distances under this share of the mean distance are deleted")
    segments: int | None = field(
        None, low=1, high=10**6, help="equal parts in which accents are detected; null: eight bars each"
    )


USUAL = AdvSettings()


def volume(notes: Notes, steps: int | None = None) -> np.ndarray:
    """Volume at each step, (S,) float: the square root of the summed energy of the sounding notes.

    A note starts with energy (velocity / 127)^2, which decays exponentially until the note is released. `steps` is S,
    by default the end of the piece. Silent steps are 0.
    """
    steps = notes.end if steps is None else steps
    age = np.arange(notes.duration.sum()) - np.repeat(notes.duration.cumsum() - notes.duration, notes.duration)
    at = np.repeat(notes.onset, notes.duration) + age
    energy = np.repeat((notes.velocity / 127.0) ** 2, notes.duration) * np.exp(-age / DECAY)
    inside = at < steps
    return np.sqrt(np.bincount(at[inside], weights=energy[inside], minlength=steps))


def accents(curve: np.ndarray, segments: int | None = None) -> np.ndarray:
    """Steps (A,) of the marked accents of a volume curve (S,), increasing.

    The curve is split into `segments` equal parts (8 bars each by default). A step is an accent if its rise in volume
    exceeds the mean rise of its part by half a standard deviation and neither neighbour rises more. This rule is ours:
    the supplement only says that accents are detected in n equal segments of the volume curve.
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


def accent_distance_variance(times: np.ndarray, settings: AdvSettings = USUAL) -> float | None:
    """ADV of accent times (A,), in [0, 1), exactly as equation 2 states it; a small value means regular accents.

    With D the distances between neighbours in sixteenth steps and l the number of accents,
    L = l var(D / norm(D), short ones deleted) / max(D) and ADV = 2 (sigmoid(L) - 1/2). max(D) is the longest distance
    before normalisation, so the value depends on the unit of D; sixteenth steps make it independent of tempo. None for
    fewer than three accents.
    """
    if len(times) < 3:
        return None
    distances = np.diff(np.asarray(times, np.float64))
    spread = len(times) * _kept(distances, settings).var() / distances.max()
    return float(np.tanh(spread / 2))  # 2 (sigmoid(L) - 1/2) = tanh(L / 2)


def relative_variance(times: np.ndarray, settings: AdvSettings = USUAL) -> float | None:
    """ADV with max(D) replaced by the maximum of the normalised, thresholded distances (sum 1).

    It has no unit, so sixteenths and seconds give the same value; it is not the paper's number. None for fewer than
    three accents.
    """
    if len(times) < 3:
        return None
    kept = _kept(np.diff(np.asarray(times, np.float64)), replace(settings, norm="sum"))
    return float(np.tanh(len(times) * kept.var() / kept.max() / 2))


def _kept(distances: np.ndarray, settings: AdvSettings) -> np.ndarray:
    """Distances divided by their norm, without those below the threshold."""
    normalised = distances / NORMS[settings.norm](distances)
    return normalised[normalised >= settings.shortest * normalised.mean()]


def adv_columns(notes: Notes, settings: AdvSettings = USUAL) -> dict[str, float | None]:
    """`adv` and `adv_relative` of a piece, from the accents of its volume curve."""
    times = accents(volume(notes), settings.segments)
    return {"adv": accent_distance_variance(times, settings), "adv_relative": relative_variance(times, settings)}


def adv(notes: Notes, settings: AdvSettings = USUAL) -> float | None:
    """ADV of a piece, from the accents of its volume curve. None for fewer than three accents."""
    return accent_distance_variance(accents(volume(notes), settings.segments), settings)
