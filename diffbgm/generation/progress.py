"""Progress reports of a pipeline: stages with a name and an amount of work, shown as progress bars or not at all."""

import contextlib
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

from diffbgm.video.features import Advance

Stage = Callable[[str, int], AbstractContextManager[Advance]]  # stage(name, total) -> advance(done more)


@contextlib.contextmanager
def bars(stage: str, total: int) -> Iterator[Advance]:
    """A progress bar on a terminal or in a notebook."""
    from tqdm.auto import tqdm

    with tqdm(total=total, desc=stage, leave=False) as bar:

        def advance(done: int) -> None:
            bar.update(done)

        yield advance


@contextlib.contextmanager
def silence(stage: str, total: int) -> Iterator[Advance]:
    """No bar."""
    yield lambda done: None


class Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure the time inside this context as the stage `name`."""
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
