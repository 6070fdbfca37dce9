"""Choosing a tempo so that given moments fall on beats."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class TempoChoice:
    """A tempo, and how well the marks coincide with its beats."""

    bpm: float
    score: float | None  # mean cos(2 pi mark / beat): 1 all on beats, -1 all halfway between them; None without marks


def beat_score(marks: np.ndarray, bpm: float) -> float:
    """Mean over marks (seconds) of cos(2 pi t / beat), for beats counted from t = 0."""
    return float(np.cos(2 * np.pi * marks * bpm / 60.0).mean())


def choose_tempo(
    marks: np.ndarray, low: float = 90.0, high: float = 140.0, preferred: float = 120.0, pull: float = 0.2
) -> TempoChoice:
    """The tempo in [low, high] BPM (steps of 0.5) that puts most marks (seconds) on beats.

    `pull` is subtracted per octave of distance from `preferred`, so that a few marks, which many tempi fit equally
    well, do not push the tempo to an end of the range. Without marks the preferred tempo is returned.
    """
    marks = np.asarray(marks, dtype=float)
    if marks.size == 0:
        return TempoChoice(preferred, None)
    candidates = np.arange(low, high + 0.25, 0.5)
    scores = np.cos(2 * np.pi * marks[None, :] * candidates[:, None] / 60.0).mean(axis=1)
    best = int((scores - pull * np.abs(np.log2(candidates / preferred))).argmax())
    return TempoChoice(float(candidates[best]), float(scores[best]))
