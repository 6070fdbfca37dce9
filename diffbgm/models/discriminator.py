"""Discriminator guidance: a small network that tells composed music from songs corrects the sampler.

Trained to tell the clean rolls that are predicted from noised compositions from those predicted from noised songs, a
discriminator d approximates the ratio of the two densities, and the gradient of its logit moves a prediction towards
the songs (Kim et al. 2023, "Refining generative process with discriminator guidance in score-based diffusion models",
section 3). Here the prediction is a probability p for each cell, so the gradient with respect to p is, to first order,
what the ratio adds to the cell's logit:

    logit' = logit - weight * d(composed | p, t) / dp

`scripts/fit_discriminator.py` trains one and writes it into the checkpoint whose music it was trained on.

Shape legend: B rolls, C planes, S steps (of whole bars), P pitches.
"""

import math
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from diffbgm.diffusion.objective import Correction
from diffbgm.errors import InputError
from diffbgm.music.notes import STEPS_PER_BAR

LOWEST, HIGHEST = 21, 109  # the keys of a piano
TIMES = 3  # powers of t that modulate the layers
STRIDE = (4, 3)  # of the first layer: a beat and a minor third
SCALE = 4.0  # most probabilities are far below 1


class Discriminator(nn.Module):
    """Predicted clean rolls (B, C, S, P) at t (B,) -> logit (B,) of being composed rather than a song's."""

    def __init__(self, planes: int, width: int, drop: float = 0.0) -> None:
        super().__init__()
        widths = (width, 2 * width, 4 * width)
        self.layers = nn.ModuleList(
            [
                nn.Conv2d(planes, widths[0], (8, 13), stride=STRIDE, padding=(2, 6)),
                nn.Conv2d(widths[0], widths[1], 5, stride=2, padding=2),
                nn.Conv2d(widths[1], widths[2], (4, 3), stride=2, padding=1),
            ]
        )
        self.norms = nn.ModuleList([nn.GroupNorm(1, width) for width in widths])
        keys = math.ceil((HIGHEST - LOWEST) / STRIDE[1])
        self.place = nn.Parameter(torch.zeros(width, STEPS_PER_BAR // STRIDE[0], keys))  # where in bar and register
        self.time = nn.Linear(TIMES, 2 * sum(widths))
        nn.init.zeros_(self.time.weight)
        nn.init.zeros_(self.time.bias)
        self.out = nn.Sequential(nn.Dropout(drop), nn.Linear(2 * widths[-1], 1))

    def forward(self, rolls: Tensor, t: Tensor) -> Tensor:
        level = t.to(rolls.dtype)[:, None] / 1000
        moves = self.time(torch.cat([level**power for power in range(1, TIMES + 1)], dim=1))[..., None, None]
        maps, at = SCALE * rolls[..., LOWEST:HIGHEST], 0
        for depth, (layer, norm) in enumerate(zip(self.layers, self.norms, strict=True)):
            maps = layer(maps)
            if depth == 0:
                maps = maps + self.place.repeat(1, maps.shape[-2] // self.place.shape[-2], 1)
            scale, shift = moves[:, at : (at := at + 2 * maps.shape[1])].chunk(2, dim=1)
            maps = F.silu(norm(maps) * (1 + scale) + shift)
        cells = maps.flatten(2)
        highest = cells.logsumexp(2) - math.log(cells.shape[2])
        return self.out(torch.cat([cells.mean(2), highest], dim=1))[:, 0]

    def corrected(self, logits: Tensor, t: Tensor, weight: float) -> Tensor:
        """The logits (B, C, S, P) of cells, moved towards those of songs, for a weight of 1 by the estimated ratio."""
        with torch.enable_grad():
            rolls = logits.detach().sigmoid().requires_grad_()
            (gradient,) = torch.autograd.grad(self(rolls, t).sum(), rolls)
        return logits - weight * gradient


def correction(discriminator: Discriminator | None, weight: float | None) -> Correction | None:
    """Guidance with this weight; None without one. Raises InputError if there is a weight and no discriminator."""
    if not weight:
        return None
    if discriminator is None:
        raise InputError(f"discriminator={weight:g} needs a checkpoint with a discriminator; leave it out")
    return partial(discriminator.corrected, weight=weight)
