"""Samplers: short generators from noise to music that share one interface, denoise(x, t) -> eps.

Every step calls the network once and yields a `State`; the x0 of the last state is the sample. Progress bars, pictures
and early exit are up to the caller. Randomness comes from `noise`, a callable that is called once in every step that
needs it. A `Sampler` is one of the generators with its settings from configs/sampler/.

Shape legend: B batch (rows), ... the shape of one sample (C, S, P).
In the formulas t is the timestep of x and s the next timestep; alpha_bar after the last one is 1.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from diffbgm.diffusion.schedule import Schedule
from diffbgm.errors import InputError
from diffbgm.fields import check

Denoise = Callable[[Tensor, Tensor], Tensor]  # x (B, ...), t (B,) long -> eps (B, ...)
Noise = Callable[[], Tensor]  # standard normal numbers of the shape of x
Clip = tuple[float, float] | None  # range to which x0 is clipped

SPACINGS = ("trailing",)  # ways to spread the timesteps; Schedule.timesteps knows this one


@dataclass(frozen=True)
class State:
    """The state of sampling after a step."""

    step: int  # 0, 1, ...
    t: int  # the timestep at which the network was called
    x: Tensor  # (B, ...) the next, less noisy x
    x0: Tensor  # (B, ...) the clean sample as predicted at t


def ddpm(
    denoise: Denoise, x: Tensor, schedule: Schedule, timesteps: Sequence[int], noise: Noise, clip: Clip = None
) -> Iterator[State]:
    """Ancestral sampling from the exact posterior q(x_s | x_t, x_0) (Ho et al. 2020, eq. 6 and 7).

    With alpha_bar_t / alpha_bar_s in place of alpha_t it holds for any descending timesteps, not only for neighbouring
    ones.
    """
    for step, (t, s) in enumerate(_walk(timesteps)):
        bar_t, bar_s = schedule.level(t), schedule.level(s)
        x0, _ = _predict(denoise, x, t, bar_t, clip)
        ratio = bar_t / bar_s
        weight_x0 = math.sqrt(bar_s) * (1 - ratio) / (1 - bar_t)
        weight_x = math.sqrt(ratio) * (1 - bar_s) / (1 - bar_t)
        x = weight_x0 * x0 + weight_x * x
        if s is not None:
            x = x + math.sqrt((1 - bar_s) / (1 - bar_t) * (1 - ratio)) * noise().to(x)
        yield State(step, t, x, x0)


def ddim(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    noise: Noise,
    clip: Clip = None,
    eta: float = 0.0,
) -> Iterator[State]:
    """DDIM (Song et al. 2021, eq. 12 and 16): eta 0 is deterministic, eta 1 has the posterior's variance."""
    for step, (t, s) in enumerate(_walk(timesteps)):
        bar_t, bar_s = schedule.level(t), schedule.level(s)
        x0, eps = _predict(denoise, x, t, bar_t, clip)
        sigma = eta * math.sqrt((1 - bar_s) / (1 - bar_t) * (1 - bar_t / bar_s))
        x = math.sqrt(bar_s) * x0 + math.sqrt(1 - bar_s - sigma**2) * eps
        if sigma > 0:
            x = x + sigma * noise().to(x)
        yield State(step, t, x, x0)


def dpm_solver_pp(
    denoise: Denoise,
    x: Tensor,
    schedule: Schedule,
    timesteps: Sequence[int],
    noise: Noise,
    clip: Clip = None,
    sde: bool = False,
) -> Iterator[State]:
    """DPM-Solver++(2M) and, with `sde`, SDE-DPM-Solver++(2M) (Lu et al. 2022, algorithm 2 and appendix C, eq. 19).

    Second order, from the x0 of the previous step; the first step is first order, and the last one returns its x0.
    h is the increase of lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)) in a step.
    """
    earlier: tuple[Tensor, float] | None = None  # x0 and h of the previous step
    for step, (t, s) in enumerate(_walk(timesteps)):
        bar_t, bar_s = schedule.level(t), schedule.level(s)
        x0, _ = _predict(denoise, x, t, bar_t, clip)
        if s is None:
            yield State(step, t, x0, x0)
            return
        h = 0.5 * (math.log(bar_s / (1 - bar_s)) - math.log(bar_t / (1 - bar_t)))
        target = x0 if earlier is None else x0 + 0.5 * h / earlier[1] * (x0 - earlier[0])
        decay = math.exp(-2 * h) if sde else math.exp(-h)
        weight_x = math.sqrt((1 - bar_s) / (1 - bar_t)) * (math.exp(-h) if sde else 1.0)
        x = weight_x * x + math.sqrt(bar_s) * (1 - decay) * target
        if sde:
            x = x + math.sqrt((1 - bar_s) * (1 - decay)) * noise().to(x)
        earlier = x0, h
        yield State(step, t, x, x0)


