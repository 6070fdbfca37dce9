"""The training state: weights, their moving average, optimizer state and step, in files that are complete or absent.

    checkpoints/
      step-00001000/state.safetensors   everything, with the run's config as metadata; only the newest ones are kept
      last.safetensors                  the averaged weights of the newest state, as sample.py reads them
      best.safetensors                  the averaged weights with the lowest validation loss

Nothing is pickled. No state of random generators is saved, because the random numbers of a step are a function of
(seed, step): see draws.py.
"""

import contextlib
import hashlib
import json
import math
import re
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.models.checkpoint import read_json, read_metadata
from diffbgm.models.config import checkpoint_config

STATE = "state.safetensors"
REMEDY = "delete its folder and run again: training continues from the previous state"


@dataclass
class RunState:
    """The live objects of a run that are saved and restored in place."""

    network: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    scaler: Any = None  # torch's GradScaler with fp16, else None


def save_state(folder: Path, step: int, state: RunState, config: Mapping[str, Any], best: float) -> Path:
    """Write step-<step>/state.safetensors into `folder` and return its path.

    Raises InputError if it cannot be written; earlier states are not touched.
    """
    tensors: dict[str, Tensor] = {}
    for name, module in (("network", state.network), ("average", state.average)):
        tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
    for index, slots in state.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{slot}": value for slot, value in slots.items()}
    tensors = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
    scaler = state.scaler.state_dict() if state.scaler is not None else None
    about = json.dumps(
        {"step": step, "best": best if math.isfinite(best) else None, "scaler": scaler, "config": config}
    )
    metadata = {"about": about, "checksum": _checksum(tensors, about)}
    path = folder / f"step-{step:08d}" / STATE
    with atomic(path) as temporary, disk_errors(path):
        safetensors.torch.save_file(tensors, temporary, metadata=metadata)
    return path


def _checksum(tensors: Mapping[str, Tensor], about: str) -> str:
    """The SHA-256 of the tensors and metadata of a state."""
    digest = hashlib.sha256(about.encode())
    for key in sorted(tensors):
        value = tensors[key]
        digest.update(f"{key} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


@contextlib.contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn a failure to write `path`, for example on a full disk, into an InputError."""
    try:
        yield
    except (OSError, safetensors.SafetensorError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"cannot save {path}: {reason}; earlier checkpoints are complete: free some space and run the command again"
        ) from error


def newest(folder: Path) -> Path | None:
    """The state file with the highest step, or None."""
    found = [path / STATE for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name)]
    found = [path for path in found if path.is_file()]
    return max(found, key=lambda path: int(path.parent.name[5:]), default=None)


def read_about(path: Path) -> dict[str, Any]:
    """{"step", "best", "scaler", "config"} of a state file. Raises InputError if it is not complete."""
    metadata = read_metadata(path, f"a complete training state; {REMEDY}")
    try:
        return read_json(metadata["about"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is not a complete training state ({error}); {REMEDY}") from error


def load_state(path: Path, state: RunState) -> dict[str, Any]:
    """Restore `state` from `path` in place; returns the same as `read_about`.

    Raises InputError if the file is damaged or the weights are those of another model.
    """
    about = read_about(path)
    metadata = read_metadata(path, f"a complete training state; {REMEDY}")
    tensors = safetensors.torch.load_file(path)
    if metadata.get("checksum", "") not in ("", _checksum(tensors, metadata["about"])):  # versions to 0.2.0 had none
        raise InputError(f"{path} is damaged: its content does not match its checksum; {REMEDY}")
    try:
        for name, module in (("network", state.network), ("average", state.average)):
            module.load_state_dict(_part(tensors, name))
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the weights in {path} do not fit this model ({reason}): give another out=") from error
    _load_optimizer(state, _part(tensors, "optimizer"))
    if state.scaler is not None and about["scaler"]:
        state.scaler.load_state_dict(about["scaler"])
    return about


def _load_optimizer(state: RunState, tensors: Mapping[str, Tensor]) -> None:
    """Restore the optimizer state in the memory layout of each parameter, which fused optimizers rely on."""
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    slots: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, slot = key.split(".")
        parameter = parameters[int(index)]
        laid_out = torch.empty_like(parameter).copy_(value) if value.shape == parameter.shape else value
        slots.setdefault(int(index), {})[slot] = laid_out
    state.optimizer.load_state_dict({"state": slots, "param_groups": state.optimizer.state_dict()["param_groups"]})


def retain(folder: Path, count: int) -> None:
    """Delete all but the newest `count` states."""
    steps = sorted(path for path in folder.glob("step-*") if re.fullmatch(r"step-\d+", path.name))
    for path in steps[:-count]:
        shutil.rmtree(path, ignore_errors=True)


def identity(config: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a checkpoint's config that must not change when a run is resumed."""
    plain = checkpoint_config(config).plain()
    return {key: plain[key] for key in ("model", "objective", "schedule", "window")} | {
        "features": plain["features"]["name"]
    }


def differences(before: object, now: object, prefix: str = "") -> list[str]:
    """A line "key: before -> now" for every leaf in which two nested dicts differ.

    Keys that `before` lacks are ignored: they are newer options, and the shapes of the weights show whether they fit.
    """
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key, value in before.items()
            for line in differences(value, now.get(key), f"{prefix}.{key}" if prefix else str(key))
        ]
    return [] if before == now else [f"{prefix}: {before} -> {now}"]


def _part(tensors: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    start = f"{name}."
    return {key[len(start) :]: value for key, value in tensors.items() if key.startswith(start)}
