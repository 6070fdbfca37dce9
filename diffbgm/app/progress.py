"""What a command says while it works: a line at once, a bar with real counts for each stage, and one for all videos.

Importing this is cheap, so that the first line comes before torch is loaded. Everything goes to stderr, and bars are
drawn only on terminals. `quiet=true` leaves out everything but errors, also the closing line on stdout; `-v` reports
each stage.
"""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager

Advance = Callable[[int], None]
UNITS = {"features": "frames", "compose": "steps", "sound": "s of sound", "mux": "s of video", "picture": "pictures"}
NAME_WIDTH = 24  # characters of a video's name that are shown
LOADED = {
    "sample": "torch and the checkpoint",
    "train": "torch and the data",
    "evaluate": "the metrics (compiled the first time, which takes a while)",
    "features": "torch and the extractor",
    "songs": "torch and the checkpoint",
    "prepare": "the data",
    "prepare-bgm909": "torch and the extractor",
    "card": "torch, the checkpoint and the metrics",
    "app": "torch, the checkpoint and Gradio",
}
QUIET = "DIFFBGM_QUIET"  # set by quiet=true in the environment, so that launched jobs inherit it
log = logging.getLogger(__name__)


def begin(command: str, words: Sequence[str]) -> list[str]:
    """Say what is being loaded, unless the words ask for quiet; returns the words that are left for the command.

    `quiet=true` and `-v` (or `--verbose`) are removed.
    """
    rest = [word for word in words if word not in ("-v", "--verbose") and not word.startswith("quiet=")]
    asked = [word.partition("=")[2].lower() for word in words if word.startswith("quiet=")]
    if asked and asked[-1] in ("true", "1", "yes"):
        os.environ["TQDM_DISABLE"] = os.environ[QUIET] = "1"
        logging.basicConfig(level=logging.ERROR, format="%(message)s")
        return rest
    if os.environ.pop(QUIET, None):  # of an earlier command in this process
        os.environ.pop("TQDM_DISABLE", None)
    if {"-v", "--verbose"} & set(words):
        logging.basicConfig(level=logging.INFO, format="%(message)s")
    if command in LOADED:
        print(f"diffbgm {command}: loading {LOADED[command]} ...", file=sys.stderr, flush=True)
    return rest


def say(text: str) -> None:
    """Print a command's closing line, unless it should be quiet."""
    if not os.environ.get(QUIET):
        print(text)


class FolderProgress:
    """Bars for a run over several videos: one for all of them, with the time left, and one for the current stage."""

    def __init__(self, total: int) -> None:
        from tqdm import tqdm

        self.whole = tqdm(total=total, desc="all videos", unit="video", disable=None, position=1, leave=False)

    def reach(self, videos: int) -> None:
        """Show that this many videos are finished or have failed."""
        self.whole.update(videos - self.whole.n)

    def stages(self, name: str) -> Callable[[str, int], AbstractContextManager[Advance]]:
        """stage(name, total) for the work on one video: a bar that counts to `total` of the stage's unit."""
        shown = name if len(name) <= NAME_WIDTH else f"{name[: NAME_WIDTH - 3]}..."
        return lambda stage, total: _stage(shown, stage, total)

    def close(self) -> None:
        """Remove the bars."""
        self.whole.close()


@contextlib.contextmanager
def _stage(name: str, stage: str, total: int) -> Iterator[Advance]:
    from tqdm import tqdm

    started, unit = time.perf_counter(), UNITS.get(stage, "steps")
    title = f"{name:{NAME_WIDTH}s} {stage:9s}"
    with tqdm(total=total, desc=title, unit=f" {unit}", disable=None, position=0, leave=False) as bar:

        def advance(done: int) -> None:
            bar.update(done)

        yield advance
    log.info("%s: %s, %d %s in %.1f s", name, stage, total, unit, time.perf_counter() - started)
