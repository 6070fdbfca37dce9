"""Composing on a CPU, alone and beside a busy process: calls on all threads one by one, and calls side by side.

    python -m benchmarks threads [--seconds 55] [--repeats 3]     on a machine that does nothing else

`one by one` makes a call a window, each on N threads of torch; `side by side` is what Composer does: a single-threaded
call a window, N at once. Each is timed by the clock, alone and beside a process that computes without pause, in turns.
The music of the first may differ in the last bits; that of the second does not depend on N, which is checked.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.harness import Row, parser, show
from diffbgm.diffusion.longform import Calls
from diffbgm.evaluation.report import mean_of
from diffbgm.generation import composer as composing
from diffbgm.generation.composer import Composer
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.request import Request
from diffbgm.generation.threads import side_by_side
from diffbgm.video.features import BeatFeatures

BUSY = "x = 1\nwhile True: x = x * 3 % 1000003"
WAYS = ("one by one", "side by side")


def request(composer: Composer, seconds: float) -> Request:
    """A piece of so many seconds at 120 BPM for features that are drawn."""
    rng, beats, widths = np.random.default_rng(0), round(2 * seconds), composer.config.features
    visual = rng.random((beats, widths.visual_width), np.float32)
    language = rng.random((beats, widths.language_width), np.float32)
    return Request(BeatFeatures(visual, language, np.ones(beats, bool), ("",) * beats, np.zeros(beats, bool)), (0,))


@contextmanager
def one_after_the_other(device: torch.device, most: int) -> Iterator[Calls]:
    """What stands in for generation.threads.side_by_side."""
    yield map


@contextmanager
def beside(busy: int) -> Iterator[None]:
    """So many processes that compute without pause."""
    others = [subprocess.Popen([sys.executable, "-c", BUSY]) for _ in range(busy)]
    try:
        yield
    finally:
        for other in others:
            other.kill()
            other.wait()


def composed(composer: Composer, asked: Request, way: str) -> Callable[[], torch.Tensor]:
    """Composing in one of the ways."""

    def work() -> torch.Tensor:
        calls = side_by_side if way == "side by side" else one_after_the_other
        with patch.object(composing, "side_by_side", calls):
            *_, last = composer.compose([asked])
        return last.rolls[0]

    return work


def main() -> None:
    """Time every way alone and beside a busy process, in turns, and compare the music of one thread and of N."""
    options = parser(__doc__)
    options.add_argument("--seconds", type=float, default=55.0, help="length of the piece (default 55)")
    options.add_argument("--busy", type=int, default=1, help="busy processes beside it (default 1)")
    options.add_argument("--checkpoint", default="diffbgm-lite")
    given = options.parse_args()
    composer = Pipeline.from_pretrained(given.checkpoint, "cpu", "fp32").composer
    length = 20.0 if given.quick else given.seconds
    asked = request(composer, length)
    ways = {way: composed(composer, asked, way) for way in WAYS}
    for work in ways.values():  # loads and compiles what is needed
        work()
    taken: dict[tuple[str, int], list[float]] = {(way, busy): [] for way in ways for busy in (0, given.busy)}
    for _ in range(1 if given.quick else given.repeats):
        for busy in (0, given.busy):
            with beside(busy):
                for way, work in ways.items():
                    begin = perf_counter()
                    work()
                    taken[way, busy].append(perf_counter() - begin)
    rows: list[Row] = []
    for way in ways:
        quiet, loud = (mean_of(taken[way, busy]) for busy in (0, given.busy))
        rows.append({"way": way, "quiet s": quiet, "busy s": loud, "busy / quiet": loud["mean"] / quiet["mean"]})
    threads, many = torch.get_num_threads(), ways["side by side"]()
    torch.set_num_threads(1)
    same = torch.equal(many, ways["side by side"]())
    torch.set_num_threads(threads)
    show("threads", rows, length=length, busy=given.busy, threads=threads, same_on_one_thread=same)
