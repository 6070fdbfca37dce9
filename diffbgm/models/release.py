"""The authors' published weights: their U-Net by its own keys, and the import of their checkpoint."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.models.unet import UNet


class ReleaseUNet(nn.Module):
    """The U-Net with a fixed number of windows, which mask self-attention and cross-attention alike."""

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
    """The release's U-Net from its own config and its own keys (tensors or arrays), in evaluation mode."""
    unet = UNet(**config, mask_self_attention=True)
    unet.load_state_dict({key: torch.as_tensor(value) for key, value in state_dict.items()})
    return ReleaseUNet(unet, num_windows).eval()
