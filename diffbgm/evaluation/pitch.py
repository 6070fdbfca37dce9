"""Pitch-class entropy of notes: PCHE as the paper defines it, and H1 and H4 of MusDr under their own names.

Shape legend: N notes, W windows. Windows and times are in sixteenth steps.
"""

import numpy as np

from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_SEGMENT, Notes

PITCH_CLASSES = 12


def entropy(counts: np.ndarray) -> float | None:
    """Entropy in bits, -sum p log2 p, of non-negative counts (12,); None where nothing was counted."""
    total = counts.sum()
    if total == 0:
        return None
    p = counts[counts > 0] / total
    return float(-(p * np.log2(p)).sum()) + 0.0


def pitch_class_entropy(pitch: np.ndarray) -> float | None:
    """Entropy of the 12 pitch classes of MIDI pitches (N,) in bits; durations do not matter. None without notes."""
    return entropy(np.bincount(np.asarray(pitch, np.int64) % PITCH_CLASSES, minlength=PITCH_CLASSES))


def from_first_bar(notes: Notes) -> Notes:
    """The piece without the empty bars before its first note, which have neither harmony nor groove."""
    return notes.shifted(-(int(notes.onset.min()) // STEPS_PER_BAR) * STEPS_PER_BAR) if len(notes) else notes


def window_histograms(notes: Notes, starts: np.ndarray, length: int) -> np.ndarray:
    """Pitch-class counts (W, 12) of the notes that start in [start, start + length) for each of `starts` (W,)."""
    ordered = notes.sorted()
    one_hot = np.zeros((len(ordered) + 1, PITCH_CLASSES), np.int64)
    one_hot[np.arange(len(ordered)) + 1, ordered.pitch % PITCH_CLASSES] = 1
    running = one_hot.cumsum(axis=0)
    first = np.searchsorted(ordered.onset, starts)
    last = np.searchsorted(ordered.onset, np.asarray(starts) + length)
    return running[last] - running[first]


def _mean_entropy(notes: Notes, starts: np.ndarray, length: int) -> float | None:
    values = [entropy(counts) for counts in window_histograms(notes, starts, length)]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def pche(notes: Notes, window: int = STEPS_PER_SEGMENT) -> float | None:
    """Pitch-class histogram entropy of a piece, in bits (0 .. log2 12); the paper's windowing on the exact grid.

    Mean over non-overlapping windows of 32 beats (`window` steps) from the bar of the first note. A partial last window
    is dropped (a partial last bar counts as a whole bar); a piece shorter than one window is one window, so that short
    clips have a value too. Windows without notes are left out; None without any note. Source: Wu & Yang 2020 (the
    histogram), the evaluation of Diff-BGM's release (the windows).
    """
    if not len(notes):
        return None
    notes = from_first_bar(notes)
    windows = max(1, _bars(notes) * STEPS_PER_BAR // window)
    return _mean_entropy(notes, np.arange(windows) * window, window)


def musdr_h(notes: Notes, bars: int) -> float | None:
    """H1 or H4 of MusDr: pitch-class entropy over every run of `bars` consecutive bars (hop one bar), mean over runs.

    The runs start with the bar of the first note. A piece of fewer bars is one run; runs without notes are left out;
    None without notes. It is not comparable with `pche`. Source: Wu & Yang, "The Jazz Transformer on the Front Line",
    ISMIR 2020, section 4.1.
    """
    if not len(notes):
        return None
    notes = from_first_bar(notes)
    runs = max(1, _bars(notes) - bars + 1)
    return _mean_entropy(notes, np.arange(runs) * STEPS_PER_BAR, bars * STEPS_PER_BAR)


def _bars(notes: Notes) -> int:
    """The number of bars up to the last sounding step, a partial one included."""
    return -(-notes.end // STEPS_PER_BAR)
