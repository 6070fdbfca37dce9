"""The batches that the data loader hands to the model.

Shape legend: B batch, T beats of a segment (32), Dv width of visual and Dl of language features, C planes, S steps,
P pitches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """The condition of segments: one vector per beat and modality, from a video or computed from the music."""

    visual: Tensor  # (B, T, Dv) float
    language: Tensor  # (B, T, Dl) float
    valid: Tensor  # (B, T) bool; False where the video has ended and features are zero
    window: Tensor  # (B,) long, beats per attention window (k of the paper)
    theme: Tensor | None = None  # (B, T, 16) float, requested harmony and groove (music/theme.py); zeros: no request
    reference: Tensor | None = None  # (B, C + 1, S, P) float, a passage to resemble; last plane: how closely; 0: none

    def __len__(self) -> int:
        return len(self.visual)

    def __getitem__(self, rows: slice) -> "Condition":
        """The condition of some rows of the batch."""
        return self._each(lambda tensor: tensor[rows])

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Condition":
        """The same condition on another device."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=non_blocking))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Condition":
        hints = [None if hint is None else change(hint) for hint in (self.theme, self.reference)]
        return Condition(change(self.visual), change(self.language), change(self.valid), change(self.window), *hints)


@dataclass(frozen=True)
class Batch:
    """B training segments of 8 bars."""

    roll: Tensor  # (B, C, S, P) float in {0, 1}: onset and sustain, of all notes or of each part (music/parts.py)
    condition: Condition
    songs: tuple[str, ...]  # (B,) the song each segment was cut from

    def __len__(self) -> int:
        return len(self.roll)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.roll.to(device, non_blocking=non_blocking), self.condition.to(device, non_blocking), self.songs
        )
