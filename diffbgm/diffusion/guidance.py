"""Classifier-free guidance as a wrapper around the network (Ho & Salimans 2022, eq. 6).

    eps = eps_unconditional + scale (eps_conditional - eps_unconditional)

The formula applies to whatever the network predicts: it guides logits if the network gives logits, and eps if it gives
eps.

Shape legend: B batch, ... the shape of one sample.
"""

from collections.abc import Callable

import torch
from torch import Tensor

Network = Callable[..., Tensor]


def guided(network: Network, scale: float) -> Network:
    """denoise(x (B, ...), t (B,), *rows) -> (B, ...) with guidance, from one call of `network` per step.

    `network(x, t, *rows)` gets x (2B, ...) and t (2B,) and must use the condition for the first B samples and the null
    condition for the last B. At scale 1 it gets only the B conditional samples. `rows` is passed through unchanged.
    """

    def denoise(x: Tensor, t: Tensor, *rows: Tensor) -> Tensor:
        if scale == 1:
            return network(x, t, *rows)
        conditional, unconditional = network(torch.cat([x, x]), torch.cat([t, t]), *rows).chunk(2)
        return unconditional + scale * (conditional - unconditional).float()

    return denoise
