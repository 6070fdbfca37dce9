"""The authors' published weights: their U-Net with its own parameter names, and the import of their checkpoint.

A published checkpoint is a pickled file whose "model" entry holds the U-Net under `ldm.eps_model.`, its noise schedule
under `ldm.`, and the projection of captions under `caption_enc.`. The release masks both self-attention and
cross-attention with 2 windows of 16 beats, guides against a condition of -1, and pads with zeros. Three such files are
published, with the same keys: Diff-BGM, one trained on video features only (selector "video"), and one without
segment-aware attention (window 32). The weights do not tell which of them a file is.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffbgm.datasets.unpickle import load_torch
from diffbgm.diffusion.samplers import default_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.files import sha256
from diffbgm.models.checkpoint import check_finite, save_checkpoint
from diffbgm.models.config import CheckpointConfig, checkpoint_config
from diffbgm.models.network import build_network
from diffbgm.models.unet import UNet
from diffbgm.video.windows import WINDOWS

UNET: dict[str, Any] = {
    "in_channels": 2,
    "out_channels": 2,
    "channels": 64,
    "attention_levels": [2, 3],
    "n_res_blocks": 2,
    "channel_multipliers": [1, 2, 4, 4],
    "n_heads": 4,
    "tf_layers": 1,
    "d_cond": 512,
}
SCHEDULE: dict[str, Any] = {"steps": 1000, "start": 0.00085, "end": 0.012}
LANGUAGE_WIDTH = 768
WINDOW = 16  # beats: the release has two windows in 32 beats
PUBLISHED_SELECTORS = ("language_video", "video", "language")
UNET_PREFIX, CAPTION_PREFIX = "ldm.eps_model.", "caption_enc."


class ReleaseUNet(nn.Module):
    """The U-Net with a fixed number of windows, which mask both self-attention and cross-attention."""

    def __init__(self, unet: UNet, num_windows: int) -> None:
        super().__init__()
        self.unet = unet
        self.num_windows = num_windows

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor) -> Tensor:
        """eps (B, 2, S, P) for x (B, 2, S, P), t (B,) and the selected condition tokens (B, T, D)."""
        beats = tokens.shape[1]
        if beats % self.num_windows:
            raise InputError(
                f"{beats} condition tokens cannot be cut into {self.num_windows} windows; choose a divisor of {beats}"
            )
        return self.unet(x, t, tokens, window=beats // self.num_windows)


def build_unet(config: Mapping[str, Any], state_dict: Mapping[str, Any], num_windows: int) -> ReleaseUNet:
    """The release's U-Net from its config and state dict (tensors or arrays), in evaluation mode."""
    unet = UNet(**config, mask_self_attention=True)
    unet.load_state_dict({key: torch.as_tensor(value) for key, value in state_dict.items()})
    return ReleaseUNet(unet, num_windows).eval()


def published_shapes() -> dict[str, tuple[int, ...]]:
    """The shapes of all 562 tensors in the "model" entry of the published checkpoint, by key."""
    with torch.device("meta"):
        unet = UNet(**UNET)
    shapes: dict[str, tuple[int, ...]] = {
        f"ldm.{name}": (SCHEDULE["steps"],) for name in ("alpha", "beta", "alpha_bar", "sigma2")
    }
    shapes |= {UNET_PREFIX + key: tuple(value.shape) for key, value in unet.state_dict().items()}
    width = unet.d_cond
    return shapes | {f"{CAPTION_PREFIX}weight": (width, LANGUAGE_WIDTH), f"{CAPTION_PREFIX}bias": (width,)}


def import_release(
    source: str | Path, target: str | Path, selector: str = "language_video", window: int = WINDOW
) -> CheckpointConfig:
    """Convert the authors' checkpoint `source` to ours at `target`; returns the config written with it.

    Give `selector="video"` for the weights trained on video features only, and `window=32` for those without
    segment-aware attention. Nothing in `source` is executed. Raises InputError, and writes nothing, if the file is
    missing, damaged or holds more than tensors and numbers, or if its keys, shapes or noise schedule are not the
    published ones.
    """
    model = _read(source)
    if selector not in PUBLISHED_SELECTORS or window not in WINDOWS:
        raise InputError(
            f"selector={selector} window={window} is not one of the published models; give a selector of "
            f"{', '.join(PUBLISHED_SELECTORS)}, and a window of {', '.join(map(str, WINDOWS))}"
        )
    _check(source, model)
    weights = {
        f"unet.{key.removeprefix(UNET_PREFIX)}": value for key, value in model.items() if key.startswith(UNET_PREFIX)
    }
    for name in ("weight", "bias"):
        weights[f"conditioner.language.{name}"] = model[CAPTION_PREFIX + name]
    config = checkpoint_config(_config(source, selector, window))
    build_network(config.model).load_state_dict(weights)
    save_checkpoint(target, weights, config)
    return config


def _read(source: str | Path) -> dict[str, Tensor]:
    """The "model" entry of a pickled checkpoint, read without executing anything in it."""
    content = load_torch(source)
    model = content.get("model") if isinstance(content, Mapping) else None
    if not isinstance(model, Mapping) or not all(isinstance(value, Tensor) for value in model.values()):
        raise InputError(f'{source} has no "model" entry of tensors; give the .pt that the authors published')
    check_finite(source, model)
    return dict(model)


def _check(source: str | Path, model: Mapping[str, Tensor]) -> None:
    """Raise InputError for missing, extra and misshapen keys, and for a schedule that is not the published one."""
    expected = published_shapes()
    faults = {
        "missing": [key for key in expected if key not in model],
        "extra": [key for key in model if key not in expected],
        "misshapen": [
            f"{key} {tuple(model[key].shape)} instead of {shape}"
            for key, shape in expected.items()
            if key in model and tuple(model[key].shape) != shape
        ],
    }
    if any(faults.values()):
        listed = "; ".join(f"{len(keys)} {kind}: {', '.join(map(str, keys))}" for kind, keys in faults.items() if keys)
        raise InputError(
            f"{source} is not the published checkpoint ({listed}); give the .pt that the authors published"
        )
    schedule = sqrt_linear(**SCHEDULE)
    for name, ours in (("beta", schedule.beta), ("alpha_bar", schedule.alpha_bar)):
        if not torch.allclose(model[f"ldm.{name}"].double(), ours, rtol=1e-3, atol=1e-6):
            raise InputError(f"ldm.{name} in {source} is not the published noise schedule; give the authors' .pt")


def _config(source: str | Path, selector: str, window: int) -> dict[str, Any]:
    """The checkpoint config with the release's behaviour."""
    conditioner = {
        "visual_width": UNET["d_cond"],
        "language_width": LANGUAGE_WIDTH,
        "selector": {"strategy": selector, "switch": 200},
        "null": "minus_one",
        "padding": "zero",
        "project_visual": False,
    }
    return {
        "model": {"unet": {**UNET, "mask_self_attention": True}, "conditioner": conditioner},
        "objective": "eps",
        "schedule": SCHEDULE,
        "features": {
            "name": "clip",
            "visual_width": UNET["d_cond"],
            "language_width": LANGUAGE_WIDTH,
        },
        "window": window,
        "sampling": {"guidance": 5.0, "threshold": 0.5, "sampler": vars(default_sampler("release"))},
        "training": {"source": "the authors' release", "file": Path(source).name, "sha256": sha256(source)},
    }
