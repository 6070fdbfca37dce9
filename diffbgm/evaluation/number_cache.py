"""A cache of slow metrics, so that they are computed once per MIDI file.

A file's numbers are stored under a hash of its bytes, the metric, and the settings, code and package versions that
decide the result. A changed file, soundfont or formula is therefore measured again. An unreadable entry counts as
absent.
"""

import hashlib
import json
from collections.abc import Callable
from functools import cache as remembered
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from diffbgm.files import atomic, sha256

Numbers = dict[str, float | None]


class NumberCache:
    """A folder of results. With `folder` None everything is computed and nothing is stored."""

    def __init__(self, folder: str | Path | None) -> None:
        self.folder = None if folder is None else Path(folder)

    def numbers(self, path: Path, identity: tuple[str, ...], compute: Callable[[], Numbers]) -> Numbers:
        """The stored result for the file, or else that of `compute`, which is stored. Its errors are not stored."""
        place = self._place(path, identity, ".json")
        if place is not None:
            try:
                stored = json.loads(place.read_text(encoding="utf-8"))
                if isinstance(stored, dict) and all(v is None or isinstance(v, float) for v in stored.values()):
                    return stored
            except (OSError, ValueError):
                pass
        found = {name: None if value is None else float(value) for name, value in compute().items()}
        if place is not None:
            with atomic(place) as temporary:
                temporary.write_text(json.dumps(found), encoding="utf-8")
        return found

    def array(self, path: Path, identity: tuple[str, ...], compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Like `numbers`, for an array."""
        place = self._place(path, identity, ".npy")
        if place is not None:
            try:
                return np.load(place, allow_pickle=False)
            except (OSError, ValueError, EOFError):
                pass
        found = compute()
        if place is not None:
            with atomic(place) as temporary:
                np.save(temporary, found)
        return found

    def _place(self, path: Path, identity: tuple[str, ...], suffix: str) -> Path | None:
        if self.folder is None:
            return None
        name = hashlib.sha256("\0".join((sha256(path), *identity)).encode()).hexdigest()
        return self.folder / name[:2] / f"{name}{suffix}"


@remembered
def versions(*packages: str) -> str:
    """The installed versions of packages, as part of an identity."""
    found = []
    for package in packages:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            found.append(f"{package} unknown")
    return ", ".join(found)


@remembered
def code(*modules: str) -> str:
    """The hashes of modules of this package, as part of an identity."""
    specs = [find_spec(f"diffbgm.{module}") for module in modules]
    return " ".join(sha256(spec.origin) for spec in specs if spec is not None and spec.origin is not None)


@remembered
def font_identity(soundfont: str | None) -> str:
    """The hash of the soundfont, as part of an identity."""
    return "built-in soundfont" if soundfont is None else sha256(soundfont)
