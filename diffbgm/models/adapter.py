"""The paper's U-Net as this project uses it on piano rolls: what the network sees besides x, and in which shape.

Cells of a patch become channels, pitches outside a range are left out, and hints (the condition of each beat, the
estimate of a step before, a theme, a passage to be like) are added to the first feature map. Each hint's layer begins
at zero, so that the weights of a network without it can be trained on with it.

Shape legend: B batch, C planes of a roll, S steps, P pitches, T beats of the condition, D its width, H rows and W
columns of a feature map.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.models.attention import Windows, zeroed
from diffbgm.models.rhythm import RhythmTransformer
from diffbgm.models.unet import UNet
from diffbgm.music.theme import GROOVE, HARMONY, PITCH_CLASSES

OUTSIDE_LOGIT = -20.0
"""Predicted for pitches that the network does not see: a logit of practically zero probability."""


class RollUNet(UNet):
    """The U-Net around rolls (B, C, S, P). Its layers keep the names that the release gave them.

    `in_channels` and `out_channels` count planes. Off by default: `beat_condition` (a linear layer adds each beat's
    condition), `self_condition` (a convolution adds what the clean roll looked like a step before), `theme_condition`
    (what a theme says of a cell's pitch class and sixteenth), `reference_condition` (the cells of a passage that the
    music shall be like, with the likeness as a further plane), `rhythm_layers` (of the two transformers over beats at
    the outermost level, `rhythm_width` wide), `pack` (steps, pitches of a patch made channels), `pitches` (low, high:
    only these are seen; outside them the output is OUTSIDE_LOGIT, so x0 logits only), `output_bias` (where the last
    layer's bias starts). All other options are UNet's.
    """

    def __init__(
        self,
        in_channels: int = 2,
        out_channels: int = 2,
        beat_condition: bool = False,
        self_condition: bool = False,
        theme_condition: bool = False,
        reference_condition: bool = False,
        rhythm_layers: int = 0,
        rhythm_width: int = 128,
        pack: tuple[int, int] = (1, 1),
        pitches: tuple[int, int] = (0, 128),
        output_bias: float = 0.0,
        **network: Any,
    ) -> None:
        patch = pack[0] * pack[1]
        super().__init__(in_channels * patch, out_channels * patch, **network)
        multipliers = network.get("channel_multipliers", (1, 2, 4, 4))
        _check(len(multipliers), pack, pitches)
        self.planes, self.pack, self.pitches = in_channels, (pack[0], pack[1]), (pitches[0], pitches[1])
        channels = self.channels
        self.beat = zeroed(nn.Linear(self.d_cond, channels)) if beat_condition else None
        self.estimate = _hint(in_channels * patch, channels) if self_condition else None
        self.theme = _hint(2 * patch, channels) if theme_condition else None
        self.reference = _hint((in_channels + 1) * patch, channels) if reference_condition else None
        heads, groups = network.get("n_heads", 4), network.get("norm_groups", 32)
        self.rhythm = nn.ModuleList(
            RhythmTransformer(channels * multipliers[0], rhythm_width, heads, rhythm_layers, self.d_cond, groups)
            for _ in range(2 if rhythm_layers else 0)
        )
        last = self.out[-1]
        assert isinstance(last, nn.Conv2d)
        assert last.bias is not None
        nn.init.constant_(last.bias, output_bias)

    def forward(
        self,
        x: Tensor,
        t: Tensor,
        tokens: Tensor,
        window: int | Tensor,
        beat_tokens: Tensor | None = None,
        estimate: Tensor | None = None,
        theme: Tensor | None = None,
        reference: Tensor | None = None,
    ) -> Tensor:
        """Prediction (B, C, S, P) for x (B, C, S, P) at t (B,) with tokens (B, T, D) in windows of `window` beats.

        `window` is one int or (B,) ints; `beat_tokens` (B, T, D), each beat's condition, goes with beat_condition;
        `estimate` (B, C, S, P) is the x0 of the step before, None where there is none, and read with self_condition;
        `theme` (B, T, 16) is what is wished of each beat (music/theme.py) and read with theme_condition; `reference`
        (B, C + 1, S, P), a passage and how like it the music shall be, is read with reference_condition.
        """
        low, high = self.pitches
        all_pitches = x.shape[3]
        hints: list[Tensor] = []
        if self.beat is not None:
            assert beat_tokens is not None, "beat_condition needs the condition of each beat"
            hints.append(rows_of(self.beat(beat_tokens), x.shape[2] // self.pack[0]))
        if self.estimate is not None and estimate is not None:
            hints.append(self.estimate(self._seen(estimate)))
        if self.theme is not None and theme is not None:
            hints.append(self.theme(pack_cells(self._theme_planes(theme), self.pack)))
        if self.reference is not None and reference is not None:
            hints.append(self.reference(self._seen(reference)))
        y = self.run(self._seen(x), t, tokens, Windows(window, tokens.shape[1]), hints)
        y = unpack_cells(y, self.pack).to(x.dtype)
        if (low, high) != (0, all_pitches):
            y = F.pad(y, (low, all_pitches - min(high, all_pitches)), value=OUTSIDE_LOGIT)
        return y

    def outermost(self, side: int, x: Tensor, tokens: Tensor, windows: Windows) -> Tensor:
        return self.rhythm[side](x, tokens, windows) if self.rhythm else x

    def _seen(self, planes: Tensor) -> Tensor:
        """(B, C, S, P) -> (B, C', H, W): the pitches that the network sees, in patches."""
        return pack_cells(planes[..., slice(*self.pitches)], self.pack)

    def _theme_planes(self, theme: Tensor) -> Tensor:
        """(B, T, 16) per beat -> (B, 2, S, P): for each cell that is seen, its pitch class's harmony and its groove."""
        harmony, groove = theme[..., HARMONY], theme[..., GROOVE]
        classes = torch.arange(*self.pitches, device=theme.device) % PITCH_CLASSES
        by_pitch = harmony.repeat_interleave(groove.shape[2], dim=1)[..., classes]
        return torch.stack([by_pitch, groove.flatten(1)[..., None].expand_as(by_pitch)], dim=1)


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


def rows_of(features: Tensor, rows: int) -> Tensor:
    """(B, T, C) per beat -> (B, C, H, 1) per row: repeated where rows are shorter than beats, else averaged."""
    return F.adaptive_avg_pool1d(features.transpose(1, 2), rows)[..., None]


def _hint(in_channels: int, channels: int) -> nn.Conv2d:
    """A convolution that adds what is known besides x to the first feature map; zero at the start."""
    return zeroed(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))


def _check(levels: int, pack: tuple[int, int], pitches: tuple[int, int]) -> None:
    """InputError where the pitches do not divide into patches that can be halved as often as there are levels."""
    patch = pack[1] * 2 ** (levels - 1)
    if (pitches[1] - pitches[0]) % patch:
        raise InputError(
            f"no U-Net has pitches={list(pitches)} with pack={list(pack)} and {levels} levels: the number of pitches "
            f"must divide by {patch}"
        )
