"""Small training runs on generated songs, for the tests of the trainer."""

from pathlib import Path

import torch
from accelerate.state import AcceleratorState

from diffbgm.app import cli
from diffbgm.app import train as entry
from diffbgm.training.tracking import read_log

SETTINGS = [
    "experiment=smoke",
    "data.count=8",
    "model.unet.channels=8",
    "model.unet.norm_groups=2",
    "trainer.batch_size=4",
    "trainer.validation_segments=4",
    "trainer.log_every=1",
    "trainer.validate_every=1000",
    "trainer.preview_every=1000",
    "trainer.checkpoint_every=1000",
]

SHIPPED = [  # what sets the shipped recipe apart from `smoke`
    "objective=x0_posterior",
    "schedule.roll_scale=2",
    "model.unet.self_condition=true",
    "model.unet.rhythm_layers=1",
]


def settings(out: Path, cache: Path, *more: str) -> list[str]:
    """The command line of a run of a few seconds."""
    return [*SETTINGS, f"out={out}", f"data.cache={cache}", *more]


def start(*given: str) -> int:
    """Run the command in this process on one thread: as fast for a small network, and reproducible on all machines."""
    AcceleratorState._reset_state(reset_partial_state=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return cli.run(entry.train, "train", given)
    finally:
        torch.set_num_threads(threads)


def run(out: Path, cache: Path, *more: str) -> list[dict]:
    """Train to the end and return the rows of log.jsonl."""
    assert start(*settings(out, cache, *more)) == 0
    return read_log(out / "log.jsonl")


def losses(out: Path) -> list[float]:
    """The loss of every step, in order."""
    rows = read_log(out / "log.jsonl")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]
