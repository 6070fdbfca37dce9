"""What passes from the data to the model.

Shape legend: B batch, T beats of a segment (32), Dv width of visual and Dl of language features, S steps, P pitches.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """The video (or what stands for it) that a segment of music belongs to, a vector per beat and modality."""

    visual: Tensor  # (B, T, Dv) float
    language: Tensor  # (B, T, Dl) float
    valid: Tensor  # (B, T) bool; False where the video has ended and features are zero
    window: Tensor  # (B,) long, beats per attention window (k of the paper)

    def __len__(self) -> int:
        return len(self.visual)

    def __getitem__(self, rows: slice) -> "Condition":
        """The condition of a stretch of the batch."""
        return Condition(*(tensor[rows] for tensor in vars(self).values()))

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Condition":
        """The same condition on another device."""
        move = [tensor.to(device, non_blocking=non_blocking) for tensor in vars(self).values()]
        return Condition(*move)


@dataclass(frozen=True)
class Batch:
    """B training segments of 8 bars."""

    roll: Tensor  # (B, 2, S, P) float in {0, 1}: onset, sustain
    condition: Condition
    songs: tuple[str, ...]  # (B,) the song each segment was cut from

    def __len__(self) -> int:
        return len(self.roll)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.roll.to(device, non_blocking=non_blocking), self.condition.to(device, non_blocking), self.songs
        )
