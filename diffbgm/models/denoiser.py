"""A network with its objective: the training loss, and the interface for samplers, denoise(x, t) -> eps.

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
    """A network and the objective that interprets its output. In training it may be wrapped (DDP, FSDP, torch.compile).

    `self_condition` says whether the network takes its previous estimate of x0; a wrapped network needs it given.
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
        """The loss (B,) of each sample, for clean rolls x0 (B, C, S, P) and noise eps (B, C, S, P) at t (B,).

        Samples where `drop` (B,) is True get the null condition. With `twice`, a network with self-conditioning first
        estimates x0 and then takes that estimate as input (Chen et al. 2023, Analog Bits, section 3).
        """
        x = self.objective.schedule.q_sample(x0, t, eps)
        estimate = self._guess(x, t, condition, drop) if twice and self.self_condition else None
        prediction = self.network(x, t, condition, drop, estimate)
        return self.objective.loss(prediction, x0, eps, x, t)

    @torch.no_grad()
    def _guess(self, x: Tensor, t: Tensor, condition: Condition | Encoded, drop: Tensor | None) -> Tensor:
        """The network's first estimate of x0, (B, C, S, P) in [0, 1]."""
        eps = self.objective.eps(self.network(x, t, condition, drop), x, t)
        return self.objective.schedule.x0_from_eps(eps, x, t).clamp(0, 1)

    def conditioned(
        self,
        encoded: Encoded,
        scale: float = 1.0,
        dtype: torch.dtype | None = None,
    ) -> RowDenoise:
        """denoise(x, t, rows) for an encoded condition of B rows; `rows` (R,) says which of them x (R, ...) belongs to.

        Classifier-free guidance with `scale` acts on the output of the network: on eps as usual, and on x0 logits as
        logits, so that guided probabilities stay in (0, 1). `dtype` is the autocast type of the network; eps is always
        float32.

        A network with self-conditioning takes each row's estimate of x0 from the previous call (Chen et al. 2023,
        Analog Bits, section 3). The returned function remembers these estimates, so make a new one for each sample.
        """
        null = self.network.conditioner.null(encoded)
        memory: dict[str, Tensor] = {}  # "x0": (B, C, S, P), from the first call on

        def predict(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
            chosen, estimate = encoded.rows(rows), memory["x0"][rows] if memory else None
            if len(x) == 2 * len(rows):
                chosen = Encoded.concatenate([chosen, null.rows(rows)])
                estimate = None if estimate is None else torch.cat([estimate, estimate])
            # Without a dtype, an outer autocast context stays in effect.
            with nullcontext() if dtype is None else torch.autocast(x.device.type, dtype=dtype):
                return self.network(x, t, chosen, estimate=estimate)

        steered = guided(predict, scale)

        def denoise(x: Tensor, t: Tensor, rows: Tensor | None = None) -> Tensor:
            with torch.no_grad():
                where = torch.arange(len(x), device=x.device) if rows is None else rows
                eps = self.objective.eps(steered(x, t, where).float(), x, t)
                if self.self_condition:
                    if not memory:  # setdefault, because parallel calls must share one tensor
                        memory.setdefault("x0", x.new_zeros(len(encoded), *x.shape[1:]))
                    memory["x0"][where] = self.objective.schedule.x0_from_eps(eps, x, t).clamp(0, 1)
                return eps

        return denoise
