"""A transformer over beats, for a groove that the bars of a piece share. Not in the paper; off by default.

In the U-Net, beats of different bars interact only at the deepest level and separately for each pitch. Here all pitches
of a beat form one token, the beats of a segment attend to one another (and to the condition of their window), and the
result is added to every pitch of the beat.

Shape legend: B batch, C channels, H rows (time), W columns (pitch), E width of the tokens, T beats, D d_cond.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from diffbgm.models.attention import TransformerBlock, Windows, zeroed

PERIODS = (2, 4, 8, 16, 32)  # beats; periods of the positional encoding: half bars, bars and phrases


class RhythmTransformer(nn.Module):
    """Transformer blocks over rows pooled over pitch; the result, initially zero, is added to the feature map."""

    periods: Tensor  # (len(PERIODS),)

    def __init__(self, channels: int, width: int, heads: int, layers: int, d_cond: int, norm_groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(norm_groups, channels)
        self.proj_in = nn.Linear(2 * channels, width)
        self.place = nn.Linear(2 * len(PERIODS), width)
        # On the CPU even where a network is laid out on the meta device: no checkpoint holds this buffer.
        periods = torch.tensor(PERIODS, dtype=torch.float32, device="cpu")
        self.register_buffer("periods", periods, persistent=False)
        blocks = (TransformerBlock(width, heads, d_cond, mask_self_attention=False) for _ in range(layers))
        self.blocks = nn.ModuleList(blocks)
        self.proj_out = zeroed(nn.Linear(width, channels))

    def forward(self, x: Tensor, tokens: Tensor, windows: Windows) -> Tensor:
        """x (B, C, H, W), tokens (B, T, D) -> (B, C, H, W)."""
        rows = x.shape[2]
        y = F.silu(self.norm(x))
        pooled = torch.cat([y.mean(dim=3), y.amax(dim=3)], dim=1).transpose(1, 2)  # (B, H, 2 C)
        beat = torch.arange(rows, device=x.device) * (windows.beats / rows)
        angle = 2 * math.pi * beat[:, None] / self.periods
        y = self.proj_in(pooled) + self.place(torch.cat([angle.cos(), angle.sin()], dim=1))  # (B, H, E)
        for block in self.blocks:
            y = block(y, tokens, windows, rows)
        return x + self.proj_out(y).transpose(1, 2)[..., None]
