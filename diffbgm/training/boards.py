"""Experiment trackers: accelerate's trackers, chosen by name, receive the numbers of log.jsonl.

A tracker that stores its runs elsewhere (wandb, mlflow) identifies each run by an id. The ids are stored in
`trackers.json` in the run's folder, so that a resumed run continues its curves.
"""

import json
import logging
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf

from diffbgm.errors import InputError
from diffbgm.extras import extra
from diffbgm.files import atomic, writable_folder

PROJECT = "diffbgm"
TENSORBOARD = "tensorboard"
MLFLOW = "mlflow"
MLFLOW_PLACE = "MLFLOW_TRACKING_URI"
IDENTIFIERS = "trackers.json"
HINTS = {  # what to do if an installed tracker does not start
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
    MLFLOW: f"check {MLFLOW_PLACE}",
}

logger = logging.getLogger(__name__)


def _of_a_thread(arguments: threading.ExceptHookArgs) -> None:
    """Print no traceback for an OSError in TensorBoard's writer thread: it is raised again in the main thread."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)


def board_names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The tracker names in trainer.tracker as a tuple."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


class Boards:
    """The trackers of a run that continues after `step`. They receive the settings in `out`/config.yaml, if any."""

    def __init__(self, names: Sequence[str], out: Path, step: int) -> None:
        """Raises InputError for a name that accelerate does not know and for a tracker that does not start."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        if unknown := [name for name in names if name not in LOGGER_TYPE_TO_CLASS]:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise InputError(
                f"there is no tracker {', '.join(map(str, unknown))}; give trainer.tracker= one of {known}"
            )
        identifiers = _identifiers(out) if step else {}
        self.trackers = []
        self.placed = False
        self._hook = threading.excepthook
        for name in names:
            known_run = name in identifiers
            if name == MLFLOW:
                self.placed = _place_mlflow(out)
            if name == TENSORBOARD:
                writable_folder(out / TENSORBOARD)
                threading.excepthook = _of_a_thread
            tracker = LOGGER_TYPE_TO_CLASS[name](*_arguments(name, out), **_options(name, out, step, identifiers))
            _start(name, tracker)
            if name != TENSORBOARD and not (name == MLFLOW and known_run):  # mlflow refuses changed settings
                tracker.store_init_configuration(_settings(out / "config.yaml"))
            if name == MLFLOW:
                identifiers[name] = tracker.tracker.info.run_id
            self.trackers.append(tracker)
        if identifiers:
            with atomic(out / IDENTIFIERS) as temporary:
                temporary.write_text(json.dumps(identifiers) + "\n", encoding="utf-8")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log values by name. A tracker that fails, for example because its server is gone, is not used any more.

        All numbers are in log.jsonl anyway. Raises OSError if TensorBoard's files cannot be written (disk full).
        """
        for tracker in list(self.trackers):
            try:
                tracker.log(dict(values), step=step)
            except Exception as error:
                if tracker.name == TENSORBOARD:
                    raise
                self.trackers.remove(tracker)
                logger.warning("%s has failed (%s) and is not used any more; see log.jsonl", tracker.name, _said(error))

    def previews(self, step: int, image: np.ndarray, sounds: Sequence[np.ndarray], rate: int) -> None:
        """Log a picture (3, H, W) uint8 and sounds (n,) at `rate` Hz to TensorBoard, if it is among the trackers."""
        for tracker in self.trackers:
            if tracker.name == TENSORBOARD:
                tracker.writer.add_image("preview/rolls", image, step)
                for index, sound in enumerate(sounds):
                    tracker.writer.add_audio(f"preview/{index}", torch.from_numpy(sound), step, sample_rate=rate)
                tracker.writer.flush()

    def close(self) -> None:
        """Flush and close all trackers."""
        for tracker in self.trackers:
            tracker.finish()
        threading.excepthook = self._hook
        if self.placed:
            os.environ.pop(MLFLOW_PLACE, None)  # the next run in this process has its own folder


def _place_mlflow(out: Path) -> bool:
    """Make mlflow write into the run's folder unless its environment variable is set; returns whether it does."""
    if MLFLOW_PLACE in os.environ:
        return False
    (out / MLFLOW).mkdir(parents=True, exist_ok=True)
    os.environ[MLFLOW_PLACE] = f"sqlite:///{(out / MLFLOW / 'mlflow.db').resolve()}"
    return True


def _start(name: str, tracker: Any) -> None:
    """Start a tracker. Raises InputError if its package is not installed or it does not start."""
    if name == TENSORBOARD:
        with extra("train"):
            tracker.start()
        return
    try:
        tracker.start()
    except ModuleNotFoundError as error:
        raise InputError(f"trainer.tracker={name} needs {error.name}: pip install {error.name}") from error
    except Exception as error:  # clients of services raise all kinds of exceptions
        hint = HINTS.get(name, "fix this")
        raise InputError(
            f"trainer.tracker={name} does not start ({_said(error)}): {hint}, or give trainer.tracker=tensorboard"
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _identifiers(out: Path) -> dict[str, str]:
    """The ids of this run by tracker; empty if there are none yet."""
    with suppress(OSError, ValueError):
        found = json.loads((out / IDENTIFIERS).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {name: value for name, value in found.items() if isinstance(value, str)}
    return {}


def _settings(path: Path) -> dict[str, str | int | float | bool]:
    """The settings in a config.yaml by dotted name, such as trainer.lr; empty if there is no file."""
    if not path.is_file():
        return {}
    found: dict[str, str | int | float | bool] = {}

    def collect(prefix: str, node: object) -> None:
        if isinstance(node, dict):
            for key, value in node.items():
                collect(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            found[prefix] = node if isinstance(node, str | int | float | bool) else str(node)

    config = OmegaConf.load(path)
    if isinstance(config, DictConfig):
        collect("", OmegaConf.to_container(config))
    return found


def _arguments(name: str, out: Path) -> tuple[str, ...]:
    """Positional arguments of a tracker: for TensorBoard a folder name and its parent, for the others a project."""
    return (TENSORBOARD, str(out)) if name == TENSORBOARD else (PROJECT,)


def _options(name: str, out: Path, step: int, identifiers: dict[str, str]) -> dict[str, Any]:
    """Keyword arguments of a tracker. A run that starts at its first step is a new run to every tracker."""
    if name == "wandb":
        identifiers.setdefault(name, secrets.token_hex(4))
    options: dict[str, dict[str, Any]] = {
        TENSORBOARD: {"purge_step": step + 1},
        "wandb": {"name": out.name, "id": identifiers.get("wandb"), "resume": "allow", "dir": str(out)},
        "trackio": {"name": out.name, "resume": "allow" if step else "never"},
        MLFLOW: {"run_name": out.name, "run_id": identifiers.get(MLFLOW)},
    }
    return options.get(name, {})
