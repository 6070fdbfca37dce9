"""Notes to an onset/sustain piano roll and back (Diff-BGM, section 3: x0 in R^{2 x 128 x 128}).

Shape legend: N notes, B segments, S sixteenth steps, P = 128 pitches.

Channel 0 holds 1 where a note starts, channel 1 holds 1 on its later steps: a note of duration d that starts at step s
has its onset at s and sustain at s+1 .. s+d-1. A pitch sounds once at a time, so a new onset ends the older note.
"""

import numpy as np

from diffbgm.music.notes import PITCHES, Notes

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
    # `cut_overlaps`, several times faster. One number per note holds its segment, pitch, onset and `steps` less its
    # duration, so that the longest of those that start together comes first. Once sorted, a note is followed by the one
    # that may end it.
    bits = steps.bit_length()
    cell = (index * PITCHES + pitch) * steps + onset
    packed = np.sort(cell << bits | steps - np.clip(duration, 1, steps - onset))
    cell, duration = packed >> bits, steps - (packed & (1 << bits) - 1)
    longest = np.append(True, cell[1:] != cell[:-1]) if len(cell) else np.zeros(0, bool)
    cell, duration = cell[longest], duration[longest]
    duration = np.minimum(duration, np.append(np.diff(cell), steps)[: len(cell)])

    line, onset = np.divmod(cell, steps)
    start = (line // PITCHES * 2 * steps + onset) * PITCHES + line % PITCHES  # the onset's place in the flat result
    roll = np.zeros(batch * 2 * steps * PITCHES, np.float32)
    roll[start] = 1
    later = duration - 1  # sustained cells of each note: in the second channel, P apart, one after the other
    before = np.cumsum(later) - later
    first = start + (steps + 1 - before) * PITCHES
    roll[np.repeat(first, later) + np.arange(later.sum()) * PITCHES] = 1
    return roll.reshape(batch, 2, steps, PITCHES)


def decode(roll: np.ndarray, threshold: float = 0.5, velocity: int = 80) -> Notes:
    """The notes of a roll (2, S, P) of any real numbers: on track 0, with one velocity, sorted by onset and pitch.

    A note starts where onset > threshold and lasts while sustain > threshold on the following steps without a new
    onset. Sustain without an onset before it is ignored.
    """
    steps = roll.shape[1]
    assert roll.shape == (2, steps, PITCHES), f"not a roll: {roll.shape}"
    above = roll > threshold
    # Each pitch has a line of steps + 1 cells, the last of which is never held, so that no run leaves its line.
    lines = np.zeros((PITCHES, steps + 1), bool)
    np.greater(above[SUSTAIN].T, above[ONSET].T, out=lines[:, :steps])  # held: sustain and no onset
    held = lines.ravel()
    onset, pitch = np.divmod(np.flatnonzero(above[ONSET]), PITCHES)
    cell = pitch * (steps + 1) + onset
    last = np.flatnonzero(held[:-1] > held[1:])  # the last cell of every run
    duration = np.ones_like(onset)
    sustained = held[cell + 1]
    cell = cell[sustained]
    duration[sustained] = last[np.searchsorted(last, cell)] - cell + 1
    return Notes(onset, pitch, duration, np.full_like(onset, velocity), np.zeros_like(onset))
