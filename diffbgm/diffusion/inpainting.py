"""Keeping a part of the music while the rest is generated: inpainting as a wrapper around the denoiser.

Where the roll is known, the eps in x_t is known too. Giving it to the sampler instead of the network's eps leads any
sampler to the known cells, and keeps the history of a multi-step sampler consistent. The network itself sees
q(x_t | x_0 = known) there, with fresh noise at every step (Lugmayr et al. 2022, RePaint, eq. 8a). Fresh noise matters:
with the noise that a deterministic sampler carries along, the rest of the roll hardly adapts to the known part
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
    """A roll whose cells under the mask are to be kept."""

    roll: Tensor  # (..., 2, S, P) float in {0, 1}; outside the mask it is not read
    mask: Tensor  # (..., 2, S, P) bool, True where the roll is known

    def __getitem__(self, index: Any) -> "Known":
        """Roll and mask with the same index applied."""
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
        """x0 with the known cells restored exactly."""
        return torch.where(self.mask, self.roll, x0)


def inpainted(denoise: Callable[..., Tensor], known: Known, schedule: Schedule, fresh: Noise) -> Callable[..., Tensor]:
    """denoise(x, t, *rows) -> eps that leads the known cells to the known roll.

    `fresh` gives noise of the shape of x and is called once per call. It must be a separate stream, so that samples of
    which nothing is known are the same as without this wrapper.
    """

    def wrapped(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        shown = torch.where(known.mask, schedule.q_sample(known.roll, t, fresh().to(x)), x)
        return torch.where(known.mask, schedule.eps_from_x0(known.roll, x, t), denoise(shown, t, *rows))

    return wrapped
