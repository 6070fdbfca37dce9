"""The noise schedule: the signal level at each timestep, and the conversions between x0, eps and x_t.

A schedule is a table of T timesteps. At t = 0 a sample is almost clean, at t = T - 1 almost noise:

    q(x_t | x_0) = N(sqrt(alpha_bar_t) x_0, (1 - alpha_bar_t) I)                       Ho et al. 2020, eq. 4

The table is in float64; coefficients of tensors are rounded to float32 only after the square root, so that
x0 -> eps -> x0 is exact to 1e-5 even at t = T - 1, where alpha_bar is 0.0047.

Shape legend: B batch, T steps of the schedule, ... the shape of one sample.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbgm.errors import InputError


@dataclass(frozen=True, eq=False)
class Schedule:
    """beta and alpha_bar = cumprod(1 - beta) for each of T steps."""

    beta: Tensor  # (T,) float64
    alpha_bar: Tensor  # (T,) float64

    def __len__(self) -> int:
        return len(self.beta)

    def to(self, device: torch.device | str) -> "Schedule":
        """The same schedule on another device, so that a training step does not have to move t to the host."""
        return Schedule(self.beta.to(device), self.alpha_bar.to(device))

    def upto(self, last: int | None) -> "Schedule":
        """The part of the table up to and including step `last`; all of it for None."""
        return self if last is None else Schedule(self.beta[: last + 1], self.alpha_bar[: last + 1])

    def level(self, t: int | None) -> float:
        """alpha_bar at step t; 1 for None, the clean sample."""
        return 1.0 if t is None else float(self.alpha_bar[t])

    def coefficients(self, t: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """sqrt(alpha_bar) and sqrt(1 - alpha_bar) at t (B,), as float32 (B, 1, ...) on the device of x (B, ...)."""
        alpha_bar = self.alpha_bar[t.to(self.alpha_bar.device)].reshape(-1, *[1] * (x.ndim - 1))
        signal, noise = alpha_bar.sqrt(), (1 - alpha_bar).sqrt()
        return signal.to(x.device, torch.float32), noise.to(x.device, torch.float32)

    def q_sample(self, x0: Tensor, t: Tensor, eps: Tensor) -> Tensor:
        """x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps. x0, eps (B, ...), t (B,) long."""
        signal, noise = self.coefficients(t, x0)
        return signal * x0 + noise * eps

    def x0_from_eps(self, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The x0 (B, ...) that together with eps (B, ...) gives x (B, ...) at t (B,)."""
        signal, noise = self.coefficients(t, x)
        return (x - noise * eps) / signal

    def eps_from_x0(self, x0: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The eps (B, ...) that together with x0 (B, ...) gives x (B, ...) at t (B,)."""
        signal, noise = self.coefficients(t, x)
        return (x - signal * x0) / noise

    def timesteps(self, steps: int, through: Sequence[int] = (200,)) -> list[int]:
        """`steps` distinct timesteps in descending order, starting with T - 1, at which a sampler calls the network.

        They divide T evenly, and the last one is T / steps above 0: the spacing "trailing" (Lin et al. 2023, Common
        Diffusion Noise Schedules are Flawed, table 2). `through` lists timesteps that must be visited (the selector
        changes the modality at 200): the nearest timestep, except the first one, is moved to each; if there are too
        many of them, the first ones are kept. Raises InputError for numbers that the schedule does not have.
        """
        total = len(self)
        if not 1 <= steps <= total:
            raise InputError(f"sampler.steps is {steps}; give a number from 1 to {total}.")
        walk = _distinct(total * (1 - np.arange(steps) / steps) - 1)
        free = walk[1:]
        fixed = [walk[0]]
        for stop in through:
            if not 0 <= stop < total:
                raise InputError(f"sampler.through holds {stop}; give steps from 0 to {total - 1}.")
            if free and stop not in fixed:
                free.remove(min(free, key=lambda t: abs(t - stop)))
                fixed.append(stop)
        return sorted(fixed + free, reverse=True)


def sqrt_linear(steps: int = 1000, start: float = 0.00085, end: float = 0.012, roll_scale: float = 1.0) -> Schedule:
    """The paper's schedule: beta is linear in its square root, linspace(sqrt(start), sqrt(end), steps)^2.

    `roll_scale` s has the effect of rolls in {0, s} instead of {0, 1} (Chen et al. 2023, On the Importance of Noise
    Scheduling): alpha_bar / (1 - alpha_bar) is multiplied by s^2 at every timestep. The paper uses 1.
    """
    beta = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    alpha_bar = torch.cumprod(1 - beta, dim=0)
    if roll_scale == 1:
        return Schedule(beta, alpha_bar)
    alpha_bar = roll_scale**2 * alpha_bar / (1 - alpha_bar + roll_scale**2 * alpha_bar)
    return Schedule(1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]]), alpha_bar)


def _distinct(walk: np.ndarray) -> list[int]:
    """Timesteps rounded to integers, made distinct, and kept at or above 0."""
    rank = np.arange(len(walk))
    falling = np.minimum.accumulate(np.rint(walk).astype(int) + rank) - rank
    return [int(t) for t in np.maximum(falling, len(walk) - 1 - rank)]
