"""Do windows of a long piece agree? A data set in which the answer is known, with its exact denoiser.

    python -m benchmarks seams            (seconds; no checkpoint)

Data: one of six pitches, held for eight bars, all equally likely; so a piece in which every window is likely has one
pitch throughout. The denoiser is E[x0 | x] by Bayes' rule. Counted: changes of pitch in a piece of 24 bars, mean over
seeds, and how many of them fall on the edge of a window.
"""

import torch
from torch import Tensor

from benchmarks.harness import parser, show
from diffbgm.diffusion.longform import HOPS, METHODS, Job, RowDenoise, plan
from diffbgm.diffusion.samplers import Sampler, build_sampler
from diffbgm.diffusion.schedule import Schedule, sqrt_linear
from diffbgm.evaluation.report import mean_of

STEPS = 384
SAMPLERS = {
    "ddpm 50": build_sampler("ddpm", 50, clip=[0, 1]),
    "ddim 20": build_sampler("ddim", 20, clip=[0, 1]),
    "dpm 20": build_sampler("dpm", 20, clip=[0, 1]),
    "dpm 20 sde": build_sampler("dpm", 20, sde=True, clip=[0, 1]),
}


def held_notes() -> Tensor:
    """(6, 2, 128, 128)"""
    rolls = torch.zeros(6, 2, 128, 128)
    rolls[torch.arange(6), 1, :, torch.arange(40, 100, 10)] = 1
    return rolls


def ideal(rolls: Tensor, schedule: Schedule) -> RowDenoise:
    """E[x0 | x] for data that are these rolls (N, 2, S, P), as eps."""
    flat = rolls.flatten(1)

    def denoise(x: Tensor, t: Tensor, rows: Tensor) -> Tensor:
        signal, noise = (part.flatten(1) for part in schedule.coefficients(t, x))
        likelihood = signal / noise**2 * (x.flatten(1) @ flat.T) - (signal / noise) ** 2 / 2 * flat.sum(1)
        return schedule.eps_from_x0((likelihood.softmax(1) @ flat).reshape(x.shape), x, t)

    return denoise


def changes(method: str, sampler: Sampler, schedule: Schedule, seeds: int) -> tuple[list[int], float]:
    """Changes of pitch in each piece, and of them all the share on window edges."""
    denoise, counts, edges = ideal(held_notes(), schedule), [], 0
    for seed in range(seeds):
        *_, final = METHODS[method](denoise, [Job(plan(STEPS, method), (seed,))], sampler, schedule)
        pitch = final.rolls[0][1].argmax(1)
        where = (pitch[1:] != pitch[:-1]).nonzero() + 1
        counts.append(len(where))
        edges += int((where % HOPS[method] == 0).sum())
    return counts, edges / max(sum(counts), 1)


def main() -> None:
    """Compose with every method and sampler, print."""
    given = parser(__doc__).parse_args()
    schedule, seeds, rows = sqrt_linear(), 2 if given.quick else 20, []
    for method in METHODS:
        for name, sampler in SAMPLERS.items():
            counts, share = changes(method, sampler, schedule, seeds)
            rows.append({"method": method, "sampler": name, "changes": mean_of(counts), "at edges": share})
    show("seams", rows, seeds=seeds)
