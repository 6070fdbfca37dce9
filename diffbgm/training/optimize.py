"""Optimizer, learning-rate schedule and exponential moving average (EMA) of the weights."""

import copy
import math
from typing import Generic, TypeVar

import torch
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.training.muon import Muon, hidden_matrices

Network = TypeVar("Network", bound=nn.Module)
OPTIMIZERS = ("adam", "adamw", "muon")
DECAYS = ("constant", "cosine", "tail")


def build_optimizer(
    network: nn.Module,
    name: str,
    lr: float,
    betas: tuple[float, float],
    weight_decay: float,
    ends: tuple[str, ...] = (),
) -> torch.optim.Optimizer:
    """Adam or AdamW (both fused) or Muon over the parameters of a network. Raises InputError for any other name.

    `ends`: prefixes of the names of layers that Muon leaves to AdamW (muon.py).
    """
    if name == "muon":
        matrices = hidden_matrices(network, ends)
        known = {id(matrix) for matrix in matrices}
        others = [parameter for parameter in network.parameters() if id(parameter) not in known]
        return Muon(matrices, others, lr, betas, weight_decay)
    if name not in OPTIMIZERS:
        raise InputError(f"trainer.optimizer is {name!r}; give one of {', '.join(OPTIMIZERS)}")
    kind = torch.optim.Adam if name == "adam" else torch.optim.AdamW
    return kind(network.parameters(), lr=lr, betas=betas, weight_decay=weight_decay, fused=True)


def learning_rate(step: int, steps: int, peak: float, warmup: int, decay: str) -> float:
    """The learning rate at step 1, ..., `steps`: linear warm-up over `warmup` steps to `peak`, then `decay`.

    `decay` is "constant", "cosine" (to zero) or "tail" (linear to zero over the last fifth of all steps). Raises
    InputError for any other.
    """
    if step <= warmup:
        return peak * step / warmup
    if decay == "constant":
        return peak
    if decay == "cosine":
        return peak * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))
    if decay == "tail":
        return peak * min(1.0, (steps - step + 1) / (0.2 * steps))
    raise InputError(f"trainer.decay is {decay!r}; give one of {', '.join(DECAYS)}")


class MovingAverage(Generic[Network]):
    """An exponential moving average of the weights of a network, stored as a second network.

    The decay at step n is (1 + n) / (10 + n), at most `decay`, so that the average of a short run is not dominated by
    its initial weights. With decay 0 the average equals the network.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Add the weights of `network` after optimizer step `step` (1, 2, ...) to the average."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(_tensors(self.network), _tensors(network), weight)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [parameter.data for parameter in network.parameters()]
