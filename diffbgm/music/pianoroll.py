"""Notes to an onset/sustain piano roll and back (Diff-BGM, section 3: x0 in R^{2 x 128 x 128}).

Shape legend: N notes, B segments, S sixteenth steps, P = 128 pitches.

Channel 0 holds 1 where a note starts, channel 1 holds 1 on its later steps: a note of duration d that starts at step s
has its onset at s and sustain at s+1 .. s+d-1. A pitch sounds once at a time, so a new onset ends the older note.
"""

import numpy as np

from diffbgm.music.notes import PITCHES, Notes, cut_overlaps

ONSET, SUSTAIN = 0, 1


def encode(notes: Notes, steps: int) -> np.ndarray:
    """The roll (2, steps, P), float32 of 0 and 1, of one piece: `encode_batch` for a single segment."""
    index = np.zeros(len(notes), np.int64)
    return encode_batch(notes.onset, notes.pitch, notes.duration, index, 1, steps)[0]


def encode_batch(
    onset: np.ndarray, pitch: np.ndarray, duration: np.ndarray, index: np.ndarray, batch: int, steps: int
) -> np.ndarray:
    """Rolls (B, 2, S, P), float32, of many segments at once; `index` (N,) says which of the B segments a note is in.

    Onsets count from the start of the note's own segment. Notes that start outside [0, steps) or lie outside the
    pitches are left out, notes that last longer are cut at the end, and a duration below 1 counts as 1. The columns
    may be integers of any width.
    """
    inside = (onset >= 0) & (onset < steps) & (pitch >= 0) & (pitch < PITCHES)
    onset, pitch, duration, index = (column[inside].astype(np.int64) for column in (onset, pitch, duration, index))
    duration = np.clip(duration, 1, steps - onset)
    kept, duration = cut_overlaps(index * PITCHES + pitch, onset, duration)
    start = (index[kept] * 2 * steps + onset[kept]) * PITCHES + pitch[kept]  # the onset cell in the flat result

    roll = np.zeros(batch * 2 * steps * PITCHES, np.float32)
    roll[start] = 1
    later = duration - 1  # sustained cells of each note, one row of P cells apart, in the second channel
    before = np.cumsum(later) - later
    first = start + (steps + 1) * PITCHES - before * PITCHES
    roll[np.repeat(first, later) + np.arange(later.sum()) * PITCHES] = 1
    return roll.reshape(batch, 2, steps, PITCHES)


def decode(roll: np.ndarray, threshold: float = 0.5, velocity: int = 80) -> Notes:
    """The notes of a roll (2, S, P) of any real numbers: on track 0, with one velocity, sorted by onset and pitch.

    A note starts where onset > threshold and lasts while sustain > threshold on the following steps without a new
    onset. Sustain that no onset leads up to is ignored.
    """
    steps = roll.shape[1]
    assert roll.shape == (2, steps, PITCHES), f"not a roll: {roll.shape}"
    started = roll[ONSET] > threshold
    held = (roll[SUSTAIN] > threshold) & ~started
    # One line of steps + 1 cells a pitch, the last of them never held, so that every note ends on its own line.
    line_started = np.zeros((PITCHES, steps + 1), bool)
    line_started[:, :steps] = started.T
    line_held = np.zeros((PITCHES, steps + 1), bool)
    line_held[:, :steps] = held.T
    starts = np.flatnonzero(line_started)
    breaks = np.flatnonzero(~line_held)
    duration = breaks[np.searchsorted(breaks, starts, side="right")] - starts
    pitch, onset = np.divmod(starts, steps + 1)
    return Notes(onset, pitch, duration, np.full_like(onset, velocity), np.zeros_like(onset)).sorted()
