"""Keeping a part of the music while the rest is generated: inpainting as a wrapper around the denoiser.

Where the roll is known, so is the eps in x_t: handing that to the sampler in place of the network's leads it to the
known cells, whichever sampler it is and without breaking the history of a multi-step one. What the network is shown
there is q(x_t | x_0 = known) with fresh noise at every step (Lugmayr et al. 2022, RePaint, eq. 8a). Fresh matters: with
the noise that a deterministic sampler carries along, the rest of the roll hardly listens to the known part
(benchmarks/seams.py).

Shape legend: B batch (rows), ... the shape of one sample (2, S, P).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from diffbgm.diffusion.samplers import Noise
from diffbgm.diffusion.schedule import Schedule


@dataclass(frozen=True)
class Known:
    """A roll of which the cells under the mask are to stay."""

    roll: Tensor  # (..., 2, S, P) float in {0, 1}; outside the mask it is not read
    mask: Tensor  # (..., 2, S, P) bool, True where the roll is known

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


def inpainted(denoise: Callable[..., Tensor], known: Known, schedule: Schedule, fresh: Noise) -> Callable[..., Tensor]:
    """denoise(x, t, *rows) -> eps whose known cells lead to the known roll.

    `fresh`: noise of the shape of x, asked for once a call; a stream of its own, so that where nothing is known the
    walk is the same as without this wrapper.
    """

    def wrapped(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        shown = torch.where(known.mask, schedule.q_sample(known.roll, t, fresh().to(x)), x)
        return torch.where(known.mask, schedule.eps_from_x0(known.roll, x, t), denoise(shown, t, *rows))

    return wrapped
