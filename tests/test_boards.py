"""Trackers of a training: the same numbers as log.jsonl, by accelerate's names, continued and not doubled."""

from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from diffbgm.errors import InputError
from diffbgm.training.boards import Boards, board_names
from diffbgm.training.tracking import Tracker, read_log


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return [(event.step, round(event.value, 4)) for event in events.Scalars(name)]


def test_tensorboard_gets_the_numbers_of_the_log(tmp_path: Path):
    tracker = Tracker(tmp_path, 0, 10, 4)
    tracker.write(2, [{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25}], {"val_loss": 0.75})
    tracker.previews(2, np.zeros((3, 4, 4), np.uint8), [np.zeros(100, np.float32)], 8000)
    tracker.close()
    assert [row["loss"] for row in read_log(tmp_path / "log.jsonl")] == [0.5, 0.25]
    assert scalars(tmp_path / "tensorboard", "train/loss") == [(2, 0.25)]
    assert scalars(tmp_path / "tensorboard", "val/loss") == [(2, 0.75)]


def test_a_run_that_goes_on_drops_what_was_logged_beyond_its_checkpoint(tmp_path: Path):
    for first, step, loss in ((0, 4, 0.5), (2, 3, 0.25)):
        tracker = Tracker(tmp_path, first, 10, 4)
        tracker.write(step, [{"step": step, "loss": loss}], {})
        tracker.close()
    assert scalars(tmp_path / "tensorboard", "train/loss") == [(3, 0.25)]


def test_no_tracker_leaves_the_log_alone(tmp_path: Path):
    tracker = Tracker(tmp_path, 0, 10, 4, ())
    tracker.write(1, [{"step": 1, "loss": 0.5}], {})
    tracker.close()
    assert [path.name for path in tmp_path.iterdir()] == ["log.jsonl"]


@pytest.mark.parametrize(
    ("given", "names"), [(None, ()), ("wandb", ("wandb",)), (["tensorboard", "mlflow"], ("tensorboard", "mlflow"))]
)
def test_names(given, names):
    assert board_names(given) == names


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("tensorbord", "no tracker tensorbord; give trainer.tracker= one of .*mlflow.*tensorboard"),
        ("wandb", "trainer.tracker=wandb needs wandb: pip install wandb"),
    ],
)
def test_what_is_unknown_or_not_installed_is_a_sentence(tmp_path: Path, monkeypatch, name: str, sentence: str):
    monkeypatch.setitem(__import__("sys").modules, "wandb", None)
    with pytest.raises(InputError, match=sentence):
        Boards([name], tmp_path, 0)
