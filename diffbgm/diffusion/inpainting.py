"""Keeping a part of the music while the rest is generated: inpainting as a wrapper around the denoiser.

Where the roll is known, so is the eps in x_t. Handing that to the sampler instead of the network's makes the sampler
itself carry the known cells along q(x_t | x_0 = known), with the row's own noise, whichever sampler it is, and
without breaking the history of a multi-step one. The network always sees the known cells at the right noise level.

Shape legend: B batch (rows), ... the shape of one sample (2, S, P).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffbgm.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Known:
    """A roll of which the cells under the mask are to stay."""

    roll: Tensor  # (..., 2, S, P) float in {0, 1}; outside the mask it is not read
    mask: Tensor  # (..., 2, S, P) bool, True where the roll is known

    def start(self, x: Tensor, t: int, schedule: Schedule) -> Tensor:
        """Noise x (B, ...) for a walk that starts at t, with the known cells mixed in at that noise level."""
        steps = torch.full((len(x),), t, dtype=torch.long, device=x.device)
        return torch.where(self.mask, schedule.q_sample(self.roll, steps, x), x)

    def __getitem__(self, index: Any) -> "Known":
        """Roll and mask indexed alike."""
        return Known(self.roll[index], self.mask[index])

    def cut(self, span: slice) -> "Known":
        """The part inside a span of steps."""
        return self[..., span, :]

    def filled(self, span: slice, roll: Tensor) -> "Known":
        """The same with a span of steps known in full."""
        rolls, mask = self.roll.clone(), self.mask.clone()
        rolls[..., span, :], mask[..., span, :] = roll, True
        return Known(rolls, mask)

    def kept(self, x0: Tensor) -> Tensor:
        """x0 with the known cells as they are, free of rounding."""
        return torch.where(self.mask, self.roll, x0)


def inpainted(denoise: Callable[..., Tensor], known: Known, schedule: Schedule) -> Callable[..., Tensor]:
    """denoise(x, t, *rows) -> eps whose known cells lead to the known roll."""

    def wrapped(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        return torch.where(known.mask, schedule.eps_from_x0(known.roll, x, t), denoise(x, t, *rows))

    return wrapped
