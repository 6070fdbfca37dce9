"""Checkpoints: one .safetensors file that holds the weights and, as metadata, their config (config.py).

Nothing in a file is executed, and its config cannot make us allocate memory: the config is validated as a type, the
network is built on the meta device, and the weights are read only if every tensor in the file has the expected shape.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from diffbgm.errors import InputError
from diffbgm.files import atomic, regular, sha256
from diffbgm.models.config import FORMAT, CheckpointConfig, checkpoint_config
from diffbgm.models.discriminator import Discriminator
from diffbgm.models.network import DiffBGM, build_network

LARGEST = 64 << 30  # bytes of a file, more than any network of this kind needs
LONGEST_CONFIG = 1 << 20  # characters
PREFIX = "discriminator."  # of its tensors in a file


@dataclass(frozen=True)
class Checkpoint:
    """A network in evaluation mode, in float32, with everything known about it."""

    network: DiffBGM
    config: CheckpointConfig
    sha256: str  # of the file
    discriminator: Discriminator | None = None

    def weights(self) -> dict[str, Tensor]:
        """All tensors by name, as the file has them."""
        return all_weights(self.network.state_dict(), self.discriminator)


def all_weights(network: Mapping[str, Tensor], discriminator: Discriminator | None) -> dict[str, Tensor]:
    """The tensors of a file by name, for those of a network and its discriminator."""
    own = {} if discriminator is None else discriminator.state_dict()
    return {**network, **{PREFIX + key: value for key, value in own.items()}}


def save_checkpoint(
    path: str | Path, state_dict: Mapping[str, Tensor], config: CheckpointConfig | Mapping[str, Any]
) -> None:
    """Write weights (in their own dtype) and config atomically.

    Raises InputError if `path` is not writable or the config is not valid.
    """
    config = config if isinstance(config, CheckpointConfig) else checkpoint_config(config)
    tensors = {key: value.detach().cpu().contiguous() for key, value in state_dict.items()}
    with atomic(path) as temporary:
        try:
            safetensors.torch.save_file(tensors, temporary, metadata={"config": json.dumps(config.plain())})
        except safetensors.SafetensorError as error:  # safetensors reports a full disk as its own error
            raise OSError(str(error)) from error


def read_config(path: str | Path) -> CheckpointConfig:
    """The config alone. Raises InputError as `load_checkpoint` does."""
    if not Path(path).exists():
        raise InputError(f"there is no checkpoint at {path}; give checkpoint=FILE")
    metadata = read_metadata(path, "a complete .safetensors file; fetch or write it again")
    try:
        config = read_json(metadata["config"])
        found = config["format"]
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} has no config of this project; give a checkpoint written by train.py") from error
    if found != FORMAT:
        raise InputError(
            f"{path} has checkpoint format {str(found)[:20]}, but this version reads {FORMAT}; use the other version"
        )
    try:
        return checkpoint_config(config)
    except InputError as error:
        raise InputError(f"the config in {path} cannot be used: {error}") from error


def read_metadata(path: str | Path, wanted: str) -> dict[str, str]:
    """The metadata of a .safetensors file. Raises InputError "PATH is not `wanted`" if it is not a readable file.

    `wanted` is a description and a remedy, separated by "; ".
    """
    regular(path, LARGEST)
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            return file.metadata() or {}
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        what, _, remedy = wanted.partition("; ")
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} is not {what} ({reason}); {remedy}") from error


def read_json(text: str) -> Any:
    """Parse strict JSON. Raises ValueError for anything else, NaN and Infinity included, and if too long or deep."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is not JSON")

    if len(text) > LONGEST_CONFIG:
        raise ValueError("the text is too long")
    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError as error:
        raise ValueError("the text is nested too deeply") from error


def load_checkpoint(path: str | Path) -> Checkpoint:
    """Build the network of a checkpoint and load its weights strictly.

    Raises InputError if the file is missing, incomplete or not a checkpoint of this project, or if its weights do not
    fit its config or are not finite.
    """
    config = read_config(path)
    try:
        network, discriminator = _laid_out(config)
        _check_shapes(path, all_weights(network.state_dict(), discriminator))
        weights = safetensors.torch.load_file(path)
        # Copies, since views of the file are aligned otherwise, which changes the last bits of what is computed.
        floats = {key: value.float().clone() for key, value in weights.items()}
        own = {key.removeprefix(PREFIX): floats.pop(key) for key in weights if key.startswith(PREFIX)}
        network.load_state_dict(floats, assign=True)
        if discriminator is not None:
            discriminator.load_state_dict(own, assign=True)
            discriminator.eval().requires_grad_(False)
    except (InputError, KeyError, RuntimeError, OSError, safetensors.SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"the weights in {path} do not fit its config ({reason}); write it again") from error
    check_finite(path, weights)
    return Checkpoint(network.eval(), config, sha256(path), discriminator)


def check_finite(path: str | Path, tensors: Mapping[str, Tensor]) -> None:
    """Raise InputError if a tensor holds NaN or infinity, which would give silence or noise."""
    for key, value in tensors.items():
        if value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise InputError(f"{path} has weights that are not finite ({key}); fetch it again, or train again")


class _Uninitialised(TorchFunctionMode):
    """Leaves out the initialisation of layers that are built under it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        if getattr(func, "__module__", None) == "torch.nn.init":
            return given["tensor"] if "tensor" in given else args[0]
        return func(*args, **given)


def _laid_out(config: CheckpointConfig) -> tuple[DiffBGM, Discriminator | None]:
    """The networks that a config describes, without memory: their parameters have shapes and no values."""
    planes, width = config.model.unet.in_channels, config.discriminator_width
    with torch.device("meta"), _Uninitialised():
        return build_network(config.model), Discriminator(planes, width) if width else None


def _check_shapes(path: str | Path, wanted: Mapping[str, Tensor]) -> None:
    """Raise InputError if the tensors in the file do not have the names and shapes of those that are wanted."""
    expected = {key: tuple(value.shape) for key, value in wanted.items()}
    with safetensors.safe_open(str(path), framework="pt") as file:
        found = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    wrong = [key for key in {**expected, **found} if expected.get(key) != found.get(key)]
    if wrong:
        raise InputError(
            f"{len(wrong)} tensors are missing, unexpected or of the wrong shape, such as {wrong[0][:80]}: "
            f"{found.get(wrong[0])} instead of {expected.get(wrong[0])}"
        )
