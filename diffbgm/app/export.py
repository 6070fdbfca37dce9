"""Make the file to ship from the file of a training run: float16 weights, and the sampling defaults chosen for it.

    diffbgm export runs/NAME/checkpoints/best.safetensors pretrained/NAME.safetensors \\
        [--guidance 2] [--form AABA] [--note "2-core CPU, 95 minutes"]
"""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from diffbgm.fields import described
from diffbgm.generation.loading import open_checkpoint
from diffbgm.models.checkpoint import save_checkpoint
from diffbgm.models.config import SAMPLING, SamplingConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """Export. Raises InputError if the source is not a checkpoint of this project."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    for setting in described(SamplingConfig):
        if setting.name.split(".")[0] in SAMPLING:
            several = {"pivots": float, "voices": int}.get(setting.name)
            one = float if setting.name.startswith("couplings.") else setting.hint
            kind: dict[str, Any] = {"type": several, "nargs": "+"} if several else {"type": one}
            parser.add_argument(f"--{setting.name}", help=setting.limits.help, **kind)
    parser.add_argument("--note", help="machine and time, kept in the file's metadata")
    options = parser.parse_args(arguments)
    checkpoint = open_checkpoint(options.source)
    config = checkpoint.config.plain()
    for setting in described(SamplingConfig):
        if (value := getattr(options, setting.name, None)) is not None:
            *group, name = setting.name.split(".")
            (config["sampling"][group[0]] if group else config["sampling"])[name] = value
    if options.note:
        config["training"]["note"] = options.note
    halves = {key: value.half() for key, value in checkpoint.weights().items()}
    save_checkpoint(options.target, halves, config)
    print(f"{options.target}: {options.target.stat().st_size / 1e6:.1f} MB, sampling {config['sampling']}")
    return 0
