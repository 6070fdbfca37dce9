"""What passes from the data to the model.

Shape legend: B batch, T beats of a segment (32), Dv width of visual and Dl of language features, C planes,
S steps, P pitches.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Condition:
    """The condition of a segment of music: one vector per beat and modality, from a video or from its stand-in."""

    visual: Tensor  # (B, T, Dv) float
    language: Tensor  # (B, T, Dl) float
    valid: Tensor  # (B, T) bool; False where the video has ended and features are zero
    window: Tensor  # (B,) long, beats per attention window (k of the paper)
    theme: Tensor | None = None  # (B, T, 16) float, what is asked of the music (music/theme.py); zeros: no wish
    reference: Tensor | None = None  # (B, C + 1, S, P) float, a passage to be like and, last, the likeness; zeros: none

    def __len__(self) -> int:
        return len(self.visual)

    def __getitem__(self, rows: slice) -> "Condition":
        """The condition of a stretch of the batch."""
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

    roll: Tensor  # (B, C, S, P) float in {0, 1}: onset and sustain, of both parts together or of each (music/parts.py)
    condition: Condition
    songs: tuple[str, ...]  # (B,) the song each segment was cut from

    def __len__(self) -> int:
        return len(self.roll)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The same batch on another device."""
        return Batch(
            self.roll.to(device, non_blocking=non_blocking), self.condition.to(device, non_blocking), self.songs
        )
