"""Segment-aware attention: music attends only to the condition (and optionally the music) of its window of beats.

Shape legend: B batch, C channels, H rows of a feature map (time), W columns (pitch), N = H * W tokens of music,
T beats of the condition, D width of the condition, G windows. The windows are those of Diff-BGM (Li et al. 2024),
section "segment-aware cross-attention": Mask[i, j] = 1 iff beats i and j are in the same window of k beats.
"""

import math
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)


def sinusoid(position: Tensor, width: int, max_period: float = 10_000.0) -> Tensor:
    """Cosines, then sines, of positions (N,) at `width // 2` geometrically decreasing frequencies: (N, width)."""
    half = width // 2
    exponent = torch.arange(half, device=position.device, dtype=torch.float32) / half
    angle = position.float()[:, None] * torch.exp(-math.log(max_period) * exponent)
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


def zeroed(layer: Layer) -> Layer:
    """The layer with all parameters set to zero, so that a residual branch starts as the identity."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Windows:
    """How one forward pass divides time into windows; masks are built at most once per resolution.

    `window` is one number of beats for the whole batch, or (B,) numbers of beats, one per sample. Row r of H rows
    covers beats r T / H to (r + 1) T / H. A row that touches several windows (when a window is shorter than a row)
    sees all of them.
    """

    def __init__(self, window: int | Tensor, beats: int) -> None:
        self.window = min(window, beats) if isinstance(window, int) else window.clamp(max=beats)
        self.beats = beats
        self._masks: dict[tuple[int, int, bool], Tensor] = {}

    def groups(self, rows: int) -> int | None:
        """The number of windows G if both `rows` rows and the beats divide into G equal parts, else None."""
        if not isinstance(self.window, int) or self.beats % self.window:
            return None
        groups = self.beats // self.window
        return groups if rows % groups == 0 else None

    def mask(self, rows: int, columns: int, own: bool, device: torch.device) -> Tensor:
        """(B or 1, 1, N, M) bool, True where attention is allowed; M is N for `own` (self-attention), else T."""
        key = (rows, columns, own)
        if key not in self._masks:
            window = torch.as_tensor(self.window, device=device).reshape(-1, 1)  # (B or 1, 1)
            row = torch.arange(rows, device=device)
            first = (row * self.beats // rows) // window  # (B, H), the first window a row touches
            last = ((((row + 1) * self.beats + rows - 1) // rows - 1) // window).maximum(first)
            beat = torch.arange(self.beats, device=device) // window  # (B, T)
            low, high = (first, last) if own else (beat, beat)
            seen = (low[:, None, :] <= last[:, :, None]) & (high[:, None, :] >= first[:, :, None])  # (B, H, H or T)
            seen = seen.repeat_interleave(columns, dim=1)
            if own:
                seen = seen.repeat_interleave(columns, dim=2)
            self._masks[key] = seen[:, None]
        return self._masks[key]


class Attention(nn.Module):
    """Multi-head attention of queries (B, N, C) to keys (B, M, D), within equal groups or with a mask."""

    def __init__(self, width: int, source_width: int, heads: int) -> None:
        super().__init__()
        assert width % heads == 0, "the width must be a multiple of the number of heads"
        self.heads = heads
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_k = nn.Linear(source_width, width, bias=False)
        self.to_v = nn.Linear(source_width, width, bias=False)
        self.to_out = nn.Sequential(nn.Linear(width, width))

    def forward(self, x: Tensor, source: Tensor, groups: int = 1, mask: Tensor | None = None) -> Tensor:
        """Each of `groups` equal parts of x (B, N, C) attends to the same part of `source` (B, M, D).

        `mask` is (B or 1, 1, N, M) bool.
        """

        def split(tensor: Tensor) -> Tensor:  # (B, L, C) -> (B G, heads, L / G, C / heads)
            batch, length, width = tensor.shape
            shape = (batch * groups, length // groups, self.heads, width // self.heads)
            return tensor.reshape(shape).transpose(1, 2)

        query, key, value = split(self.to_q(x)), split(self.to_k(source)), split(self.to_v(source))
        y = F.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        return self.to_out(y.transpose(1, 2).reshape(x.shape))


class GatedGelu(nn.Module):
    """Half of the projection times the GELU of the other half (Shazeer 2020)."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.proj = nn.Linear(width, 2 * hidden)

    def forward(self, x: Tensor) -> Tensor:
        value, gate = self.proj(x).chunk(2, dim=-1)
        return value * F.gelu(gate)


