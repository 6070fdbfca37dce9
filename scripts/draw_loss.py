"""The loss of a training run as a picture.

    python scripts/draw_loss.py runs/paper docs/figures/paper-loss.png

Reads log.jsonl: the loss of every step, its mean over the last tenth of the steps so far, and the validation loss.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.figures import ACCENT, INK, new_figure, save
from diffbgm.training.tracking import read_log


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="the folder of the run")
    parser.add_argument("picture", type=Path, help="the .png to write")
    arguments = parser.parse_args(words)
    log = arguments.run / "log.jsonl"
    try:
        if not log.is_file():
            raise InputError(f"{log} does not exist; give the out= of a training run")
        steps, losses = column(log, "loss")
        if not len(steps):
            raise InputError(f"{log} holds no loss yet; wait for the first steps")
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    figure = new_figure(5.2, 3.2)
    axes = figure.subplots()
    axes.plot(steps, losses, ".", color=INK, alpha=0.35, markersize=3, label="training, a step")
    axes.plot(steps, running(losses), color=INK, linewidth=1.2, label="training, last tenth of the steps so far")
    axes.plot(*column(log, "val_loss"), "o-", color=ACCENT, markersize=3, linewidth=1, label="validation")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend(fontsize=8, frameon=False)
    arguments.picture.parent.mkdir(parents=True, exist_ok=True)
    save(figure, arguments.picture)
    return 0


def column(log: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The steps (n,) and values (n,) of a column of log.jsonl, where it has one."""
    found = [(row["step"], row[name]) for row in read_log(log) if row.get(name) is not None]
    steps, values = np.array(found, np.float64).reshape(-1, 2).T
    return steps, values


def running(values: np.ndarray) -> np.ndarray:
    """For each of the values (n,) the mean of the last tenth of those up to it, (n,)."""
    total = np.concatenate([[0.0], values.cumsum()])
    last = np.arange(1, len(values) + 1)
    first = last - np.maximum(1, last // 10)
    return (total[last] - total[first]) / (last - first)


if __name__ == "__main__":
    sys.exit(main())
