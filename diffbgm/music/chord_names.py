"""The names of the chords in a finished piece, for display: the triad that fits each half bar best.

Shape legend: N notes, S spans, 24 triads (12 major, then 12 minor, C = 0).
"""

from dataclasses import dataclass

import numpy as np

from diffbgm.music.key import Key
from diffbgm.music.notes import STEPS_PER_BEAT, Notes

NO_CHORD = "–"
_FITS = 0.72  # cosine below which a span has no name: a lone note reaches 0.62, a triad with one foreign tone 0.85
ROOT, THIRD, FIFTH = 1.0, 1.0, 0.8  # weights in a template


@dataclass(frozen=True)
class NamedChord:
    """A chord that holds until the next one."""

    beat: int  # where it begins
    name: str  # such as "C", "F#m", or `NO_CHORD`


def chord_names(notes: Notes, span_beats: int = 2) -> list[NamedChord]:
    """The best-fitting triad of every `span_beats` beats, with equal neighbours joined; [] for an empty piece.

    The sounding time of each pitch class in a span, with extra weight for the lowest pitch, is compared with the 24
    triads by cosine similarity; a span that fits none of them well is `NO_CHORD`.
    """
    if not len(notes):
        return []
    weights = _weights(notes, span_beats * STEPS_PER_BEAT)
    triads = _triads()
    norm = np.linalg.norm(weights, axis=1, keepdims=True) * np.linalg.norm(triads, axis=1)
    cosine = np.divide(weights @ triads.T, norm, out=np.zeros_like(norm), where=norm > 0)
    best, fit = cosine.argmax(axis=1), cosine.max(axis=1)
    names = [_name(int(triad)) if value >= _FITS else NO_CHORD for triad, value in zip(best, fit, strict=True)]
    changes = [k for k, name in enumerate(names) if k == 0 or name != names[k - 1]]
    return [NamedChord(k * span_beats, names[k]) for k in changes]


def _weights(notes: Notes, span: int) -> np.ndarray:
    """Sounding steps of each pitch class in each span of `span` steps, (S, 12)."""
    spans = -(-notes.end // span)
    weights = np.zeros((spans, 12))
    lowest = np.full(spans, 128)
    for onset, end, pitch in zip(notes.onset, notes.onset + notes.duration, notes.pitch, strict=True):
        for k in range(onset // span, (end - 1) // span + 1):
            sounding = min(end, (k + 1) * span) - max(onset, k * span)
            weights[k, pitch % 12] += sounding
            lowest[k] = min(lowest[k], pitch)
    heard = np.flatnonzero(lowest < 128)
    weights[heard, lowest[heard] % 12] += weights[heard].sum(axis=1) / 6
    return weights


def _triads() -> np.ndarray:
    """Templates of the 24 triads, (24, 12)."""
    rows = []
    for third in (4, 3):
        for root in range(12):
            row = np.zeros(12)
            row[[root, (root + third) % 12, (root + 7) % 12]] = ROOT, THIRD, FIFTH
            rows.append(row)
    return np.stack(rows)


def _name(triad: int) -> str:
    return str(Key(triad % 12, False)).split()[0] + ("m" if triad >= 12 else "")
