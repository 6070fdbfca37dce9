"""PCHE and GPS as Diff-BGM's own evaluation computes them, from a MIDI file imported by music21.

The import is not faithful to the sixteenth grid: it quantises to quarters and thirds of a beat, ties notes over bar
lines, and delays the notes after an overfull measure, so that every later bar is compared out of phase. The paper's
"Real" row (2.717 / 0.708) follows this protocol; the exact definitions are in `pitch.py` and `groove.py`. The results
equal the per-song values of the release's notebook to 1e-6, with music21 9.9 as well as 10.5.

Percussion has onsets but no pitch: it counts for GPS and for where the last bar and the last window begin, but not for
PCHE. The notebook does the same, and files of other systems have drum tracks.

Shape legend: N notes (each part of a tied note counts), D percussion strokes. Times are in quarter notes of the
imported score.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.groove import similarity
from diffbgm.extras import extra
from diffbgm.music.notes import BEATS_PER_BAR, BEATS_PER_SEGMENT, STEPS_PER_BAR, STEPS_PER_BEAT

EPSILON = 1e-6  # the notebook's guard inside the logarithm


@dataclass(frozen=True)
class Imported:
    """The flattened notes of an imported score."""

    offset: np.ndarray  # (N,) float, quarter notes from the start
    pitch: np.ndarray  # (N,) int
    percussion: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (D,) float, quarter notes from the start

    @property
    def onsets(self) -> np.ndarray:
        """The onsets of pitched notes and percussion, (N + D,), unsorted."""
        return np.concatenate([self.offset, self.percussion])


def import_score(path: str | Path) -> Imported:
    """Read a MIDI file through music21, about a second per song. Raises InputError if music21 cannot read it."""
    with extra("eval"):
        from music21 import converter  # two seconds to import, and only this protocol needs it

    try:
        with _faster_import():
            score = converter.parse(Path(path).resolve(), format="midi", forceSource=True)
        notes: list[tuple[float | Fraction, int]] = []
        percussion: list[float | Fraction] = []
        for element in score.flatten().notes:
            pitches = element.pitches
            notes += [(element.offset, pitch.midi) for pitch in pitches]
            if not pitches:  # an unpitched stroke, or a chord of such strokes
                percussion.append(element.offset)
    except Exception as error:  # a damaged file fails anywhere in the importer, with any exception
        raise InputError(f"music21 cannot read {path} ({type(error).__name__}); export the file again") from error
    offset, pitch = np.array(notes, np.float64).reshape(-1, 2).T
    return Imported(offset, pitch.astype(np.int64), np.array(percussion, np.float64))


@contextmanager
def _faster_import() -> Iterator[None]:
    """Speed up two searches of music21. The imported scores are the same.

    For the meter of every single measure it searches the whole part: here a part with one meter answers for all of its
    measures. To place a note it compares the note's offset with the bounds of one measure after the other, which takes
    ten times as long for a fraction: here it compares floats. An offset on its grid of quarters and thirds is never
    rounded across a bar line, and music21 subtracts the bound, a float, in floats in any case.
    """
    from music21 import meter, stream

    search = vars(stream.Measure)["barDuration"]
    offset_map = stream.Stream.offsetMap
    known: dict[int, tuple[Any, Any]] = {}  # id -> (part, meter); holding the part keeps its id from being reused

    def bar_duration(measure: Any) -> Any:
        part = measure.activeSite
        if measure.timeSignature is not None or part is None:
            return search.fget(measure)
        if id(part) not in known:
            meters = list(part.recurse().getElementsByClass(meter.base.TimeSignature))
            known[id(part)] = part, meters[0] if len(meters) == 1 else None
        found = known[id(part)][1]
        return search.fget(measure) if found is None else found.barDuration

    def floats(part: Any, *given: Any, **named: Any) -> list[Any]:
        return [entry._replace(offset=float(entry.offset)) for entry in offset_map(part, *given, **named)]

    with (
        patch.object(stream.Measure, "barDuration", property(bar_duration)),
        patch.object(stream.Stream, "offsetMap", floats),
    ):
        yield


def pche_paper(score: Imported) -> float | None:
    """PCHE of the release's notebook: -sum p log2(p + 1e-6) over each full 32-beat window, mean over windows.

    The window of the last onset is dropped, full or not, unless it is the only one. Windows without notes are left out.
    None without notes.
    """
    values = []
    for start in np.arange(max(1, _complete(score.onsets, BEATS_PER_SEGMENT))) * BEATS_PER_SEGMENT:
        inside = score.pitch[(score.offset >= start) & (score.offset < start + BEATS_PER_SEGMENT)]
        if len(inside):
            p = np.bincount(inside % 12, minlength=12) / len(inside)
            values.append(float(-(p * np.log2(p + EPSILON)).sum()))
    return float(np.mean(values)) if values else None


def gps_paper(score: Imported) -> float | None:
    """GPS of the release's notebook: positions floor(4 offset) of each 4-beat bar, 1 - XOR / 16, mean over all pairs.

    Drums count as onsets. The bar of the last onset is dropped, full or not. None if fewer than two bars are left.
    """
    bars = _complete(score.onsets, BEATS_PER_BAR)
    position = np.floor(score.onsets * STEPS_PER_BEAT).astype(np.int64)
    grid = np.zeros(bars * STEPS_PER_BAR, bool)
    grid[position[position < len(grid)]] = True
    return similarity(grid.reshape(bars, STEPS_PER_BAR))


def _complete(onsets: np.ndarray, beats: int) -> int:
    """The number of whole windows of `beats` quarter notes before the one with the last onset."""
    return int(onsets.max() // beats) if len(onsets) else 0
