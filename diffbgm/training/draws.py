"""The random numbers of a training step, as a function of only (seed, step, row).

Row r of step n gets the same noise regardless of what was drawn before and of the number of processes. A resumed run
therefore continues exactly, and W processes that share a global batch see the same data as one process.

Shape legend: B rows, C planes, S steps of music, P pitches.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SELF_CONDITION_SHARE = 0.5  # share of steps with self-conditioning (Chen et al. 2023, Analog Bits, section 3)


@dataclass(frozen=True)
class Draws:
    """The random numbers of a step.

    `self_condition` holds for all rows: whether a network with self-conditioning sees its own first estimate of x0.
    """

    t: Tensor  # (B,) long, timesteps
    eps: Tensor  # (B, C, S, P) float32, standard normal
    drop: Tensor  # (B,) bool, True where the condition is dropped
    self_condition: bool

    def to(self, device: torch.device) -> "Draws":
        """The same numbers on another device."""
        t, eps, drop = (tensor.to(device, non_blocking=True) for tensor in (self.t, self.eps, self.drop))
        return Draws(t, eps, drop, self.self_condition)


def draw(
    seed: int,
    step: int,
    rows: Iterable[int],
    batch_size: int,
    shape: Sequence[int],
    timesteps: int,
    drop_probability: float,
    stratified: bool,
) -> Draws:
    """The random numbers of a step for `rows`, indices into the global batch of `batch_size`; eps has `shape` per row.

    With `stratified`, the timesteps of the batch are spread evenly over the schedule from one random offset, so that
    each is still uniform by itself (Kingma et al. 2021, Variational Diffusion Models, appendix I.1); otherwise they
    are independent.
    """
    offset, coin = _generator(seed, step, batch_size).random(2)
    t, eps, drop = [], [], []
    for row in rows:
        generator = _generator(seed, step, row)
        place, chance = generator.random(2)
        if stratified:
            place = (row / batch_size + offset) % 1.0
        t.append(min(int(place * timesteps), timesteps - 1))
        drop.append(bool(chance < drop_probability))
        eps.append(generator.standard_normal(tuple(shape), dtype=np.float32))
    self_condition = bool(coin < SELF_CONDITION_SHARE)
    return Draws(torch.tensor(t), torch.from_numpy(np.stack(eps)), torch.tensor(drop), self_condition)


def fixed(seed: int, count: int, shape: Sequence[int], timesteps: int, switch: int) -> Draws:
    """The random numbers of validation: t is spread evenly over both bands of the schedule, and nothing is dropped.

    Rows alternate between t > switch and t <= switch, so that any even number of consecutive rows is balanced.
    """
    numbers = draw(seed, 0, range(count), count, shape, timesteps, 0.0, stratified=False)
    share = (np.arange(count) // 2 + 0.5) / max(1, (count + 1) // 2)
    low = share * (switch + 1)
    high = switch + 1 + share * (timesteps - switch - 1)
    t = np.where(np.arange(count) % 2 == 0, high, low).astype(np.int64)
    return Draws(torch.from_numpy(t), numbers.eps, numbers.drop, self_condition=False)


def _generator(seed: int, step: int, row: int) -> np.random.Generator:
    """A counter-based generator (Salmon et al. 2011) with key (seed, step) and the row as highest counter word."""
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, 0, row]))
