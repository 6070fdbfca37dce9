"""A network and what its output means: the training loss, and the samplers' contract denoise(x, t) -> eps.

Shape legend: B rows of the condition, R rows of one call, C planes, S steps, P pitches.
"""

from collections.abc import Callable
from contextlib import nullcontext

import torch
from torch import Tensor

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.guidance import guided
from diffbgm.diffusion.objective import Objective
from diffbgm.models.conditioner import Encoded
from diffbgm.models.network import DiffBGM

RowDenoise = Callable[..., Tensor]  # x (R, C, S, P), t (R,), rows (R,) long = all B -> eps (R, C, S, P) float32


class Denoiser:
    """`network` as its objective reads it; in training the network may be wrapped (DDP, FSDP, torch.compile).

    `self_condition`: whether the network is shown its own earlier estimate of x0; taken from it unless it is wrapped.
    """

    def __init__(self, network: DiffBGM, objective: Objective, self_condition: bool | None = None) -> None:
        self.network, self.objective = network, objective
        self.self_condition = network.self_condition if self_condition is None else self_condition

    def loss(
        self,
        x0: Tensor,
        eps: Tensor,
        t: Tensor,
        condition: Condition | Encoded,
        drop: Tensor | None = None,
        twice: bool = False,
    ) -> Tensor:
        """Loss of each sample (B,) of clean rolls x0 (B, C, S, P) with noise eps (B, C, S, P) at t (B,).

        Samples where `drop` (B,) is True have no condition. `twice`: a network with self_condition first guesses x0
        and is shown that guess (Analog Bits, section 3).
        """
        x = self.objective.schedule.q_sample(x0, t, eps)
        estimate = self._guess(x, t, condition, drop) if twice and self.self_condition else None
        prediction = self.network(x, t, condition, drop, estimate)
        return self.objective.loss(prediction, x0, eps, x, t)

    @torch.no_grad()
    def _guess(self, x: Tensor, t: Tensor, condition: Condition | Encoded, drop: Tensor | None) -> Tensor:
        """What the network makes of x0 at first sight (B, C, S, P)."""
        eps = self.objective.eps(self.network(x, t, condition, drop), x, t)
        return self.objective.schedule.x0_from_eps(eps, x, t).clamp(0, 1)

    def conditioned(
        self,
        encoded: Encoded,
        scale: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> RowDenoise:
        """denoise(x, t, rows) for a condition of B rows, encoded once; `rows` says which of them x belongs to.

        Guidance (classifier-free, `scale`) acts on what the network predicts: on eps as usual, on x0 logits as logits,
        so that guided probabilities stay in (0, 1). `dtype` is the autocast type of the
        network's own arithmetic; eps is float32 either way.

        A network with self_condition is shown what each row's x0 looked like when it was last asked for (Chen, Zhang
        and Hinton 2023, Analog Bits, section 3). That is remembered from call to call: make one for each walk.
        """
        null = self.network.conditioner.null(encoded)
        memory: dict[str, Tensor] = {}  # "x0": (B, C, S, P), from the first call on

        def predict(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            chosen, estimate = encoded.rows(rows), memory["x0"][rows] if memory else None
            if len(x) == 2 * len(rows):
                chosen = Encoded.concatenate([chosen, null.rows(rows)])
                estimate = None if estimate is None else torch.cat([estimate, estimate])
            # Without a dtype, an autocast around this call stays in force.
            with nullcontext() if dtype is None else torch.autocast(x.device.type, dtype=dtype):
                return self.network(x, t, chosen, estimate=estimate)

        steered = guided(predict, scale)

        def denoise(x: Tensor, t: Tensor, rows: Tensor | None = None) -> Tensor:
            with torch.no_grad():
                where = torch.arange(len(x), device=x.device) if rows is None else rows
                eps = self.objective.eps(steered(x, t, where).float(), x, t)
                if self.self_condition:
                    if not memory:  # setdefault: calls side by side share one
                        memory.setdefault("x0", x.new_zeros(len(encoded), *x.shape[1:]))
                    memory["x0"][where] = self.objective.schedule.x0_from_eps(eps, x, t).clamp(0, 1)
                return eps

        return denoise
