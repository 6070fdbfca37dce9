"""The random numbers of a training step: a function of (seed, step, row) and of nothing else.

Whatever was drawn before, on however many processes, row r of step n gets the same noise. So a resumed run continues
exactly, and W processes that share a global batch train on what one process would have seen.

Shape legend: B rows, S steps of music, P pitches, T steps of the schedule.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SELF_CONDITION_SHARE = 0.5  # of the steps, as in Analog Bits (Chen, Zhang and Hinton 2023, section 3)


@dataclass(frozen=True)
class Draws:
    """What a step needs besides data."""

    t: Tensor  # (B,) long, timesteps
    eps: Tensor  # (B, 2, S, P) float32, standard normal
    drop: Tensor  # (B,) bool, True where the condition is left out
    self_condition: bool  # whether a network with self_condition sees its first answer; the same for all rows

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
    """The numbers of `rows` (places in the global batch of `batch_size`) of a step; eps has `shape` per row.

    `stratified`: the batch's timesteps are spread evenly over the schedule from one random offset (Kingma et al. 2021,
    Variational Diffusion Models, appendix I.1), each still uniform by itself; else they are independent.
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
    """Validation's numbers: half of the rows have t <= switch, half t > switch, evenly spread; nothing is dropped.

    The bands alternate, so any even number of rows in a stretch is balanced.
    """
    numbers = draw(seed, 0, range(count), count, shape, timesteps, 0.0, stratified=False)
    share = (np.arange(count) // 2 + 0.5) / max(1, (count + 1) // 2)
    low = share * (switch + 1)
    high = switch + 1 + share * (timesteps - switch - 1)
    t = np.where(np.arange(count) % 2 == 0, high, low).astype(np.int64)
    return Draws(torch.from_numpy(t), numbers.eps, numbers.drop, self_condition=False)


def _generator(seed: int, step: int, row: int) -> np.random.Generator:
    """A counter-based generator (Salmon et al. 2011): key (seed, step), the row in the counter's highest word."""
    return np.random.Generator(np.random.Philox(key=[seed, step], counter=[0, 0, 0, row]))
