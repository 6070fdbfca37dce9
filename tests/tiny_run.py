"""Small training runs on generated songs, for the tests of the trainer."""

from pathlib import Path

from accelerate.state import AcceleratorState

import train as entry
from diffbgm.cli import compose
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


def settings(out: Path, cache: Path, *more: str) -> list[str]:
    """The command line of a run of a few seconds."""
    return [*SETTINGS, f"out={out}", f"data.cache={cache}", *more]


def run(out: Path, cache: Path, *more: str) -> list[dict]:
    """Train in this process; the rows of log.jsonl."""
    AcceleratorState._reset_state(reset_partial_state=True)
    assert entry.train(compose("train", settings(out, cache, *more))) == 0
    return read_log(out / "log.jsonl")


def losses(out: Path) -> list[float]:
    """The loss of every step, in order."""
    rows = read_log(out / "log.jsonl")
    assert [row["step"] for row in rows] == list(range(1, len(rows) + 1))
    return [row["loss"] for row in rows]
