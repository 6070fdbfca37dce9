"""Where the curves of a run are drawn: accelerate's trackers, by name, over the numbers of log.jsonl."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from diffbgm.errors import InputError
from diffbgm.extras import extra

PROJECT = "diffbgm"
TENSORBOARD = "tensorboard"


def board_names(given: str | Sequence[str] | None) -> tuple[str, ...]:
    """The names in trainer.tracker: none, one or several."""
    if given is None:
        return ()
    return (given,) if isinstance(given, str) else tuple(given)


class Boards:
    """The trackers of a run that goes on after `step`."""

    def __init__(self, names: Sequence[str], out: Path, step: int) -> None:
        """InputError for a name that accelerate does not know, and for a package that is not installed."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        if unknown := [name for name in names if name not in LOGGER_TYPE_TO_CLASS]:
            known = ", ".join(sorted(LOGGER_TYPE_TO_CLASS))
            raise InputError(
                f"there is no tracker {', '.join(map(str, unknown))}; give trainer.tracker= one of {known}"
            )
        self.trackers = []
        for name in names:
            tracker = LOGGER_TYPE_TO_CLASS[name](*_arguments(name, out), **_options(name, out, step))
            try:
                if name == TENSORBOARD:
                    with extra("train"):
                        tracker.start()
                else:
                    tracker.start()
            except ModuleNotFoundError as error:
                raise InputError(f"trainer.tracker={name} needs {error.name}: pip install {error.name}") from error
            self.trackers.append(tracker)

    def log(self, values: Mapping[str, float], step: int) -> None:
        """One number each under its name."""
        for tracker in self.trackers:
            tracker.log(dict(values), step=step)

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


def _arguments(name: str, out: Path) -> tuple[str, ...]:
    """What each tracker takes first: TensorBoard a folder's name and its place, the others a project."""
    return (TENSORBOARD, str(out)) if name == TENSORBOARD else (PROJECT,)


def _options(name: str, out: Path, step: int) -> dict[str, Any]:
    """A run is known by its folder's name, so that it goes on under the same curves."""
    options: dict[str, dict[str, Any]] = {
        TENSORBOARD: {"purge_step": step + 1},
        "wandb": {"name": out.name, "id": out.name, "resume": "allow", "dir": str(out)},
        "trackio": {"name": out.name, "resume": "allow"},
        "mlflow": {"run_name": out.name, "logging_dir": str(out / "mlflow")},
    }
    return options.get(name, {})
