"""Segments a second through the piano roll, both ways, against plain Python loops over notes and cells.

    python -m benchmarks roll [--segments 64] [--notes 170]

The loops are checked to give the same results.
"""

from typing import Any

import numpy as np

from benchmarks.harness import clock, parser, rate, seconds, show
from diffbgm.evaluation.report import mean_of
from diffbgm.music.notes import PITCHES, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import decode, encode, encode_batch


def random_segment(rng: np.random.Generator, notes: int) -> Notes:
    """As many notes as a POP909 segment has, in its range, some of them overlapping."""
    onset = np.sort(rng.integers(0, STEPS_PER_SEGMENT, notes))
    pitch, duration = rng.integers(36, 96, notes), rng.integers(1, 9, notes)
    return Notes(onset, pitch, duration, np.full(notes, 80), np.zeros(notes, np.int64))


def loop_encode(notes: Notes) -> np.ndarray:
    """A note at a time, a cell at a time; notes in the order of their onsets."""
    roll = np.zeros((2, STEPS_PER_SEGMENT, PITCHES), np.float32)
    for onset, pitch, duration in zip(notes.onset.tolist(), notes.pitch.tolist(), notes.duration.tolist(), strict=True):
        if not roll[0, onset, pitch]:  # of notes that start together the longest stays
            for step in range(onset, STEPS_PER_SEGMENT):
                if not roll[1, step, pitch]:
                    break
                roll[1, step, pitch] = 0
        roll[0, onset, pitch] = 1
        for step in range(onset + 1, min(onset + duration, STEPS_PER_SEGMENT)):
            roll[1, step, pitch] = 1
    return roll


def loop_decode(roll: list[Any]) -> list[tuple[int, int, int]]:
    """(onset, pitch, duration), a cell at a time, of a roll as nested lists, which Python reads fastest."""
    onsets, sustains = roll[0], roll[1]
    notes = []
    for step in range(STEPS_PER_SEGMENT):
        for pitch in range(PITCHES):
            if onsets[step][pitch] > 0.5:
                end = step + 1
                while end < STEPS_PER_SEGMENT and sustains[end][pitch] > 0.5 and onsets[end][pitch] <= 0.5:
                    end += 1
                notes.append((step, pitch, end - step))
    return notes


def main() -> None:
    """Check, time, print."""
    options = parser(__doc__)
    options.add_argument("--segments", type=int, default=64, help="segments in a batch")
    options.add_argument("--notes", type=int, default=170, help="notes in a segment")
    given = options.parse_args()
    rng = np.random.default_rng(0)
    count = 4 if given.quick else given.segments
    segments = [random_segment(rng, given.notes) for _ in range(count)]
    every = Notes.concatenate(segments)
    index = np.repeat(np.arange(count), given.notes)

    def batched() -> np.ndarray:
        return encode_batch(every.onset, every.pitch, every.duration, index, count, STEPS_PER_SEGMENT)

    rolls = batched()
    for segment, roll in zip(segments, rolls, strict=True):
        np.testing.assert_array_equal(loop_encode(segment), roll)
        found = decode(roll)
        assert loop_decode(roll.tolist()) == list(zip(found.onset, found.pitch, found.duration, strict=True))
    works = {
        "encode, loop": lambda: [loop_encode(segment) for segment in segments],
        "encode": lambda: [encode(segment, STEPS_PER_SEGMENT) for segment in segments],
        "encode, a batch": batched,
        "decode, loop": lambda: [loop_decode(roll.tolist()) for roll in rolls],
        "decode": lambda: [decode(roll) for roll in rolls],
    }
    now = clock(given.wall)
    taken = {name: seconds(work, given.repeats, now) for name, work in works.items()}
    rows = [
        {
            "work": name,
            "segments/s": rate(times, count),
            "times the loop": mean_of(taken[f"{name.partition(',')[0]}, loop"])["mean"] / mean_of(times)["mean"],
        }
        for name, times in taken.items()
    ]
    show("roll", rows, segments=count, notes=given.notes)
