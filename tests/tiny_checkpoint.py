"""A checkpoint of a tiny network with random weights that plays notes: enough for the whole path to run in seconds."""

from pathlib import Path

import torch

from diffbgm.app.cli import configure
from diffbgm.models.checkpoint import FORMAT, save_checkpoint
from diffbgm.models.network import build_network


def save_tiny_checkpoint(path: Path, seed: int = 0, hints: bool = False, **changes: object) -> Path:
    """Write it. `changes` replace entries of the checkpoint's config; `hints`: it can be told themes and references."""
    torch.manual_seed(seed)
    group = configure("train", ["model=tiny", "selector=language_video", "data=generated", "out=unused"])
    model = {"unet": dict(group.model.unet), "conditioner": dict(group.model.conditioner)}
    model["unet"] = {key: list(value) if hasattr(value, "__iter__") else value for key, value in model["unet"].items()}
    model["conditioner"] |= {"visual_width": 9, "language_width": 384, "selector": dict(group.selector)}
    model["unet"] |= {"theme_condition": hints, "reference_condition": hints}
    network = build_network(model)
    for parameter in network.parameters():  # layers that start at zero would make every condition sound alike
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.1)
    torch.nn.init.normal_(network.unet.out[-1].weight, std=0.3)
    config = {
        "format": FORMAT,
        "model": model,
        "objective": "x0_logits",
        "schedule": {"steps": 1000, "start": 0.00085, "end": 0.012},
        "features": {"name": "lite", "extractor": "lite", "visual_width": 9, "language_width": 384},
        "window": 8,
        "sampling": {"guidance": 2.0, "threshold": 0.5},
        "training": {},
    }
    save_checkpoint(path, network.state_dict(), {**config, **changes})
    return path
