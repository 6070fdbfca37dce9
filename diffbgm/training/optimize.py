"""Optimizer, learning rate and moving average of the weights, each a function of the step."""

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
    """Adam, AdamW (both in one fused kernel) or Muon over a network's parameters. InputError for another name.

    `ends`: names of the layers that Muon leaves to AdamW (muon.py).
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
    """The rate of step 1..steps: linear warm-up to `peak`, then constant, cosine to zero, or a linear last fifth."""
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
    """An exponential moving average of a network's weights, held as a second network.

    The decay rises as (1 + n) / (10 + n) towards `decay`, so that a short run's average is not its first weights.
    With decay 0 it is the network itself.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network).eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Move towards the weights that `network` has after optimizer step `step` (1, 2, ...)."""
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(_tensors(self.network), _tensors(network), weight)


def _tensors(network: nn.Module) -> list[Tensor]:
    return [parameter.data for parameter in network.parameters()]
