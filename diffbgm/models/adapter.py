"""An adapter between piano rolls and the paper's U-Net: packing, cropping of pitches, and hints.

The cells of a patch become channels, pitches outside a range are left out, and hints (the condition of each beat, the
previous estimate of x0, a theme, a passage to resemble) are added to the first feature map. The layer of each hint is
initialised to zero, so that training can continue from the weights of a network without it.

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
"""Output for pitches that the network does not see: a logit of practically zero probability."""


class RollUNet(UNet):
    """The U-Net on rolls (B, C, S, P). Its layers keep the names they have in the release.

    in_channels, out_channels   planes of a roll
    beat_condition              add the condition of each beat by a linear layer
    self_condition              add the previous estimate of x0 by a convolution
    theme_condition             add the theme's value for the pitch class and the sixteenth of each cell
    reference_condition         add a passage to resemble, with one more plane that says how closely
    rhythm_layers               layers of the two transformers over beats at the outermost level, `rhythm_width` wide
    pack                        (steps, pitches) of a patch whose cells become channels
    pitches                     (low, high): only these are seen; elsewhere the output is OUTSIDE_LOGIT (x0 logits only)
    output_bias                 initial bias of the last layer

    All hints are off by default. All other options are those of UNet. Raises InputError if pitches, pack and levels do
    not fit together.
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

        `window` is one int or (B,) ints. Each hint is read only if the network has its option: `beat_tokens` (B, T, D),
        the condition of each beat; `estimate` (B, C, S, P), the previous estimate of x0; `theme` (B, T, 16), requested
        harmony and groove (music/theme.py); `reference` (B, C + 1, S, P), a passage to resemble and how closely.
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
        """(B, C, S, P) -> (B, C', H, W): the pitches that the network sees, packed into patches."""
        return pack_cells(planes[..., slice(*self.pitches)], self.pack)

    def _theme_planes(self, theme: Tensor) -> Tensor:
        """(B, T, 16) per beat -> (B, 2, S, P): for each visible cell, the harmony of its pitch class and its groove."""
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
    """A convolution that maps a hint to the first feature map, initialised to zero."""
    return zeroed(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))


def _check(levels: int, pack: tuple[int, int], pitches: tuple[int, int]) -> None:
    """Raise InputError if the pitches cannot be divided into patches and then halved at every level."""
    patch = pack[1] * 2 ** (levels - 1)
    if (pitches[1] - pitches[0]) % patch:
        raise InputError(
            f"no U-Net has pitches={list(pitches)} with pack={list(pack)} and {levels} levels: the number of pitches "
            f"must be a multiple of {patch}"
        )