class FeedForward(nn.Module):
    """A gated hidden layer four times as wide."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.net = nn.Sequential(GatedGelu(width, 4 * width), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class TransformerBlock(nn.Module):
    """Self-attention over the feature map, cross-attention to the condition, feed-forward; each added to its input."""

    def __init__(self, width: int, heads: int, d_cond: int, mask_self_attention: bool) -> None:
        super().__init__()
        self.mask_self_attention = mask_self_attention
        self.attn1 = Attention(width, width, heads)
        self.attn2 = Attention(width, d_cond, heads)
        self.ff = FeedForward(width)
        self.norm1 = nn.LayerNorm(width)
        self.norm2 = nn.LayerNorm(width)
        self.norm3 = nn.LayerNorm(width)

    def forward(self, x: Tensor, tokens: Tensor, windows: Windows, rows: int) -> Tensor:
        """x (B, N, C) in time-major order, tokens (B, T, D) -> (B, N, C)."""
        groups, columns = windows.groups(rows), x.shape[1] // rows

        def cut(own: bool) -> tuple[int, Tensor | None]:
            return (groups, None) if groups else (1, windows.mask(rows, columns, own, x.device))

        y = self.norm1(x)
        x = x + self.attn1(y, y, *(cut(own=True) if self.mask_self_attention else (1, None)))
        x = x + self.attn2(self.norm2(x), tokens, *cut(own=False))
        return x + self.ff(self.norm3(x))


class SpatialTransformer(nn.Module):
    """Transformer blocks over the cells of a feature map, added to the map.

    `positions` adds an encoding of each cell's beat and pitch column (a linear layer over sinusoids), which the release
    does not have.
    """

    def __init__(
        self,
        channels: int,
        heads: int,
        layers: int,
        d_cond: int,
        mask_self_attention: bool,
        positions: bool,
        norm_groups: int = 32,
    ) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels, eps=1e-6)
        self.proj_in = nn.Conv2d(channels, channels, 1)
        self.position = nn.Linear(2 * channels, channels) if positions else None
        self.transformer_blocks = nn.ModuleList(
            TransformerBlock(channels, heads, d_cond, mask_self_attention) for _ in range(layers)
        )
        self.proj_out = zeroed(nn.Conv2d(channels, channels, 1))

    def _places(self, rows: int, columns: int, channels: int, beats: int, device: torch.device) -> Tensor:
        """(H W, 2 C): sinusoids of each cell's time in beats and of its pitch in columns."""
        time = (torch.arange(rows, device=device) + 0.5) * (beats / rows) - 0.5
        time_code = sinusoid(time, channels)[:, None].expand(-1, columns, -1)
        pitch_code = sinusoid(torch.arange(columns, device=device), channels)[None].expand(rows, -1, -1)
        return torch.cat([time_code, pitch_code], dim=-1).reshape(rows * columns, 2 * channels)

    def forward(self, x: Tensor, tokens: Tensor, windows: Windows) -> Tensor:
        """x (B, C, H, W) -> (B, C, H, W)."""
        batch, channels, rows, columns = x.shape
        y = self.proj_in(self.norm(x)).permute(0, 2, 3, 1).reshape(batch, rows * columns, channels)
        if self.position is not None:
            y = y + self.position(self._places(rows, columns, channels, windows.beats, x.device))
        for block in self.transformer_blocks:
            y = block(y, tokens, windows, rows)
        y = y.reshape(batch, rows, columns, channels).permute(0, 3, 1, 2)
        return x + self.proj_out(y)
