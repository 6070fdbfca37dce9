"""Where the curves of a run are drawn: accelerate's trackers, by name, over the numbers of log.jsonl.

A tracker that keeps its runs elsewhere (wandb, mlflow) knows this one by an identifier, which stands in the file
`trackers.json` of the run's folder, so that a run that is continued goes on under the same curves.
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
HINTS = {  # what helps where a tracker is installed and does not start
    "wandb": "log in with `wandb login`, or set WANDB_MODE=offline",
    MLFLOW: f"look at {MLFLOW_PLACE}",
}

logger = logging.getLogger(__name__)


def _of_a_thread(arguments: threading.ExceptHookArgs) -> None:
    """TensorBoard's thread says again in the main one what the system refused it: no traceback of it."""
    if not issubclass(arguments.exc_type, OSError):
        threading.__excepthook__(arguments)


def board_names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names in trainer.tracker: none, one or several."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


class Boards:
    """The trackers of a run that goes on after `step`, told the settings in `out`/config.yaml where that file is."""

    def __init__(self, names: Sequence[str], out: Path, step: int) -> None:
        """InputError for a name that accelerate does not know, and for a tracker that cannot be started."""
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
            if name != TENSORBOARD and not (name == MLFLOW and known_run):  # whose settings can never change
                tracker.store_init_configuration(_settings(out / "config.yaml"))
            if name == MLFLOW:
                identifiers[name] = tracker.tracker.info.run_id
            self.trackers.append(tracker)
        if identifiers:
            with atomic(out / IDENTIFIERS) as temporary:
                temporary.write_text(json.dumps(identifiers) + "\n", encoding="utf-8")

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One number each under its name. A tracker that fails, such as one whose server is gone, is left from then on.

        The numbers are in log.jsonl all the same. A TensorBoard that cannot be written raises OSError: a full disk.
        """
        for tracker in list(self.trackers):
            try:
                tracker.log(dict(values), step=step)
            except Exception as error:
                if tracker.name == TENSORBOARD:
                    raise
                self.trackers.remove(tracker)
                logger.warning("%s takes no more numbers (%s); log.jsonl has them all", tracker.name, _said(error))

    def previews(self, step: int, image: np.ndarray, sounds: Sequence[np.ndarray], rate: int) -> None:
        """A picture (3, H, W) and sounds (n,), where TensorBoard is among the trackers."""
        for tracker in self.trackers:
            if tracker.name == TENSORBOARD:
                tracker.writer.add_image("preview/rolls", image, step)
                for index, sound in enumerate(sounds):
                    tracker.writer.add_audio(f"preview/{index}", torch.from_numpy(sound), step, sample_rate=rate)
                tracker.writer.flush()

    def close(self) -> None:
        """Write what is left."""
        for tracker in self.trackers:
            tracker.finish()
        threading.excepthook = self._hook
        if self.placed:
            os.environ.pop(MLFLOW_PLACE, None)  # the next run of this process has a place of its own


def _place_mlflow(out: Path) -> bool:
    """Have mlflow write into the run's folder where its own variable names no place; whether that was so."""
    if MLFLOW_PLACE in os.environ:
        return False
    (out / MLFLOW).mkdir(parents=True, exist_ok=True)
    os.environ[MLFLOW_PLACE] = f"sqlite:///{(out / MLFLOW / 'mlflow.db').resolve()}"
    return True


def _start(name: str, tracker: Any) -> None:
    """Start a tracker. InputError where its package is not installed, and where it refuses."""
    if name == TENSORBOARD:
        with extra("train"):
            tracker.start()
        return
    try:
        tracker.start()
    except ModuleNotFoundError as error:
        raise InputError(f"trainer.tracker={name} needs {error.name}: pip install {error.name}") from error
    except Exception as error:  # whatever a service and its client may say
        hint = HINTS.get(name, "mend that")
        raise InputError(
            f"trainer.tracker={name} does not start ({_said(error)}): {hint}, or give trainer.tracker=tensorboard"
        ) from error


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200].rstrip(".") or type(error).__name__


def _identifiers(out: Path) -> dict[str, str]:
    """Identifiers of this run by tracker; {} where there are none yet."""
    with suppress(OSError, ValueError):
        found = json.loads((out / IDENTIFIERS).read_text(encoding="utf-8"))
        if isinstance(found, dict):
            return {name: value for name, value in found.items() if isinstance(value, str)}
    return {}


def _settings(path: Path) -> dict[str, str | int | float | bool]:
    """The settings of a run by dotted name, such as trainer.lr; {} where they were not written."""
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
    """What each tracker takes first: TensorBoard a folder's name and its place, the others a project."""
    return (TENSORBOARD, str(out)) if name == TENSORBOARD else (PROJECT,)


def _options(name: str, out: Path, step: int, identifiers: dict[str, str]) -> dict[str, Any]:
    """What a tracker needs to know of a run; a run from its first step on is a new one to every tracker."""
    if name == "wandb":
        identifiers.setdefault(name, secrets.token_hex(4))
    options: dict[str, dict[str, Any]] = {
        TENSORBOARD: {"purge_step": step + 1},
        "wandb": {"name": out.name, "id": identifiers.get("wandb"), "resume": "allow", "dir": str(out)},
        "trackio": {"name": out.name, "resume": "allow" if step else "never"},
        MLFLOW: {"run_name": out.name, "run_id": identifiers.get(MLFLOW)},
    }
    return options.get(name, {})
