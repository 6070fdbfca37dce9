"""The U-Net of Diff-BGM on piano rolls, with the parameter names of the release, so that the authors' weights load.

Shape legend: B batch, C channels, S steps, P pitches, H rows (time) and W columns (pitch) of a feature map, T beats of
the condition, D its width, E width of the time embedding (4 C). The layout is that of latent diffusion's U-Net
(Rombach et al. 2022) with segment-aware attention (attention.py).
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.models.attention import SpatialTransformer, Windows, sinusoid, zeroed


class ResidualBlock(nn.Module):
    """Twice norm, SiLU and convolution with the time embedding added between, as a residual branch initially zero."""

    def __init__(self, channels: int, out_channels: int, d_time: int, norm_groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            nn.GroupNorm(norm_groups, channels), nn.SiLU(), nn.Conv2d(channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(d_time, out_channels))
        last = zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.out_layers = nn.Sequential(nn.GroupNorm(norm_groups, out_channels), nn.SiLU(), nn.Identity(), last)
        same = channels == out_channels
        self.skip_connection = nn.Identity() if same else nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """x (B, C, H, W), time (B, E) -> (B, C', H, W)."""
        y = self.in_layers(x) + self.emb_layers(time)[:, :, None, None]
        return self.skip_connection(x) + self.out_layers(y)


class Downsample(nn.Module):
    """Half the rows and columns by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class Upsample(nn.Module):
    """Twice the rows and columns by repetition, then a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class UNet(nn.Module):
    """Predicts eps (or the output of another objective) from feature maps at time t, given per-beat condition tokens.

    It equals the release except for three options: `mask_self_attention` (the release masks both attentions, the paper
    only cross-attention), `positions` (encodings of beats for condition tokens and music, and of pitches for music) and
    `norm_groups` of GroupNorm (32 in the release; with one channel per group the norm would cancel the time embedding,
    so narrow networks need fewer groups). adapter.py adds hints to the first feature map and overrides `outermost`.
    Raises InputError if n_heads or norm_groups does not divide channels.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        channels: int = 64,
        attention_levels: Sequence[int] = (2, 3),
        n_res_blocks: int = 2,
        channel_multipliers: Sequence[int] = (1, 2, 4, 4),
        n_heads: int = 4,
        tf_layers: int = 1,
        d_cond: int = 512,
        mask_self_attention: bool = False,
        positions: bool = False,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        levels = len(channel_multipliers)
        _check(channels, n_heads, norm_groups)
        self.channels, self.d_cond, self.positions = channels, d_cond, positions
        d_time = 4 * channels
        widths = [multiplier * channels for multiplier in channel_multipliers]

        def residual(width: int, out: int) -> ResidualBlock:
            return ResidualBlock(width, out, d_time, norm_groups)

        def transformer(width: int) -> SpatialTransformer:
            return SpatialTransformer(width, n_heads, tf_layers, d_cond, mask_self_attention, positions, norm_groups)

        def stage(level: int, width: int) -> nn.ModuleList:
            """One residual block with `width` input channels, then attention if the level has it."""
            block = residual(width, widths[level])
            return nn.ModuleList([block, *([transformer(widths[level])] if level in attention_levels else [])])

        self.time_embed = nn.Sequential(nn.Linear(channels, d_time), nn.SiLU(), nn.Linear(d_time, d_time))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(in_channels, channels, 3, padding=1)])])
        skips = [channels]
        for level, width in enumerate(widths):
            for _ in range(n_res_blocks):
                self.input_blocks.append(stage(level, skips[-1]))
                skips.append(width)
            if level < levels - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(width)]))
                skips.append(width)
        width = widths[-1]
        self.middle_block = nn.ModuleList([residual(width, width), transformer(width), residual(width, width)])
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(levels)):
            for index in range(n_res_blocks + 1):
                layers = stage(level, width + skips.pop())
                width = widths[level]
                if level > 0 and index == n_res_blocks:
                    layers.append(Upsample(width))
                self.output_blocks.append(layers)
        last = zeroed(nn.Conv2d(width, out_channels, 3, padding=1))
        self.out = nn.Sequential(nn.GroupNorm(norm_groups, width), nn.SiLU(), last)
        self.before_down, self.after_up = n_res_blocks, (levels - 1) * (n_res_blocks + 1)  # the outermost level's ends

    def forward(self, x: Tensor, t: Tensor, tokens: Tensor, window: int | Tensor) -> Tensor:
        """Prediction (B, C, S, P) for x (B, C, S, P) at t (B,) with tokens (B, T, D) in windows of `window` beats.

        `window` is one int or (B,) ints.
        """
        return self.run(x, t, tokens, Windows(window, tokens.shape[1]))

    def run(self, x: Tensor, t: Tensor, tokens: Tensor, windows: Windows, added: Sequence[Tensor] = ()) -> Tensor:
        """The network on feature maps x (B, C, H, W); the tensors in `added` are added to the first feature map."""
        if self.positions:
            tokens = tokens + sinusoid(torch.arange(tokens.shape[1], device=x.device), self.d_cond)
        time = self.time_embed(sinusoid(t, self.channels))

        def apply(layers: nn.Module, y: Tensor) -> Tensor:
            for layer in layers.children():
                if isinstance(layer, ResidualBlock):
                    y = layer(y, time)
                elif isinstance(layer, SpatialTransformer):
                    y = layer(y, tokens, windows)
                else:
                    y = layer(y)
            return y

        skips: list[Tensor] = []
        for index, layers in enumerate(self.input_blocks):
            x = apply(layers, x)
            if index == 0:
                x = sum(added, start=x)
            if index == self.before_down:
                x = self.outermost(0, x, tokens, windows)
            skips.append(x)
        x = apply(self.middle_block, x)
        for index, layers in enumerate(self.output_blocks):
            x = apply(layers, torch.cat([x, skips.pop()], dim=1))
            if index == self.after_up:
                x = self.outermost(1, x, tokens, windows)
        return self.out(x)

    def outermost(self, side: int, x: Tensor, tokens: Tensor, windows: Windows) -> Tensor:
        """A hook on the outermost feature map (B, C, H, W) before downsampling (`side` 0) and after upsampling (1)."""
        return x


def _check(channels: int, n_heads: int, norm_groups: int) -> None:
    """Raise InputError if n_heads or norm_groups does not divide channels."""
    if channels % norm_groups or channels % n_heads:
        raise InputError(
            f"channels={channels} is not a multiple of both n_heads={n_heads} and norm_groups={norm_groups}; change one"
        )
