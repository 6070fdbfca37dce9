"""Optional dependencies: packages imported inside `extra(NAME)` are installed by `pip install 'diffbgm[NAME]'`."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from diffbgm.errors import InputError

PACKAGES = {"eval": ("libfmp", "librosa", "music21", "numba")}


@contextmanager
def extra(name: str) -> Iterator[None]:
    """A context for importing optional packages. Raises InputError naming the extra if one is not installed.

    with extra("clip"):
        import open_clip
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("diffbgm"):
            raise
        raise InputError(_sentence(str(error.name), name)) from error


def lacking(name: str) -> str | None:
    """A sentence that says which package of an extra is missing; None if all are installed."""
    missing = [package for package in PACKAGES[name] if find_spec(package) is None]
    return _sentence(missing[0], name) if missing else None


def _sentence(package: str, name: str) -> str:
    return f"{package} is not installed; it belongs to the extra '{name}': pip install 'diffbgm[{name}]'"
