"""Checkpoints: one .safetensors file that holds the weights and, as metadata, the config they belong to.

The config is a dict {"format": 1, "model": {"unet", "conditioner"}, "objective", "schedule", "features", "window",
"sampling", "training"}; only "format" and "model" are read here.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
from torch import Tensor

from diffbgm.errors import InputError
from diffbgm.files import atomic, sha256
from diffbgm.models.network import DiffBGM, build_network

FORMAT = 1


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, in float32, with everything known about it."""

    network: DiffBGM
    config: dict[str, Any]
    sha256: str  # of the file


def save_checkpoint(path: str | Path, state_dict: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Write weights (in the dtype they have) and config, atomically. Raises InputError where `path` is not writable."""
    assert config["format"] == FORMAT, "the config carries this format's number"
    tensors = {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}
    with atomic(path) as temporary:
        safetensors.torch.save_file(tensors, temporary, metadata={"config": json.dumps(config)})


def read_config(path: str | Path) -> dict[str, Any]:
    """The config alone. Raises InputError as `load_checkpoint` does."""
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
    except FileNotFoundError as error:
        raise InputError(f"there is no checkpoint at {path}; give checkpoint=FILE") from error
    except (safetensors.SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a complete .safetensors file ({error}); fetch or write it again") from error
    try:
        config = json.loads(metadata["config"])
        found = config["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} carries no config of this project; give a checkpoint written by train.py") from error
    if found != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {found}, but this version reads {FORMAT}; use the other version"
        )
    return config


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Build the network of a checkpoint and load its weights strictly.

    Raises InputError where the file is missing, cut short, not ours, or its weights do not fit its config.
    """
    config = read_config(path)
    try:
        network = build_network(config["model"])
        weights = safetensors.torch.load_file(path)
        network.load_state_dict({key: value.float() for key, value in weights.items()})
    except (InputError, KeyError, RuntimeError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the weights in {path} do not fit its config ({reason}); write it again") from error
    return Checkpoint(network.eval(), config, sha256(path))
