"""Objectives: what the network predicts, either the noise or logits of the clean roll.

An objective computes the training loss of a prediction and converts it to eps, so that samplers need only one
interface: denoise(x, t) -> eps.

Shape legend: B batch, ... the shape of one sample (2, S, P).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import functional as F

from diffbgm.diffusion.couplings import UNCOUPLED, Couplings
from diffbgm.diffusion.schedule import Schedule
from diffbgm.errors import InputError

PIVOTS = (0.2, 0.5)
"""Unless a checkpoint says otherwise, the probabilities of onsets and sustains that a temperature does not change. Four
numbers are those of the lead and of the accompaniment."""


Correction = Callable[[Tensor, Tensor], Tensor]
"""logits (B, ...), t (B,) -> logits (B, ...), such as discriminator guidance."""


class Objective(Protocol):
    """The training loss of a prediction and its conversion to eps, both in float32."""

    @property
    def schedule(self) -> Schedule: ...

    def loss(self, prediction: Tensor, x0: Tensor, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """Mean loss per sample (B,) of a prediction (B, ...) made from x = q_sample(x0, t, eps)."""
        ...

    def eps(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        """The noise (B, ...) that a prediction made from x at t implies."""
        ...


@dataclass(frozen=True)
class EpsObjective:
    """The network predicts the noise; squared error (Ho et al. 2020, eq. 14). The paper's objective."""

    schedule: Schedule

    def loss(self, prediction: Tensor, x0: Tensor, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return _mean(F.mse_loss(prediction.float(), eps.float(), reduction="none"))

    def eps(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return prediction.float()


@dataclass(frozen=True)
class X0LogitsObjective:
    """The network predicts the logit of every cell of x0; binary cross-entropy. x0 is sigmoid(logits)."""

    schedule: Schedule

    def loss(self, prediction: Tensor, x0: Tensor, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return _mean(F.binary_cross_entropy_with_logits(prediction.float(), x0.float(), reduction="none"))

    def eps(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        return self.schedule.eps_from_x0(prediction.float().sigmoid(), x.float(), t)


@dataclass(frozen=True)
class X0PosteriorObjective:
    """The network predicts the log-odds of a cell; the evidence of the cell's own noisy value is added in closed form.

        logit p(x0 = 1 | x_t) = prediction + log N(x_t; signal, noise^2) - log N(x_t; 0, noise^2)
                              = prediction + (signal / noise^2) (x_t - signal / 2)

    This is Bayes' rule for a cell of 0 or 1. No layer has to carry the exact value of every noisy cell to the output,
    and at small t the result is right from the start of training. The loss is binary cross-entropy; x0 is the sigmoid
    of the sum. Guiding the prediction guides the logits, since the added term does not depend on the condition.
    """

    schedule: Schedule
    temperature: float = 1.0  # only for `eps`; below 1, cells above their pivot get likelier and the others rarer
    pivots: tuple[float, ...] = PIVOTS  # two for both parts, or four, of which a roll of two planes takes the last
    couplings: Couplings = UNCOUPLED  # only for `eps`
    corrected: Correction | None = None  # only for `eps`, after the couplings

    def loss(self, prediction: Tensor, x0: Tensor, eps: Tensor, x: Tensor, t: Tensor) -> Tensor:
        logits = prediction.float() + self._evidence(x, t)
        return _mean(F.binary_cross_entropy_with_logits(logits, x0.float(), reduction="none"))

    def eps(self, prediction: Tensor, x: Tensor, t: Tensor) -> Tensor:
        pivots = torch.tensor((2 * self.pivots)[-x.shape[-3] :], device=x.device)
        pivot = torch.logit(pivots).reshape(-1, 1, 1)
        logits = pivot + (prediction.float() - pivot) / self.temperature + self._evidence(x, t)
        coupled = self.couplings(logits) if self.couplings else logits
        final = coupled if self.corrected is None else self.corrected(coupled, t)
        return self.schedule.eps_from_x0(final.sigmoid(), x.float(), t)

    def _evidence(self, x: Tensor, t: Tensor) -> Tensor:
        """The log-likelihood ratio of each cell's own value."""
        signal, noise = self.schedule.coefficients(t, x)
        return signal / noise**2 * (x.float() - 0.5 * signal)


OBJECTIVES: dict[str, Callable[..., Objective]] = {
    "eps": EpsObjective,
    "x0_logits": X0LogitsObjective,
    "x0_posterior": X0PosteriorObjective,
}


def build_objective(
    name: str,
    schedule: Schedule,
    temperature: float | None = None,
    pivots: Sequence[float] | None = None,
    couplings: Couplings | None = None,
    corrected: Correction | None = None,
) -> Objective:
    """The objective called eps, x0_logits or x0_posterior; the other settings are for sampling with the last.

    InputError for another name, a temperature that is not positive, or settings that the objective ignores.
    """
    if name not in OBJECTIVES:
        raise InputError(f"objective is {name!r}; give one of {', '.join(OBJECTIVES)}.")
    temperature = 1.0 if temperature is None else temperature
    if temperature == 1 and not couplings and corrected is None:
        return OBJECTIVES[name](schedule)
    if not temperature > 0:
        raise InputError(f"temperature is {temperature}; give a number above 0, such as 0.8, or 1 for none.")
    if name != "x0_posterior":
        given, without = ("a discriminator needs", "give none") if corrected else ("couplings need", "give none")
        if temperature != 1:
            given, without = f"temperature={temperature:g} needs", "leave it 1"
        raise InputError(f"{given} a network of objective=x0_posterior, not {name}; {without}.")
    if pivots is not None and len(pivots) not in (2, 4):
        raise InputError(f"pivots are {len(pivots)} numbers; give two, of onsets and sustains, or four, of both parts.")
    usual = PIVOTS if pivots is None else tuple(pivots)
    return X0PosteriorObjective(schedule, temperature, usual, couplings or UNCOUPLED, corrected)


def _mean(cells: Tensor) -> Tensor:
    """(B, ...) -> (B,)"""
    return cells.flatten(1).mean(1)


class Sampling(Protocol):
    """The sampling settings that change how a prediction is interpreted."""

    @property
    def temperature(self) -> float | None: ...

    @property
    def pivots(self) -> Sequence[float] | None: ...

    @property
    def couplings(self) -> Couplings | None: ...


def sampling_objective(
    name: str, schedule: Schedule, settings: Sampling, corrected: Correction | None = None
) -> Objective:
    """The objective `name` with these sampling settings. Raises InputError as `build_objective` does."""
    return build_objective(name, schedule, settings.temperature, settings.pivots, settings.couplings, corrected)
