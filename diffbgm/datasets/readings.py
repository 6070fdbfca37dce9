"""Songs that were read, stored until all songs of a source are there, so that several processes can share the reading.

Each song is an .npz of plain arrays in a folder that belongs to one version of the source. A file that cannot be read
counts as absent.
"""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile

import numpy as np

from diffbgm.datasets.song import Song, VideoTrack
from diffbgm.files import atomic
from diffbgm.music.notes import Notes
from diffbgm.video.streams import Measures

Reading = str | tuple[Song, Measures | None]  # why a song is skipped, or the song with its raw measures
T = TypeVar("T")


class Readings:
    """A folder of readings. With `folder` None nothing is found and nothing can be stored."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        """Whether a song's file exists."""
        place = self._place(name)
        return place is not None and place.is_file()

    def find(self, name: str) -> Reading | None:
        """The reading of a song; None if it is missing or incomplete."""
        place = self._place(name)
        if place is None:
            return None
        try:
            with np.load(place, allow_pickle=False) as file:
                arrays = dict(file)
            return str(arrays["reason"]) if "reason" in arrays else _song(arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            return None

    def store(self, name: str, reading: Reading) -> None:
        """Store the reading of a song. Raises InputError if the folder cannot be written."""
        place = self._place(name)
        assert place is not None, "there is a folder where readings are kept"
        if isinstance(reading, str):
            arrays: dict[str, Any] = {"reason": np.array(reading)}
        else:
            arrays = dict(_flat(reading[0], "song."))
            arrays |= {} if reading[1] is None else dict(_flat(reading[1], "measures."))
        with atomic(place) as temporary:
            np.savez(temporary, **arrays)

    def forget(self) -> None:
        """Delete the folder."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, name: str) -> Path | None:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()
        return None if self.folder is None else self.folder / digest[:2] / f"{digest}.npz"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) for each field of a dataclass, recursively; None is left out."""
    for field in fields(value):
        item = getattr(value, field.name)
        if is_dataclass(item):
            yield from _flat(item, f"{prefix}{field.name}.")
        elif item is not None:
            yield f"{prefix}{field.name}", np.asarray(item)


def _song(arrays: Mapping[str, np.ndarray]) -> tuple[Song, Measures | None]:
    return (
        Song(
            id=str(arrays["song.id"]),
            notes=_whole(Notes, arrays, "song.notes."),
            beats=int(arrays["song.beats"]),
            downbeats=arrays["song.downbeats"],
            starts=arrays["song.starts"],
            chords=arrays.get("song.chords"),
            mode=arrays.get("song.mode"),
            video=_whole(VideoTrack, arrays, "song.video.") if "song.video.cut" in arrays else None,
        ),
        _whole(Measures, arrays, "measures.") if "measures.cut" in arrays else None,
    )


def _whole(kind: type[T], arrays: Mapping[str, np.ndarray], prefix: str) -> T:
    """A dataclass of arrays. Raises KeyError if one is missing."""
    return kind(**{field.name: arrays[f"{prefix}{field.name}"] for field in fields(kind)})  # type: ignore[arg-type]
