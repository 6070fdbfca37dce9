"""Denoisers that are ideal for a tiny data set, or simple, and the rolls and samplers that they are tested with."""

import torch

from diffbgm.diffusion.samplers import build_sampler
from diffbgm.diffusion.schedule import sqrt_linear

SCHEDULE = sqrt_linear()
SAMPLERS = [("ddpm", {}), ("ddim", {}), ("ddim", {"eta": 1.0}), ("dpm", {}), ("dpm", {"sde": True})]
DDIM = build_sampler("ddim", 6, eta=1.0, clip=[0, 1])


def random_roll(seed, steps=128):
    """(2, steps, P) with a tenth of the cells filled."""
    return (torch.rand(2, steps, 128, generator=torch.Generator().manual_seed(seed)) < 0.1).float()


def ideal(rolls):
    """The exact denoiser E[x0 | x] for data that are these rolls (N, 2, S, P), equally likely (Bayes' rule)."""
    flat = rolls.flatten(1)

    def denoise(x, t, rows=None):
        signal, noise = SCHEDULE.coefficients(t, x)
        scaled = (x / noise**2 * signal).flatten(1) @ flat.T - (signal / noise).flatten(1) ** 2 / 2 * flat.sum(1)
        return SCHEDULE.eps_from_x0((scaled.softmax(1) @ flat).reshape(x.shape), x, t)

    return denoise


def simple(x, t, rows):
    """Differs for every row, t and cell."""
    phase = rows.reshape(-1, 1, 1, 1) + t.reshape(-1, 1, 1, 1) / 300 + torch.arange(x.shape[2])[:, None] / 7
    return 0.6 * x + 0.4 * torch.sin(2 * x + phase)


def last(progress):
    """The rolls of the last state."""
    *_, final = progress
    return final.rolls
