"""Segments a second through the piano roll, both ways, against plain Python loops over notes and cells.

    python scripts/bench_roll.py [--segments 64] [--notes 170]

Prints a table, then one JSON line. The loops are checked to give the same results. Rates are per second of processor
time on one core, the best of three runs, so that a busy machine changes them little.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffbgm.music.notes import PITCHES, STEPS_PER_SEGMENT, Notes  # noqa: E402
from diffbgm.music.pianoroll import decode, encode, encode_batch  # noqa: E402


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


def loop_decode(roll: np.ndarray | list) -> list[tuple[int, int, int]]:
    """(onset, pitch, duration), a cell at a time; of an array, or of nested lists, which Python reads much faster."""
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


def rate(work: Callable[[], object], segments: int, least: float = 0.2) -> float:
    """Segments a second of processor time: the best of three runs of at least `least` seconds each."""
    best = 0.0
    for _ in range(3):
        rounds, start = 0, time.process_time()
        while (spent := time.process_time() - start) < least or not rounds:
            work()
            rounds += 1
        best = max(best, rounds * segments / spent)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--segments", type=int, default=64, help="segments in a batch")
    parser.add_argument("--notes", type=int, default=170, help="notes in a segment")
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    segments = [random_segment(rng, options.notes) for _ in range(options.segments)]
    every = Notes.concatenate(segments)
    index = np.repeat(np.arange(len(segments)), options.notes)

    def batched() -> np.ndarray:
        return encode_batch(every.onset, every.pitch, every.duration, index, len(segments), STEPS_PER_SEGMENT)

    rolls = batched()
    for segment, roll in zip(segments, rolls, strict=True):
        np.testing.assert_array_equal(loop_encode(segment), roll)
        found = decode(roll)
        assert loop_decode(roll.tolist()) == list(zip(found.onset, found.pitch, found.duration, strict=True))

    count = len(segments)
    rates = {
        "encode_loop": rate(lambda: [loop_encode(segment) for segment in segments], count),
        "encode": rate(lambda: [encode(segment, STEPS_PER_SEGMENT) for segment in segments], count),
        "encode_batch": rate(batched, count),
        "decode_loop": rate(lambda: [loop_decode(roll) for roll in rolls[:8]], 8),
        "decode_loop_of_lists": rate(lambda: [loop_decode(roll.tolist()) for roll in rolls], count),
        "decode": rate(lambda: [decode(roll) for roll in rolls], count),
    }
    print(f"{count} segments of {options.notes} notes, {STEPS_PER_SEGMENT} steps x {PITCHES} pitches\n")
    print(f"{'':20}{'segments/s':>12}{'times the loop':>16}")
    for name, value in rates.items():
        print(f"{name:20}{value:12,.0f}{value / rates[name.split('_')[0] + '_loop']:16.1f}")
    rounded = {f"{name}_per_second": round(value) for name, value in rates.items()}
    speedups = {
        "encode_speedup": round(rates["encode_batch"] / rates["encode_loop"], 1),
        "decode_speedup": round(rates["decode"] / rates["decode_loop"], 1),
    }
    print(json.dumps({"bench": "roll", **rounded, **speedups}))


if __name__ == "__main__":
    main()
