"""Copy check: the longest run of bars that a piece shares with any song of a collection, up to transposition.

Two bars are the same if the same relative pitches start at the same sixteenths; a run is consecutive bars of both, all
moved by one interval. Durations and velocities do not matter.

Shape legend: M bars.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from diffbgm.evaluation.pitch import from_first_bar
from diffbgm.music.notes import STEPS_PER_BAR, Notes

FEWEST_NOTES = 3  # a bar with fewer onsets is too common to count as copied; it ends a run

Bar = tuple[bytes, int]  # (onsets with their pitches relative to the bar's lowest pitch, that lowest pitch)


@dataclass(frozen=True)
class Copy:
    """The longest shared run."""

    bars: int
    song: str | None  # the song it was found in; None if no bar is shared
    transposition: int  # semitones from that song to the piece


def bars_of(notes: Notes) -> list[Bar | None]:
    """The content of each bar, starting with the bar of the first note; None for a bar of fewer than three onsets."""
    notes = from_first_bar(notes).sorted()
    bar = notes.onset // STEPS_PER_BAR
    edges = np.searchsorted(bar, np.arange(bar[-1] + 2)) if len(notes) else np.zeros(1, np.int64)
    found: list[Bar | None] = []
    for start, stop in pairwise(edges):
        pitch = notes.pitch[start:stop]
        if stop - start < FEWEST_NOTES:
            found.append(None)
            continue
        lowest = int(pitch.min())
        cells = np.unique((notes.onset[start:stop] % STEPS_PER_BAR) * 128 + pitch - lowest)
        found.append((cells.astype(np.int16).tobytes(), lowest))
    return found


class Collection:
    """Songs to compare with, indexed by the content of their bars."""

    def __init__(self, songs: Iterable[tuple[str, Notes]]) -> None:
        self.places: dict[bytes, list[tuple[str, int, int]]] = defaultdict(list)  # song, bar, lowest pitch
        for name, notes in songs:
            for index, bar in enumerate(bars_of(notes)):
                if bar is not None:
                    self.places[bar[0]].append((name, index, bar[1]))

    def longest_copy(self, notes: Notes) -> Copy:
        """The longest run of consecutive bars of `notes` that also occurs in one song of the collection."""
        best = Copy(0, None, 0)
        running: dict[tuple[str, int, int], int] = {}  # (song, next bar there, transposition) -> bars so far
        for bar in bars_of(notes):
            longer: dict[tuple[str, int, int], int] = {}
            for name, index, lowest in self.places.get(bar[0], ()) if bar is not None else ():
                assert bar is not None
                moved = bar[1] - lowest
                length = running.get((name, index, moved), 0) + 1
                longer[name, index + 1, moved] = length
                if length > best.bars:
                    best = Copy(length, name, moved)
            running = longer
        return best
