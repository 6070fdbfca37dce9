"""Prepared training data: a folder of flat, memory-mapped .npy files and a manifest.json.

The songs are concatenated in flat arrays; `note_start` and `beat_start` say where each begins. Each beat holds row
numbers into two tables of features, so that features shared by many beats (27 sentences, a second of video) are stored
once.

Shape legend: M songs, N notes of all songs, n beats of all songs, G segments, Rv and Rl feature rows, Dv and Dl widths.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.errors import InputError
from diffbgm.files import mark, sha256, sweep

FORMAT = 3
ARRAYS = (
    "note_start",  # (M + 1,)
    "onset",  # (N,) sixteenth steps from the song's first beat, ascending within a song
    "pitch",  # (N,) MIDI pitch
    "duration",  # (N,) steps, at most a segment, in a roll of all notes; 0 if a note of another part covers this one
    "part",  # (N,) lead or accompaniment (music/parts.py)
    "part_duration",  # (N,) steps, in a roll of this part alone
    "beat_start",  # (M + 1,)
    "visual_row",  # (n,) row of `visual`; -1 where there is no video
    "language_row",  # (n,) row of `language`; -1 where there is no video
    "cut",  # (n,) bool, beats in which a new shot (or, in self-paired data, a phrase) begins
    "visual",  # (Rv, Dv) float, in the precision of the source
    "language",  # (Rl, Dl)
    "segment_song",  # (G,) index of its song
    "segment_beat",  # (G,) first beat within its song
    "segment_window",  # (G,) beats of the dynamic attention window
    "segment_twin",  # (G,) the most similar segment of the same song at least 8 bars away; -1: none
    "segment_notes",  # (G, 2) first note and the note after the last, in the flat arrays
)


@dataclass(frozen=True)
class Cache:
    """A prepared folder, opened read-only."""

    path: Path
    manifest: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]  # by the names of ARRAYS

    @classmethod
    def open(cls, path: str | Path) -> "Cache":
        """Open a cache. Raises InputError if the folder is not a complete cache of this format."""
        path = Path(path)
        try:
            manifest = json.loads((path / "manifest.json").read_text(encoding="utf-8"))
            arrays = {name: np.load(path / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in ARRAYS}
            lengths = {name: len(array) for name, array in arrays.items()}
            if manifest["format"] != FORMAT or manifest["lengths"] != lengths:
                raise ValueError("another format")
            for name, digest in manifest.get("sha256", {}).items():  # not in caches of earlier versions
                if name not in ARRAYS or sha256(path / f"{name}.npy") != digest:
                    raise ValueError(f"{name} has changed")
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InputError(
                f"{path} is not a complete data cache of this version: delete it and prepare again"
            ) from error
        return cls(path, manifest, arrays)

    @property
    def songs(self) -> list[str]:
        """Song ids (M,) in order."""
        return self.manifest["songs"]

    @property
    def skipped(self) -> Mapping[str, str]:
        """Skipped songs and the reason for each."""
        return self.manifest["skipped"]

    @property
    def self_paired(self) -> bool:
        """Whether the conditions are the nine lite streams of the music rather than features of a video."""
        return self.manifest["self_paired"]

    @property
    def visual_width(self) -> int:
        return self.arrays["visual"].shape[1]

    @property
    def language_width(self) -> int:
        return self.arrays["language"].shape[1]

    def segments(self, split: str) -> np.ndarray:
        """Indices (K,) of a split's segments, ordered by song and time. Raises InputError for an unknown split."""
        if split not in self.manifest["splits"]:
            known = ", ".join(self.manifest["splits"])
            raise InputError(f"there is no split {split!r} in {self.path}: choose one of {known}")
        wanted = set(self.manifest["splits"][split])
        of_split = np.array([song in wanted for song in self.songs], bool)
        return np.flatnonzero(of_split[self.arrays["segment_song"]])


def write(path: Path, manifest: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> None:
    """Write a cache into a temporary folder next to `path` and rename it when complete. An existing cache is kept.

    Raises InputError if it cannot be written.
    """
    assert set(arrays) == set(ARRAYS)
    folder = path.with_name(f".{path.name}.{mark()}")
    try:
        folder.mkdir(parents=True)
        sweep(path.parent)
        for name in ARRAYS:
            np.save(folder / f"{name}.npy", _compact(arrays[name]))
        facts = {
            "lengths": {name: len(array) for name, array in arrays.items()},
            "sha256": {name: sha256(folder / f"{name}.npy") for name in ARRAYS},
        }
        text = json.dumps({"format": FORMAT, **manifest, **facts}, indent=1, ensure_ascii=False)
        (folder / "manifest.json").write_text(text + "\n", encoding="utf-8")
        lines = [f"{song}\t{reason}\n" for song, reason in manifest["skipped"].items()]
        (folder / "skipped.txt").write_text("".join(lines), encoding="utf-8")
        folder.rename(path)
    except OSError as error:
        if not (path / "manifest.json").is_file():  # otherwise another process was first, with the same content
            reason = error.strerror or error
            raise InputError(
                f"cannot write the data cache {path}: {reason}; give another folder as data.cache"
            ) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _compact(array: np.ndarray) -> np.ndarray:
    """Integers in the smallest signed type that holds them; other types unchanged."""
    if array.dtype.kind not in "iu":
        return array
    largest = int(np.abs(array).max(initial=0))
    return array.astype(np.min_scalar_type(-largest - 1))
