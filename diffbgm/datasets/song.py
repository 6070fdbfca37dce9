"""A song, whatever it was read from, and where its segments may begin.

Shape legend: n beats of the song, N notes, D downbeats, T and U feature rows, Dv and Dl widths of the features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from diffbgm.music.notes import BARS_PER_SEGMENT, BEATS_PER_BAR, Notes


@dataclass(frozen=True)
class VideoTrack:
    """Features of the video that belongs to a song, laid along the song's beats."""

    visual: np.ndarray  # (U, Dv) float32
    visual_row: np.ndarray  # (n,) int, the row of `visual` at each beat
    language: np.ndarray  # (U', Dl) float32
    language_row: np.ndarray  # (n,) int
    cut: np.ndarray  # (n,) bool, beats in which a new shot begins

    @classmethod
    def stretched(cls, visual: np.ndarray, language: np.ndarray, cuts: np.ndarray, beats: int) -> "VideoTrack":
        """Features (T, Dv), (T', Dl) and shot beginnings (C,) in [0, 1) of the length, spread evenly over n beats.

        Beat i of n takes row floor(i T / n) (paper, data section). Rows that no beat takes are dropped.
        """
        cut = np.zeros(beats, bool)
        cut[np.floor(cuts * beats).astype(np.int64)] = True
        cut[0] = False
        return cls(*_rows(visual, beats), *_rows(language, beats), cut)


def _rows(table: np.ndarray, beats: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of the table that are used, and the index of each beat's row among them."""
    used, row = np.unique(np.arange(beats) * len(table) // beats, return_inverse=True)
    return np.asarray(table[used], np.float32), row


@dataclass(frozen=True)
class Song:
    """One song on the sixteenth grid; beat 0 is the first beat of its beat track."""

    id: str
    notes: Notes  # onsets from 0 on; the track of a note is its part (music/parts.py)
    beats: int  # n
    downbeats: np.ndarray  # (D,) int, beats that begin a bar
    starts: np.ndarray  # (K,) int, beats at which a segment may begin
    chords: np.ndarray | None = None  # (n, 12) bool, pitch classes of the annotated chord at each beat
    mode: np.ndarray | None = None  # (n,) int, annotated key: 1 major, -1 minor, 0 unknown
    video: VideoTrack | None = None  # None: conditions are computed from the music (self_paired.py)


class Source(Protocol):
    """Where songs come from. A song that `read` refuses with an InputError is skipped, and its reason reported."""

    name: str

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """Every song's id and the files it is read from. InputError where the whole source is unusable."""

    def excluded(self) -> Mapping[str, str]:
        """Songs left out on purpose, and why."""

    def read(self, song: str) -> Song:
        """One song. InputError (one sentence) where it cannot be used."""

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """Ids of "train" and "val", among these songs."""

    def settings(self) -> Mapping[str, object]:
        """Everything besides the files that determines the result (JSON values)."""


def segment_starts(downbeats: np.ndarray, beats: int) -> np.ndarray:
    """Downbeats (K,) that are followed by eight full bars of four beats inside the song.

    A bar is full when the next downbeat (or, for the last bar, the fourth beat) comes exactly four beats later;
    bars of any other length break the run.
    """
    if len(downbeats) == 0:
        return np.zeros(0, np.int64)
    full = np.diff(downbeats) == BEATS_PER_BAR
    full = np.append(full, beats - downbeats[-1] >= BEATS_PER_BAR)
    runs = np.concatenate([[0], np.cumsum(full)])
    if len(full) < BARS_PER_SEGMENT:
        return np.zeros(0, np.int64)
    whole = runs[BARS_PER_SEGMENT:] - runs[:-BARS_PER_SEGMENT] == BARS_PER_SEGMENT
    return np.asarray(downbeats, np.int64)[: len(whole)][whole]
