"""What entry points share between configuration and objects: typed settings, the device, the arithmetic."""

import inspect
from typing import TypeVar

import torch
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from diffbgm.errors import InputError

T = TypeVar("T")


def typed(kind: type[T], cfg: DictConfig) -> T:
    """A dataclass from the keys of the config that it has, lists as tuples. InputError for a value of another type."""
    plain = {name: cfg[name] for name in inspect.signature(kind).parameters}
    try:
        merged = OmegaConf.merge(OmegaConf.structured(kind), plain)
    except OmegaConfBaseException as error:
        reason, key = str(error).splitlines()[0], str(error.full_key).partition("[")[0]
        raise InputError(f"{key}={plain.get(key)} cannot be used: {reason}") from error
    return kind(**{str(name): tuple(value) if OmegaConf.is_list(value) else value for name, value in merged.items()})


def device_named(name: str) -> torch.device:
    """The device called `name`; for "auto" a GPU if there is one. InputError where it cannot be used here."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name} cannot be used here ({error}); give device=cpu or device=auto") from error
    return device


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type; None is float32. "auto": bf16 where the device is fast in it. InputError for another name."""
    choices = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    if precision not in choices:
        raise InputError(f"precision={precision} is unknown; give one of auto, {', '.join(choices)}")
    return choices[precision]
