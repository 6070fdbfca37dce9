"""What a command says while it works: a first line at once, a bar a stage with real counts, one for the whole folder.

Light to import, so that the first line comes before torch does. Everything goes to stderr; bars are drawn on terminals
only. `quiet=true` says nothing but errors, `-v` tells of each stage in a line of its own as well.
"""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

Advance = Callable[[int], None]
UNITS = {"features": "frames", "compose": "steps", "sound": "s", "mux": "s", "picture": "pictures"}
NAME_WIDTH = 24  # characters of a video's name that are shown


@dataclass(frozen=True)
class Voice:
    """How much is said."""

    quiet: bool = False
    verbose: bool = False

    def say(self, text: str) -> None:
        """A line on stderr, at once."""
        if not self.quiet:
            print(text, file=sys.stderr, flush=True)


def voice_of(words: Sequence[str]) -> tuple[Voice, list[str]]:
    """The voice that a command line asks for, and the words that are left: -v, quiet=true."""
    rest = [word for word in words if word not in ("-v", "--verbose")]
    quiet = [word for word in rest if word.partition("=")[0] == "quiet"]
    asked = bool(quiet) and quiet[-1].partition("=")[2].lower() in ("true", "1", "yes")
    return Voice(asked, len(rest) < len(words)), [word for word in rest if word not in quiet]


def first_line(command: str) -> str:
    """What is said while the libraries load."""
    what = {
        "sample": "torch and the checkpoint",
        "train": "torch and the data",
        "evaluate": "the metrics (the first evaluation compiles them: up to two minutes)",
        "app": "torch, the checkpoint and Gradio",
    }
    return f"diffbgm {command}: loading {what.get(command, 'what it needs')} ..."


class FolderProgress:
    """Bars for a run over several videos."""

    def __init__(self, total: int, voice: Voice) -> None:
        from tqdm import tqdm

        self.voice, self.name = voice, ""
        hidden = True if voice.quiet else None  # None: shown on a terminal only
        self.whole = tqdm(total=total, desc="all videos", unit="video", disable=hidden, position=1, leave=False)

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

        begin, unit = time.perf_counter(), UNITS.get(stage, "it")
        hidden = True if self.voice.quiet else None
        title = f"{self.name:{NAME_WIDTH}s} {stage:9s}"
        with tqdm(total=total, desc=title, unit=f" {unit}", disable=hidden, position=0, leave=False) as bar:

            def advance(done: int) -> None:
                bar.update(done)

            yield advance
        if self.voice.verbose:
            self.voice.say(f"{self.name}: {stage}, {total} {unit} in {time.perf_counter() - begin:.1f} s")

    def close(self) -> None:
        """Take the bars away."""
        self.whole.close()
