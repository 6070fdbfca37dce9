"""What was read of songs, kept until all of a source's songs are there: so that several processes read it together.

Each song is an .npz of plain arrays in a folder that belongs to one state of the source. A file that cannot be read
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
    """A folder of readings; without one (None) there are none, and none are kept."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def has(self, name: str) -> bool:
        """Whether there is a file for a song."""
        place = self._place(name)
        return place is not None and place.is_file()

    def find(self, name: str) -> Reading | None:
        """What was read of a song; None where there is nothing, or nothing whole."""
        place = self._place(name)
        if place is None:
            return None
        try:
            with np.load(place, allow_pickle=False) as file:
                arrays = dict(file)
            return str(arrays["reason"]) if "reason" in arrays else _song(arrays)
        except (OSError, ValueError, KeyError, TypeError, EOFError, BadZipFile):
            return None

    def keep(self, name: str, reading: Reading) -> None:
        """Write what was read of a song. InputError where the folder cannot be written."""
        place = self._place(name)
        assert place is not None, "there is a folder where readings are kept"
        if isinstance(reading, str):
            arrays = {"reason": np.array(reading)}
        else:
            arrays = dict(_flat(reading[0], "song."))
            arrays |= {} if reading[1] is None else dict(_flat(reading[1], "measures."))
        with atomic(place) as temporary:
            np.savez(temporary, **arrays)

    def forget(self) -> None:
        """Remove them all."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)

    def _place(self, name: str) -> Path | None:
        digest = hashlib.sha256(os.fsencode(name)).hexdigest()
        return None if self.folder is None else self.folder / digest[:2] / f"{digest}.npz"


def _flat(value: Any, prefix: str) -> Iterator[tuple[str, np.ndarray]]:
    """The arrays of a dataclass of arrays, numbers, text and such dataclasses; None is left out."""
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
    """A dataclass of arrays; KeyError where one is missing."""
    return kind(**{field.name: arrays[f"{prefix}{field.name}"] for field in fields(kind)})  # type: ignore[arg-type]
