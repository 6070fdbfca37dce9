"""Classifier-free guidance as a wrapper around the network (Ho & Salimans 2022, eq. 6).

    eps = eps_unconditional + scale (eps_conditional - eps_unconditional)

The formula is linear, so wrapping a network of logits guides the logits, and wrapping its eps guides eps.

Shape legend: B batch, ... the shape of one sample.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[..., Tensor]


def guided(network: Network, scale: float) -> Network:
    """denoise(x (B, ...), t (B,), *rows) -> (B, ...) that asks `network` for both halves in one batch.

    `network(x, t, *rows)` is called with x (2B, ...) and t (2B,), of which the first B are to be answered with the
    condition and the last B without; at scale 1 with the B conditional ones alone. What is in `rows` is handed on as
    it came.
    """

    def denoise(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        if scale == 1:
            return network(x, t, *rows)
        conditional, unconditional = network(torch.cat([x, x]), torch.cat([t, t]), *rows).chunk(2)
        return unconditional + scale * (conditional - unconditional).float()

    return denoise
