"""Composing on a CPU, quiet and beside a busy process: one call on all threads, and calls side by side.

    python -m benchmarks threads [--seconds 55] [--repeats 3]     on a machine that does nothing else

`one call` hands all windows of a step to the network at once, on N threads of torch; `windows one by one` does them one
after the other, on N threads; `side by side` is what Composer does: a single-threaded call a window, N at once. Each is
timed by the clock, alone and beside a process that computes without pause, in turns. The music of the first two may
differ from the last one's in the last bits; that of `side by side` does not depend on N, which is checked.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from time import perf_counter
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.harness import Row, parser, show
from diffbgm.diffusion.longform import Calls
from diffbgm.evaluation.report import mean_of
from diffbgm.generation import composer as composing
from diffbgm.generation.composer import Composer, Request
from diffbgm.generation.pipeline import Pipeline
from diffbgm.video.features import BeatFeatures

BUSY = "x = 1\nwhile True: x = x * 3 % 1000003"
ROWS = {"one call": 64, "windows one by one": 1, "side by side": 1}


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
    one = composer.asked(replace(composer.settings, rows=ROWS[way]))

    def work() -> torch.Tensor:
        if way == "side by side":
            *_, last = one.compose([asked])
        else:
            with patch.object(composing, "side_by_side", one_after_the_other):
                *_, last = one.compose([asked])
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
    asked = request(composer, 20.0 if given.quick else given.seconds)
    ways = {way: composed(composer, asked, way) for way in ROWS}
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
    show("threads", rows, length=given.seconds, busy=given.busy, threads=threads, same_on_one_thread=same)