class SeededNoise:
    """Standard normal numbers (rows, *shape) from one CPU generator per row.

    The numbers of a row depend only on its own seed, not on the rest of the batch or the device. `seeds` has one tuple
    of non-negative integers per row, e.g. (seed, piece, window).
    """

    def __init__(
        self, seeds: Sequence[tuple[int, ...]], shape: Sequence[int], device: torch.device | str | None = None
    ) -> None:
        self.shape = tuple(shape)
        self.device = device
        self.generators = [torch.Generator().manual_seed(_mixed(seed)) for seed in seeds]

    def __call__(self) -> Tensor:
        """The next numbers of every row."""
        return torch.stack([torch.randn(self.shape, generator=row) for row in self.generators]).to(self.device)


@dataclass(frozen=True)
class Sampler:
    """A generator with its settings: sampler(denoise, x, schedule, noise) -> Iterator[State]."""

    name: str
    steps: int
    eta: float = 0.0  # for ddim
    sde: bool = False  # for dpm
    spacing: str = SPACINGS[0]
    through: tuple[int, ...] = (200,)
    clip: Clip = None
    start: int | None = None  # the first timestep; None: the last one of the schedule
    initial: int | None = None  # the timestep whose noise level the initial noise has; None: variance 1
    guidance: float | None = None  # guidance scale published with the sampler; None: that of the checkpoint
    longform: str | None = None  # likewise
    tempo: float | None = None  # BPM, likewise

    def timesteps(self, schedule: Schedule) -> list[int]:
        """The timesteps at which the network is called, descending. Raises InputError if the schedule lacks them."""
        for name, step in (("start", self.start), ("initial", self.initial)):
            if step is not None and not 0 <= step < len(schedule):
                raise InputError(f"sampler.{name} is {step}; give a step from 0 to {len(schedule) - 1}.")
        return schedule.upto(self.start).timesteps(self.steps, self.through)

    def begin(self, x: Tensor, schedule: Schedule) -> Tensor:
        """The initial x of sampling, from noise x (B, ...) of variance 1."""
        return x if self.initial is None else math.sqrt(1 - schedule.level(self.initial)) * x

    def __call__(self, denoise: Denoise, x: Tensor, schedule: Schedule, noise: Noise) -> Iterator[State]:
        """Sample from noise x (B, ...) of variance 1."""
        extra: dict[str, dict[str, float]] = {"ddim": {"eta": self.eta}, "dpm": {"sde": self.sde}}
        x = self.begin(x, schedule)
        yield from SAMPLERS[self.name](
            denoise, x, schedule, self.timesteps(schedule), noise, self.clip, **extra.get(self.name, {})
        )


SAMPLERS: dict[str, Callable[..., Iterator[State]]] = {"ddpm": ddpm, "ddim": ddim, "dpm": dpm_solver_pp}


DEFAULT_SAMPLER = "dpm"
_USUAL: dict[str, dict[str, Any]] = {
    "ddpm": {"steps": 1000, "clip": (0.0, 1.0)},
    "ddim": {"steps": 50, "eta": 1.0, "clip": (0.0, 1.0)},
    "dpm": {"steps": 10, "sde": True, "clip": (0.0, 1.0)},
    "release": {  # what the authors' inference does, step by step (docs/evaluation.md)
        "name": "ddpm",
        "steps": 999,
        "through": (),
        "start": 998,
        "initial": 999,
        "guidance": 5.0,
        "longform": "independent",
        "tempo": 120.0,
    },
}


