"""The U-Net of Diff-BGM over piano rolls, with parameter names such that the authors' weights load by their own keys.

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
from diffbgm.models.rhythm import RhythmTransformer
from diffbgm.music.theme import GROOVE, HARMONY, PITCH_CLASSES

OUTSIDE_LOGIT = -20.0
"""Predicted for pitches that the network does not see: a logit of practically zero probability."""


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution; the time embedding added; the same again, starting at zero; added to the input."""

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


def pack_cells(x: Tensor, pack: tuple[int, int]) -> Tensor:
    """(B, C, S, P) -> (B, C s p, S / s, P / p): each patch of s steps by p pitches becomes channels."""
    batch, channels, steps, pitches = x.shape
    s, p = pack
    x = x.reshape(batch, channels, steps // s, s, pitches // p, p)
    return x.permute(0, 1, 3, 5, 2, 4).reshape(batch, channels * s * p, steps // s, pitches // p)


def unpack_cells(x: Tensor, pack: tuple[int, int]) -> Tensor:
    """The inverse of `pack_cells`."""
    batch, channels, rows, columns = x.shape
    s, p = pack
    x = x.reshape(batch, channels // (s * p), s, p, rows, columns)
    return x.permute(0, 1, 4, 2, 5, 3).reshape(batch, channels // (s * p), rows * s, columns * p)


class UNet(nn.Module):
    """Predicts eps, v or x0 logits of a noisy roll at time t, given per-beat condition tokens.

    Beyond the paper, each off by default: `mask_self_attention` (the release masks both attentions), `positions`
    (beats on condition tokens and music, pitches on music), `beat_condition` (a linear layer, zero at the start, adds
    each beat's condition to the first feature map), `self_condition` (a convolution, zero at the start, adds what the
    clean roll looked like a step before to the first feature map), `theme_condition` (the same for what a theme says
    of a cell's pitch class and sixteenth), `reference_condition` (the same for the cells of a passage that the music
    shall be like, with the likeness as a further plane), `rhythm_layers` (of the two transformers over beats
    at the outermost level, `rhythm_width` wide; zero at the start), `pack` (steps, pitches of a patch made channels),
    `pitches` (low, high: only these are seen; outside them the output is OUTSIDE_LOGIT, so x0 logits only),
    `output_bias` (where the last layer's bias starts), `norm_groups` (of GroupNorm; 32 in the release. With one channel
    a group the norm takes away what the time embedding added, so that narrow networks need fewer groups).
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
        beat_condition: bool = False,
        self_condition: bool = False,
        theme_condition: bool = False,
        reference_condition: bool = False,
        rhythm_layers: int = 0,
        rhythm_width: int = 128,
        pack: tuple[int, int] = (1, 1),
        pitches: tuple[int, int] = (0, 128),
        output_bias: float = 0.0,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        levels = len(channel_multipliers)
        _check(channels, n_heads, norm_groups, levels, pack, pitches)
        self.planes, self.channels, self.d_cond, self.positions = in_channels, channels, d_cond, positions
        self.pack, self.pitches = (pack[0], pack[1]), (pitches[0], pitches[1])
        d_time, patch = 4 * channels, pack[0] * pack[1]
        widths = [multiplier * channels for multiplier in channel_multipliers]

        def residual(width: int, out: int) -> ResidualBlock:
            return ResidualBlock(width, out, d_time, norm_groups)

        def transformer(width: int) -> SpatialTransformer:
            return SpatialTransformer(width, n_heads, tf_layers, d_cond, mask_self_attention, positions, norm_groups)

        def stage(level: int, width: int) -> nn.ModuleList:
            """One residual block from `width` channels, then attention where the level has it."""
            block = residual(width, widths[level])
            return nn.ModuleList([block, *([transformer(widths[level])] if level in attention_levels else [])])

        self.time_embed = nn.Sequential(nn.Linear(channels, d_time), nn.SiLU(), nn.Linear(d_time, d_time))
        self.input_blocks = nn.ModuleList([nn.ModuleList([nn.Conv2d(in_channels * patch, channels, 3, padding=1)])])
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
        last = zeroed(nn.Conv2d(width, out_channels * patch, 3, padding=1))
        self.out = nn.Sequential(nn.GroupNorm(norm_groups, width), nn.SiLU(), last)
        self.beat = zeroed(nn.Linear(d_cond, channels)) if beat_condition else None
        self.estimate = _hint(in_channels * patch, channels) if self_condition else None
        self.theme = _hint(2 * patch, channels) if theme_condition else None
        self.reference = _hint((in_channels + 1) * patch, channels) if reference_condition else None
        self.rhythm = nn.ModuleList(
            RhythmTransformer(
                channels * channel_multipliers[0], rhythm_width, n_heads, rhythm_layers, d_cond, norm_groups
            )
            for _ in range(2 if rhythm_layers else 0)
        )
        self.before_down, self.after_up = n_res_blocks, (levels - 1) * (n_res_blocks + 1)  # blocks they come after
        assert last.bias is not None
        nn.init.constant_(last.bias, output_bias)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        tokens: Tensor,
        window: int | Tensor,
        beats: Tensor | None = None,
        estimate: Tensor | None = None,
        theme: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """Prediction (B, 2, S, P) for x (B, 2, S, P) at t (B,) with tokens (B, T, D) in windows of `window` beats.

        `window` is one int or (B,) ints; `beats` (B, T, D), the condition of each beat, is needed with beat_condition;
        `estimate` (B, 2, S, P) is the x0 of the step before, None where there is none, and read with self_condition;
        `theme` (B, T, 16) is what is wished of each beat (music/theme.py) and read with theme_condition; `reference`
        (B, 3, S, P), the planes of a passage and how like it the music shall be, is read with reference_condition.
        """
        low, high = self.pitches
        all_pitches = x.shape[3]
        windows = Windows(window, tokens.shape[1])
        if self.positions:
            tokens = tokens + sinusoid(torch.arange(tokens.shape[1], device=x.device), self.d_cond)
        time = self.time_embed(sinusoid(t, self.channels))
        seen = pack_cells(x[..., low:high], self.pack)
        hints: list[Tensor] = []
        if self.estimate is not None and estimate is not None:
            hints.append(self.estimate(pack_cells(estimate[..., low:high], self.pack)))
        if self.theme is not None and theme is not None:
            hints.append(self.theme(pack_cells(self._theme_planes(theme), self.pack)))
        if self.reference is not None and reference is not None:
            hints.append(self.reference(pack_cells(reference[..., low:high], self.pack)))
        y = self._run(seen, time, tokens, windows, beats, hints)
        y = unpack_cells(y, self.pack).to(x.dtype)
        if (low, high) != (0, all_pitches):
            y = F.pad(y, (low, all_pitches - min(high, all_pitches)), value=OUTSIDE_LOGIT)
        return y

    def _run(
        self,
        x: Tensor,
        time: Tensor,
        tokens: Tensor,
        windows: Windows,
        beats: Tensor | None,
        hints: Sequence[Tensor],
    ) -> Tensor:
        """The network proper, on packed cells (B, C, H, W); `hints` are added to the first feature map."""

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
            if index == 0 and self.beat is not None:
                assert beats is not None, "beat_condition needs the condition of each beat"
                x = x + self._rows_of(self.beat(beats), x.shape[2])
            if index == 0:
                x = sum(hints, start=x)
            if index == self.before_down and self.rhythm:
                x = self.rhythm[0](x, tokens, windows)
            skips.append(x)
        x = apply(self.middle_block, x)
        for index, layers in enumerate(self.output_blocks):
            x = apply(layers, torch.cat([x, skips.pop()], dim=1))
            if index == self.after_up and self.rhythm:
                x = self.rhythm[1](x, tokens, windows)
        return self.out(x)

    def _theme_planes(self, theme: Tensor) -> Tensor:
        """(B, T, 16) per beat -> (B, 2, S, P): for each cell that is seen, its pitch class's harmony and its groove."""
        harmony, groove = theme[..., HARMONY], theme[..., GROOVE]
        classes = torch.arange(*self.pitches, device=theme.device) % PITCH_CLASSES
        by_pitch = harmony.repeat_interleave(groove.shape[2], dim=1)[..., classes]
        return torch.stack([by_pitch, groove.flatten(1)[..., None].expand_as(by_pitch)], dim=1)

    @staticmethod
    def _rows_of(beats: Tensor, rows: int) -> Tensor:
        """(B, T, C) per beat -> (B, C, H, 1) per row: repeated where rows are shorter than beats, else averaged."""
        return F.adaptive_avg_pool1d(beats.transpose(1, 2), rows)[..., None]


def _hint(in_channels: int, channels: int) -> nn.Conv2d:
    """A convolution that adds what is known besides x to the first feature map; zero at the start."""
    return zeroed(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))


def _check(
    channels: int, n_heads: int, norm_groups: int, levels: int, pack: tuple[int, int], pitches: tuple[int, int]
) -> None:
    """InputError where the numbers do not divide as the layers need it."""
    patch = pack[1] * 2 ** (levels - 1)
    if channels % norm_groups or channels % n_heads or (pitches[1] - pitches[0]) % patch:
        raise InputError(
            f"no U-Net has channels={channels} n_heads={n_heads} norm_groups={norm_groups} pitches={list(pitches)} "
            f"pack={list(pack)}; channels must divide by n_heads and norm_groups, and the number of pitches by {patch}"
        )
