"""A song, independent of the source it was read from, and where its segments may begin.

Shape legend: n beats of the song, N notes, D downbeats, K segment starts, T and T' feature rows as extracted, U and U'
feature rows that are used, Dv and Dl widths of the features.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from diffbgm.fields import check, field
from diffbgm.music.notes import BARS_PER_SEGMENT, BEATS_PER_BAR, Notes


@dataclass(frozen=True)
class VideoTrack:
    """Features of the video that belongs to a song, aligned with the song's beats."""

    visual: np.ndarray  # (U, Dv) float32
    visual_row: np.ndarray  # (n,) int, the row of `visual` at each beat
    language: np.ndarray  # (U', Dl) float32
    language_row: np.ndarray  # (n,) int, the row of `language` at each beat
    cut: np.ndarray  # (n,) bool, beats in which a new shot begins

    @classmethod
    def stretched(cls, visual: np.ndarray, language: np.ndarray, cuts: np.ndarray, beats: int) -> "VideoTrack":
        """Stretch features (T, Dv), (T', Dl) and shot starts (C,), as fractions of the length, evenly over n beats.

        Beat i of n takes row floor(i T / n) (paper, data section). Rows that no beat takes are dropped.
        """
        cut = np.zeros(beats, bool)
        cut[np.floor(cuts * beats).astype(np.int64)] = True
        cut[0] = False
        return cls(*_rows(visual, beats), *_rows(language, beats), cut)


def _rows(table: np.ndarray, beats: int) -> tuple[np.ndarray, np.ndarray]:
    """The rows of a table that beats use, and the index of each beat's row among them."""
    used, row = np.unique(np.arange(beats) * len(table) // beats, return_inverse=True)
    return np.asarray(table[used], np.float32), row


@dataclass(frozen=True)
class Song:
    """One song on the sixteenth grid; beat 0 is the first annotated beat."""

    id: str
    notes: Notes  # onsets are at least 0; the track of a note is its part (music/parts.py)
    beats: int  # n
    downbeats: np.ndarray  # (D,) int, beats that begin a bar
    starts: np.ndarray  # (K,) int, beats at which a segment may begin
    chords: np.ndarray | None = None  # (n, 12) bool, pitch classes of the annotated chord at each beat
    mode: np.ndarray | None = None  # (n,) int, annotated key: 1 major, -1 minor, 0 unknown
    video: VideoTrack | None = None  # None: conditions are computed from the music (self_paired.py)


class Source(Protocol):
    """Where songs come from. A song for which `read` raises InputError is skipped and the reason reported."""

    name: str

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """Every song's id and the files it is read from. Raises InputError if the whole source is unusable."""

    def excluded(self) -> Mapping[str, str]:
        """Songs left out on purpose, with the reason for each."""

    def read(self, song: str) -> Song:
        """One song. Raises InputError (one sentence) if it cannot be used."""

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The ids of "train" and "val" among these songs."""

    def settings(self) -> Mapping[str, object]:
        """All settings that determine the result apart from the files, as JSON values."""


@dataclass(frozen=True)
class RootSettings:
    """Where a source of files looks."""

    root: str = field(length=(1, 4096), help="a folder")


def root_folder(root: str | Path) -> Path:
    """The folder of a source. InputError for what is no path."""
    return Path(check(RootSettings, {"root": str(root) if isinstance(root, Path) else root}, "data").root)


def segment_starts(downbeats: np.ndarray, beats: int) -> np.ndarray:
    """Downbeats (K,) that are followed by eight full bars of four beats inside the song.

    A bar is full if the next downbeat comes exactly four beats later or, for the last bar, if the song has four more
    beats.
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
