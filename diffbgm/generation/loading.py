"""Find the parts of a pipeline: checkpoint (by name, file, folder or hub id), sampler, device and precision."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from diffbgm.diffusion.samplers import Sampler, build_sampler, changed_sampler, stored_sampler
from diffbgm.errors import InputError
from diffbgm.models.checkpoint import Checkpoint, load_checkpoint
from diffbgm.shipped import shipped_weights, weights_path

WEIGHTS = "model.safetensors"  # a checkpoint's name in a folder and on the hub


def chosen_sampler(config: Mapping[str, Any], stored: object) -> Sampler:
    """The sampler of a config's group `sampler`; if its name is null, the checkpoint's `stored` one with the changes.

    Raises InputError for invalid settings.
    """
    given = {key: value for key, value in config.items() if key != "_target_"}
    if given.get("name") is not None:
        return build_sampler(**given)
    return changed_sampler(stored_sampler(stored), {key: value for key, value in given.items() if value is not None})


def find_checkpoint(name_or_path: str | Path) -> Path:
    """The file of a checkpoint: a shipped name, a file, a folder with one .safetensors file, or a hub id "owner/name".

    Only a hub id needs the network, and only if the hub's cache lacks it. Raises InputError if there is no checkpoint.
    """
    path = weights_path(name_or_path)
    if path.is_dir():
        found = [path / WEIGHTS] if (path / WEIGHTS).is_file() else sorted(path.glob("*.safetensors"))
        if len(found) != 1:
            holds = f"{len(found)} .safetensors files" if found else "no .safetensors file"
            raise InputError(f"the folder {path} holds {holds}; give the path of a checkpoint file")
        return found[0]
    name = str(name_or_path)
    if path.exists() or path.suffix == ".safetensors":
        return path
    shipped = shipped_weights()
    if name in shipped:
        return shipped[name]
    if re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        return _from_hub(name)
    raise InputError(
        f"there is no checkpoint {name!r}; give a shipped name ({', '.join(shipped)}), a file, a folder or a hub id "
        "such as owner/name"
    )


def open_checkpoint(name_or_path: str | Path) -> Checkpoint:
    """A checkpoint by name, file, folder or hub id. InputError as for `find_checkpoint` and `load_checkpoint`."""
    return load_checkpoint(find_checkpoint(name_or_path))


def _from_hub(name: str) -> Path:
    """The checkpoint of a hub repository, from the hub's cache where that has it."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, WEIGHTS))
    except LocalEntryNotFoundError as error:
        raise InputError(
            f"the hub cannot be reached and {name} is not in its cache; connect to the network, or give a file, a "
            f"folder or a shipped name ({', '.join(shipped_weights())})"
        ) from error
    except EntryNotFoundError as error:
        raise InputError(f"{name} on the hub holds no {WEIGHTS}; give a repository made by push_to_hub") from error
    except (OSError, HFValidationError) as error:  # HfHubHTTPError is an OSError
        reason = str(error).strip().split("\n")[0][:120]
        raise InputError(
            f"there is no checkpoint {name!r} here, and the hub does not give one ({reason}); check the name"
        ) from error


def device_named(name: str) -> torch.device:
    """The device called `name`; for "auto", this process's GPU if there is one. Raises InputError if unusable."""
    if name == "auto":
        name = "cpu" if not torch.cuda.is_available() else _own_gpu(torch.cuda.device_count())
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"device={name} cannot be used here ({error}); give device=cpu or device=auto") from error
    return device


def _own_gpu(count: int, environment: Mapping[str, str] = os.environ) -> str:
    """The GPU of a process that torchrun, accelerate or srun started beside others on this machine."""
    for local in ("LOCAL_RANK", "SLURM_LOCALID"):
        if environment.get(local, "").isdecimal():
            return f"cuda:{int(environment[local]) % count}"
    return "cuda"


def autocast_dtype(precision: str, device: torch.device) -> torch.dtype | None:
    """The autocast type, None for float32; "auto" is bf16 on a GPU. Raises InputError for an unknown name."""
    choices = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
    if precision == "auto":
        precision = "bf16" if device.type == "cuda" else "fp32"
    if precision not in choices:
        raise InputError(f"precision={precision} is unknown; give one of auto, {', '.join(choices)}")
    return choices[precision]
