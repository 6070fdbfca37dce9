"""One optimizer that applies Muon to the hidden matrices of a network and AdamW to all other parameters.

Muon (Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks") replaces the momentum of a matrix
by the nearest orthogonal matrix, found by Newton-Schulz iterations. `torch.optim.Muon` accepts only matrices; here the
weight of a convolution counts as a matrix (out, in x height x width), and matrices of equal shape are processed
together. The update is scaled by 0.2 sqrt(max(rows, columns)) as in Liu et al. 2025 ("Muon is scalable for LLM
training", section 2.2), so that learning rate and weight decay have the same meaning as for AdamW.
"""

import math
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic Newton-Schulz iteration (Jordan et al. 2024)
ITERATIONS = 5
MOMENTUM = 0.95


class Muon(torch.optim.Optimizer):
    """Updates `matrices` by Muon and `others` by AdamW, with the same learning rate.

    Newton-Schulz runs in bfloat16 on a GPU, as in torch, and in float32 on a CPU, where bfloat16 gains nothing.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        others: Iterable[nn.Parameter],
        lr: float,
        betas: tuple[float, float],
        weight_decay: float,
        eps: float = 1e-8,
    ) -> None:
        groups = [{"params": list(matrices), "matrices": True}, {"params": list(others), "matrices": False}]
        super().__init__(
            [group for group in groups if group["params"]],
            {"lr": lr, "betas": tuple(betas), "weight_decay": weight_decay, "eps": eps},
        )

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if not parameters:
                continue
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            (self._muon if group["matrices"] else self._adamw)(parameters, group)

    def _muon(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        lr = group["lr"]
        assert isinstance(lr, float)
        by_shape: dict[tuple[int, int], list[tuple[nn.Parameter, Tensor]]] = {}
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state["momentum"] = torch.zeros_like(parameter)
            state["momentum"].lerp_(parameter.grad, 1 - MOMENTUM)
            update = parameter.grad.lerp(state["momentum"], MOMENTUM).flatten(1)  # Nesterov's
            by_shape.setdefault((update.shape[0], update.shape[1]), []).append((parameter, update))
        for (rows, columns), members in by_shape.items():
            updates = orthogonal(torch.stack([update for _, update in members]))
            scale = 0.2 * math.sqrt(max(rows, columns))
            for (parameter, _), update in zip(members, updates, strict=True):
                parameter.sub_(update.to(parameter.dtype).reshape(parameter.shape), alpha=lr * scale)

    def _adamw(self, parameters: list[nn.Parameter], group: dict[str, Any]) -> None:
        lr, (first, second), eps = group["lr"], group["betas"], group["eps"]
        for parameter in parameters:
            assert parameter.grad is not None
            state = self.state[parameter]
            if not state:
                state |= {"step": torch.zeros(()), "mean": torch.zeros_like(parameter)}
                state["square"] = torch.zeros_like(parameter)
            state["step"] += 1
            count = float(state["step"])
            state["mean"].lerp_(parameter.grad, 1 - first)
            state["square"].mul_(second).addcmul_(parameter.grad, parameter.grad, value=1 - second)
            root = (state["square"] / (1 - second**count)).sqrt_().add_(eps)
            parameter.addcdiv_(state["mean"], root, value=-lr / (1 - first**count))


def orthogonal(matrices: Tensor) -> Tensor:
    """Approximately U V^T for each matrix U S V^T (K, rows, columns): singular values between 0.7 and 1.2."""
    a, b, c = COEFFICIENTS
    x = matrices.to(torch.float32 if matrices.device.type == "cpu" else torch.bfloat16)
    wide = x.shape[1] <= x.shape[2]
    x = x if wide else x.mT
    x = x / x.flatten(1).norm(dim=1).clamp(min=1e-7)[:, None, None]
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x if wide else x.mT


def hidden_matrices(network: nn.Module, ends: tuple[str, ...]) -> list[nn.Parameter]:
    """The weights of linear layers and convolutions, except those whose names begin with one of `ends`.

    `ends` are the input and output layers (cells, features, hints), which Muon's authors optimize with AdamW.
    """
    return [
        cast(nn.Parameter, module.weight)
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d) and not name.startswith(ends)
    ]
