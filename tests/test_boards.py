"""Experiment trackers get the numbers of log.jsonl under accelerate's names, without repeats after a resume."""

import json
import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from accelerate import PartialState, tracking
from accelerate.tracking import GeneralTracker
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


class Faked(GeneralTracker):
    """A tracker with accelerate's interface that records its calls."""

    name = "faked"
    requires_logging_directory = False
    made: ClassVar[list["Faked"]] = []

    def __init__(self, project: str, **options: object) -> None:
        super().__init__()
        self.project, self.options = project, options
        self.told: list[tuple[str, object]] = []
        self.failing: Exception | None = None
        Faked.made.append(self)

    def start(self) -> None:
        self.told.append(("start", None))

    @property
    def tracker(self) -> SimpleNamespace:
        return SimpleNamespace(info=SimpleNamespace(run_id="0123"))

    def store_init_configuration(self, values: dict) -> None:
        self.told.append(("settings", values))

    def log(self, values: dict, step: int | None = None, **_: object) -> None:
        if self.failing:
            raise self.failing
        self.told.append((f"step {step}", values))

    def finish(self) -> None:
        self.told.append(("finish", None))


@pytest.fixture
def faked(monkeypatch) -> type[Faked]:
    """A stand-in for wandb, trackio and mlflow."""
    monkeypatch.setattr(Faked, "made", [])
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("wandb", "trackio", "mlflow"):
        monkeypatch.setitem(tracking.LOGGER_TYPE_TO_CLASS, name, Faked)
    return Faked


def test_a_tracker_is_told_the_settings_and_the_numbers_of_the_log(tmp_path: Path, faked):
    (tmp_path / "config.yaml").write_text("seed: 3\ntrainer: {lr: 0.5, betas: [0.9, 0.99]}\n", encoding="utf-8")
    tracker = Tracker(tmp_path, 0, 10, 4, ["wandb"])
    tracker.write(2, [{"step": 1, "loss": 0.5, "lr": 0.1}, {"step": 2, "loss": 0.25, "lr": 0.2}], {"val_loss": 0.75})
    tracker.previews(2, np.zeros((3, 4, 4), np.uint8), [np.zeros(100, np.float32)], 8000)
    tracker.close()
    (board,) = faked.made
    assert board.project == "diffbgm"
    assert [what for what, _ in board.told] == ["start", "settings", "step 2", "finish"]
    assert board.told[1][1] == {"seed": 3, "trainer.lr": 0.5, "trainer.betas": "[0.9, 0.99]"}
    logged = dict(board.told[2][1])
    assert logged.pop("train/segments_per_second") > 0
    assert logged == {"train/loss": 0.25, "train/lr": 0.2, "val/loss": 0.75}


@pytest.mark.parametrize(
    ("name", "first", "later"),
    [
        ("trackio", {"resume": "never"}, {"resume": "allow"}),
        ("mlflow", {"run_id": None}, {"run_id": "0123"}),
        ("wandb", {"resume": "allow"}, {"resume": "allow"}),
    ],
)
def test_a_run_that_goes_on_is_the_same_run_to_its_tracker(tmp_path: Path, faked, name: str, first, later):
    for step in (0, 5, 0):
        Boards([name], tmp_path, step).close()
    new, on, again = (board.options for board in faked.made)
    assert new.items() >= first.items()
    assert on.items() >= later.items()
    assert again.items() >= first.items()
    names = [options.get("name", options.get("run_name")) for options in (new, on, again)]
    assert names == [tmp_path.name] * 3
    if name == "wandb":
        assert new["id"] == on["id"] != again["id"]


def test_mlflow_writes_into_the_run_unless_a_place_is_given(tmp_path: Path, faked, monkeypatch):
    (tmp_path / "config.yaml").write_text("seed: 3\n", encoding="utf-8")
    first = Boards(["mlflow"], tmp_path, 0)
    assert os.environ["MLFLOW_TRACKING_URI"] == f"sqlite:///{(tmp_path / 'mlflow' / 'mlflow.db').resolve()}"
    first.close()
    assert "MLFLOW_TRACKING_URI" not in os.environ
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:5000")
    Boards(["mlflow"], tmp_path, 5).close()
    assert os.environ["MLFLOW_TRACKING_URI"] == "http://localhost:5000"
    settings = [[values for what, values in board.told if what == "settings"] for board in faked.made]
    assert settings == [[{"seed": 3}], []]  # mlflow refuses a setting that was changed between two starts


def test_a_tracker_that_fails_does_not_stop_the_training(tmp_path: Path, faked, caplog):
    tracker = Tracker(tmp_path, 0, 10, 4, ["wandb"])
    faked.made[0].failing = ConnectionError("the server is gone.")
    for step in (1, 2):
        tracker.write(step, [{"step": step, "loss": 0.5}], {})
    tracker.close()
    assert [row["step"] for row in read_log(tmp_path / "log.jsonl")] == [1, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "faked has failed (the server is gone) and is not used any more; see log.jsonl"
    ]


def test_a_tracker_that_refuses_to_start_is_a_sentence(tmp_path: Path, faked, monkeypatch):
    def refuse(self) -> None:
        raise RuntimeError("No API key configured.\nUse `wandb login` to log in.")

    monkeypatch.setattr(Faked, "start", refuse)
    with pytest.raises(InputError, match=r"trainer.tracker=wandb does not start \(No API key.*WANDB_MODE=offline"):
        Boards(["wandb"], tmp_path, 0)


def logged_by(name: str, out: Path) -> None:
    """Two steps through the tracker itself; the test is skipped where its package is not installed."""
    package = pytest.importorskip(name)
    PartialState(cpu=True)  # which accelerate's own log asks for
    tracker = Tracker(out, 0, 10, 4, [name])
    for step, loss in ((1, 0.5), (2, 0.25)):
        tracker.write(step, [{"step": step, "loss": loss}], {})
    tracker.close()
    if name == "wandb":
        package.teardown()  # its process writes what it still holds


@pytest.mark.slow
def test_mlflow_itself(tmp_path: Path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    logged_by("mlflow", tmp_path)
    with sqlite3.connect(tmp_path / "mlflow" / "mlflow.db") as base:
        rows = base.execute("select step, value from metrics where key = 'train/loss' order by step").fetchall()
    assert rows == [(1, 0.5), (2, 0.25)]


@pytest.mark.slow
def test_trackio_itself(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    logged_by("trackio", tmp_path)
    with sqlite3.connect(tmp_path / "trackio" / "diffbgm.db") as base:
        rows = base.execute("select step, metrics from metrics order by step").fetchall()
    assert [(step, json.loads(values)["train/loss"]) for step, values in rows] == [(1, 0.5), (2, 0.25)]


@pytest.mark.slow
def test_wandb_itself_offline(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    logged_by("wandb", tmp_path)
    (written,) = (tmp_path / "wandb").glob("offline-run-*/run-*.wandb")
    assert b"train/loss" in written.read_bytes()
