"""From a network to the samplers' contract: denoise(x, t) -> eps, with guidance, precision and row selection inside.

Shape legend: B rows of the condition, R rows of one call, S steps, P pitches.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from diffbgm.diffusion.guidance import guided
from diffbgm.diffusion.objective import Objective
from diffbgm.models.conditioner import Encoded
from diffbgm.models.network import DiffBGM

RowDenoise = Callable[..., Tensor]  # x (R, 2, S, P), t (R,), rows (R,) long = all B -> eps (R, 2, S, P) float32


def denoiser(
    network: DiffBGM,
    objective: Objective,
    encoded: Encoded,
    scale: float = 1.0,
    interval: tuple[int, int] | None = None,
    dtype: torch.dtype | None = None,
) -> RowDenoise:
    """denoise(x, t, rows) for a condition of B rows, encoded once; `rows` says which of them x belongs to.

    Guidance (classifier-free, `scale`, on t inside `interval`) acts on what the network predicts: on eps and v as
    usual, on x0 logits as logits, so that guided probabilities stay in (0, 1). `dtype` is the autocast type of the
    network's own arithmetic; eps is float32 either way.

    A network with self_condition is shown what each row's x0 looked like when it was last asked for (Chen, Zhang and
    Hinton 2023, Analog Bits, section 3): the one thing that is remembered from call to call, so make one for each walk.
    """
    null = network.conditioner.null(encoded)
    memory: dict[str, Tensor] = {}  # "x0": (B, 2, S, P), from the first call on

    def predict(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        chosen, estimate = encoded.rows(rows), memory["x0"][rows] if memory else None
        if len(x) == 2 * len(rows):
            chosen = Encoded.concatenate([chosen, null.rows(rows)])
            estimate = None if estimate is None else torch.cat([estimate, estimate])
        # Without a dtype, an autocast around this call stays in force.
        with nullcontext() if dtype is None else torch.autocast(x.device.type, dtype=dtype):
            return network(x, t, chosen, estimate=estimate)

    steered = guided(predict, scale, interval)

    def denoise(x: Tensor, t: Tensor, rows: Tensor | None = None) -> Tensor:
        with torch.no_grad():
            where = torch.arange(len(x), device=x.device) if rows is None else rows
            eps = objective.eps(steered(x, t, where).float(), x, t)
            if network.self_condition:
                if not memory:
                    memory["x0"] = x.new_zeros(len(encoded), *x.shape[1:])
                memory["x0"][where] = objective.schedule.x0_from_eps(eps, x, t).clamp(0, 1)
            return eps

    return denoise
