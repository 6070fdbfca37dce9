"""What a command says while it works: a first line at once, a bar for each stage with real counts, one for all videos.

Light to import, so that the first line comes before torch does. Everything goes to stderr, and bars are drawn on
terminals only. `quiet=true` leaves out the first line, the bars and all remarks but errors; `-v` tells of each stage.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence

Advance = Callable[[int], None]
UNITS = {"features": "frames", "compose": "steps", "sound": "seconds", "mux": "seconds", "picture": "pictures"}
NAME_WIDTH = 24  # characters of a video's name that are shown
LOADED = {
    "sample": "torch and the checkpoint",
    "train": "torch and the data",
    "evaluate": "the metrics (compiled the first time, which takes a while)",
    "app": "torch, the checkpoint and Gradio",
}
log = logging.getLogger(__name__)


def begin(command: str, words: Sequence[str]) -> list[str]:
    """Say what is being loaded, as loudly as the words ask for; returns those that are left for the command.

    `quiet=true` and `-v` (or `--verbose`) are taken out.
    """
    rest = [word for word in words if word not in ("-v", "--verbose") and not word.startswith("quiet=")]
    asked = [word.partition("=")[2].lower() for word in words if word.startswith("quiet=")]
    if asked and asked[-1] in ("true", "1", "yes"):
        os.environ["TQDM_DISABLE"] = "1"
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
        return rest
    if {"-v", "--verbose"} & set(words):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    if command in LOADED:
        print(f"diffbgm {command}: loading {LOADED[command]} ...", file=sys.stderr, flush=True)
    return rest


class FolderProgress:
    """Bars for a run over several videos."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.name = ""
        self.whole = tqdm(total=total, desc="all videos", unit="video", disable=None, position=1, leave=False)

    @contextlib.contextmanager
    def video(self, name: str) -> Iterator[None]:
        """Work on one video; the overall bar moves on at its end, whatever happened."""
        self.name = name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 3]}..."
        try:
            yield
        finally:
            self.whole.update(1)

    @contextlib.contextmanager
    def stage(self, stage: str, total: int) -> Iterator[Advance]:
        """A bar that counts to `total` of the stage's unit; advance(n) moves it on."""
        from tqdm import tqdm

        started, unit = time.perf_counter(), UNITS.get(stage, "steps")
        title = f"{self.name:{NAME_WIDTH}s} {stage:9s}"
        with tqdm(total=total, desc=title, unit=f" {unit}", disable=None, position=0, leave=False) as bar:

            def advance(done: int) -> None:
                bar.update(done)

            yield advance
        log.info("%s: %s, %d %s in %.1f s", self.name, stage, total, unit, time.perf_counter() - started)

    def close(self) -> None:
        """Take the bars away."""
        self.whole.close()
