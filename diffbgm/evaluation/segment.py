"""The metrics of one 8-bar segment, by which training monitors its samples.

Shape legend: S steps, P pitches. A roll is (2, S, P): onset and sustain.
"""

from dataclasses import dataclass

import numpy as np

from diffbgm.evaluation.groove import gps
from diffbgm.evaluation.pitch import pche
from diffbgm.music.notes import STEPS_PER_BEAT, Notes


@dataclass(frozen=True)
class SegmentNumbers:
    """A number is None if it cannot be computed: a segment without notes has no entropy, one bar has no groove."""

    pche: float | None
    gps: float | None  # over all bars, since a segment ends on a bar line
    onsets: int
    notes_per_beat: float
    polyphony: float | None  # mean number of sounding notes over the steps that are not silent
    lowest: int | None
    highest: int | None


def segment_numbers(notes: Notes, steps: int) -> SegmentNumbers:
    """Exact PCHE and GPS, density and range of a segment of `steps` sixteenth steps."""
    sounding = np.zeros(steps + 1, np.int64)
    np.add.at(sounding, np.minimum(notes.onset, steps), 1)
    np.add.at(sounding, np.minimum(notes.onset + notes.duration, steps), -1)
    voices = sounding.cumsum()[:steps]
    return SegmentNumbers(
        pche=pche(notes),
        gps=gps(notes, drop_last=False),
        onsets=len(notes),
        notes_per_beat=len(notes) * STEPS_PER_BEAT / steps,
        polyphony=float(voices[voices > 0].mean()) if voices.any() else None,
        lowest=int(notes.pitch.min()) if len(notes) else None,
        highest=int(notes.pitch.max()) if len(notes) else None,
    )
