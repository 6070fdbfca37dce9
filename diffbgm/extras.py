"""Optional dependencies: what is imported under `extra(NAME)` comes with `pip install 'diffbgm[NAME]'`."""

from collections.abc import Iterator
from contextlib import contextmanager

from diffbgm.errors import InputError


@contextmanager
def extra(name: str) -> Iterator[None]:
    """Import optional packages inside this. InputError naming the extra where one of them is not installed.

    with extra("clip"):
        import open_clip
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("diffbgm"):
            raise
        raise InputError(
            f"{error.name} is not installed; it belongs to the extra '{name}': pip install 'diffbgm[{name}]'"
        ) from error
