"""Classifier-free guidance as a wrapper around the network (Ho & Salimans 2022, eq. 6).

    eps = eps_unconditional + scale (eps_conditional - eps_unconditional)

The formula is linear, so wrapping a network of logits guides the logits, and wrapping its eps guides eps.

Shape legend: B batch, ... the shape of one sample.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from diffbgm.errors import InputError

Network = Callable[..., Tensor]


def guided(network: Network, scale: float, interval: tuple[int, int] | None = None) -> Network:
    """denoise(x (B, ...), t (B,), *rows) -> (B, ...) that asks `network` for both halves in one batch.

    `network(x, t, *rows)` is called with x (2B, ...) and t (2B,), of which the first B are to be answered with the
    condition and the last B without; where nothing is to be guided (scale 1, or every t outside `interval`) with the
    B conditional ones alone. What is in `rows` is handed on as it came. `interval` = (low, high): guide only where
    low <= t <= high (Kynkäänniemi et al. 2024). InputError for an interval that is empty.
    """
    if interval is not None and interval[0] > interval[1]:
        raise InputError(f"guidance.interval is {list(interval)}; give [low, high] with low at most high.")

    def denoise(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        inside = torch.ones_like(t, dtype=torch.bool) if interval is None else _within(t, interval)
        if scale == 1 or not inside.any():
            return network(x, t, *rows)
        conditional, unconditional = network(torch.cat([x, x]), torch.cat([t, t]), *rows).chunk(2)
        strength = torch.where(inside, scale, 1.0).reshape(-1, *[1] * (x.ndim - 1))
        return unconditional + strength * (conditional - unconditional)

    return denoise


def _within(t: Tensor, interval: tuple[int, int]) -> Tensor:
    """Which of t (B,) lie in the closed interval."""
    return (t >= interval[0]) & (t <= interval[1])