def default_sampler(name: str = DEFAULT_SAMPLER) -> "Sampler":
    """The sampler `name` with the settings of configs/sampler/NAME.yaml. Raises InputError for an unknown name."""
    return build_sampler(**{"name": name, "steps": 1, **_USUAL.get(name, {})})


def stored_sampler(stored: Any) -> "Sampler":
    """The sampler with the settings in a checkpoint (models.config.SamplerConfig); the default one for None."""
    return default_sampler() if stored is None else build_sampler(**vars(stored))


def changed_sampler(usual: "Sampler", changes: Mapping[str, Any]) -> "Sampler":
    """A sampler with some of its settings replaced. Raises InputError for an unknown or invalid setting."""
    return build_sampler(**vars(check(Sampler, {**vars(usual), **changes}, "sampler")))


def build_sampler(
    name: str,
    steps: int,
    eta: float = 0.0,
    sde: bool = False,
    spacing: str = SPACINGS[0],
    through: Sequence[int] = (200,),
    clip: Sequence[float] | None = None,
    start: int | None = None,
    initial: int | None = None,
    guidance: float | None = None,
    longform: str | None = None,
    tempo: float | None = None,
) -> Sampler:
    """A validated `Sampler`; the target of configs/sampler/*.yaml. Raises InputError for an invalid setting."""
    if name not in SAMPLERS:
        raise InputError(f"sampler.name is {name!r}; give one of {', '.join(SAMPLERS)}.")
    if type(steps) is not int or steps < 1:  # True is an int to isinstance
        raise InputError(f"sampler.steps is {steps}; give a whole number of at least 1.")
    if not isinstance(eta, int | float) or not 0 <= eta <= 1:
        raise InputError(f"sampler.eta is {eta}; give a number from 0 (deterministic) to 1.")
    if spacing not in SPACINGS:
        raise InputError(f"sampler.spacing is {spacing!r}; give one of {', '.join(SPACINGS)}.")
    if not _numbers(through) or not all(isinstance(stop, int) for stop in through):
        raise InputError(f"sampler.through is {through}; give timesteps to visit, such as [200].")
    if clip is not None and not (_numbers(clip) and len(clip) == 2 and clip[0] < clip[1]):
        raise InputError(f"sampler.clip is {clip}; give null or two ascending numbers such as [0, 1].")
    limits = None if clip is None else (float(clip[0]), float(clip[1]))
    return Sampler(name, steps, eta, sde, spacing, tuple(through), limits, start, initial, guidance, longform, tempo)


def _numbers(value: object) -> bool:
    """Whether a value from a config is a list of numbers."""
    return isinstance(value, Sequence) and all(isinstance(item, int | float) for item in value)


def _walk(timesteps: Sequence[int]) -> Iterator[tuple[int, int | None]]:
    """Each timestep with the next one; None follows the last."""
    return zip(timesteps, [*timesteps[1:], None], strict=True)


def _predict(denoise: Denoise, x: Tensor, t: int, bar_t: float, clip: Clip) -> tuple[Tensor, Tensor]:
    """x0 and eps predicted at x; if x0 is clipped, eps is recomputed from the clipped x0."""
    eps = denoise(x, torch.full((len(x),), t, dtype=torch.long, device=x.device))
    signal, sigma = math.sqrt(bar_t), math.sqrt(1 - bar_t)
    x0 = (x - sigma * eps) / signal
    if clip is not None:
        x0 = x0.clamp(*clip)
        eps = (x - signal * x0) / sigma
    return x0, eps


def _mixed(seed: tuple[int, ...]) -> int:
    """One 64-bit number from several, such that (1, 2), (2, 1) and (1, 2, 0) differ."""
    return int(np.random.SeedSequence([len(seed), *seed]).generate_state(1, np.uint64)[0])


def sample_number(seed: tuple[int, ...]) -> int:
    """A 31-bit number derived from `seed`, which identifies one sample."""
    return _mixed(seed) >> 33
