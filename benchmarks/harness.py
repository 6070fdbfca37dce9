"""What every benchmark shares: timing a piece of work, and a table with a JSON line below it."""

import argparse
import json
import platform
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from diffbgm.evaluation.report import mean_of

ROOT = Path(__file__).resolve().parents[1]
Clock = Callable[[], float]
Row = dict[str, Any]


def parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks have."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--quick", action="store_true", help="as little as shows that it runs")
    made.add_argument("--repeats", type=int, default=5, help="timed repetitions (default 5)")
    made.add_argument("--wall", action="store_true", help="time by the clock instead of this process's own seconds")
    return made


def clock(wall: bool) -> Clock:
    """Seconds of the clock, or of this process's processor time, which a busy machine changes little."""
    return time.perf_counter if wall else time.process_time


def seconds(work: Callable[[], object], repeats: int, now: Clock, device: torch.device | None = None) -> list[float]:
    """How long `work` takes, `repeats` times, after one call that loads and compiles what is needed."""
    taken = []
    for index in range(repeats + 1):
        start = now()
        work()
        if device is not None and device.type == "cuda":
            torch.cuda.synchronize(device)
        if index:
            taken.append(now() - start)
    return taken


def each(work: Callable[[Any], object], items: Sequence[Any], now: Clock) -> list[float]:
    """How long `work` takes for each of `items`, after one call that loads and compiles what is needed."""
    work(items[0])
    taken = []
    for item in items:
        start = now()
        work(item)
        taken.append(now() - start)
    return taken


def rate(taken: Sequence[float], count: int) -> Row:
    """How many a second, from the seconds that `count` of them took each time."""
    return mean_of(count / max(value, 1e-9) for value in taken)


def cell(value: Any) -> str:
    """A cell of a table: a mean with its interval, or anything else as it is."""
    if not isinstance(value, Mapping):
        return f"{value:,.4g}" if isinstance(value, float) else str(value)
    if value["mean"] is None:
        return "–"
    low, high = value["ci95"] or (value["mean"], value["mean"])
    return f"{value['mean']:,.4g} [{low:,.4g}, {high:,.4g}]"


def show(name: str, rows: Sequence[Row], **about: Any) -> None:
    """Print rows of the same columns as a Markdown table, then everything as one JSON line."""
    if rows:
        print("| " + " | ".join(rows[0]) + " |\n|" + "---|" * len(rows[0]))
        for row in rows:
            print("| " + " | ".join(cell(value) for value in row.values()) + " |")
    machine = {"machine": platform.processor() or platform.machine(), "threads": torch.get_num_threads()}
    print(json.dumps({"bench": name, **machine, **about, "rows": list(rows)}))
