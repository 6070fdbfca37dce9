"""The schedule compared with the release's values and with closed forms, and its timesteps."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError

GOLDEN = json.loads((Path(__file__).parent / "golden" / "schedule.json").read_text())
SCHEDULE = sqrt_linear()


def test_the_numbers_are_the_releases():
    for t, (beta, alpha_bar) in GOLDEN.items():
        assert float(SCHEDULE.beta[int(t)]) == pytest.approx(beta, rel=1e-6)
        assert float(SCHEDULE.alpha_bar[int(t)]) == pytest.approx(alpha_bar, rel=3e-5)  # theirs: a product in float32


def test_the_numbers_are_the_papers():
    assert [round(SCHEDULE.level(t), 4) for t in (0, 200, 999)] == [0.9991, 0.7537, 0.0047]
    assert SCHEDULE.level(None) == 1.0
    assert len(SCHEDULE) == 1000


def test_alpha_bar_is_the_product_of_what_each_step_keeps():
    beta = np.linspace(0.1**0.5, 0.3**0.5, 4) ** 2
    schedule = sqrt_linear(4, 0.1, 0.3)
    np.testing.assert_allclose(schedule.alpha_bar.numpy(), np.cumprod(1 - beta), rtol=1e-14)
    assert schedule.alpha_bar.dtype == torch.float64


def test_a_roll_scale_is_the_same_as_larger_rolls():
    """x_t of a roll times s, divided by what brings its noise to sqrt(1 - alpha_bar) of the shifted schedule."""
    scale, shifted = 2.0, sqrt_linear(roll_scale=2.0)
    np.testing.assert_allclose(shifted.alpha_bar.numpy(), torch.cumprod(1 - shifted.beta, 0).numpy(), rtol=1e-12)
    x0, eps = torch.rand(3, 2, 4, 4), torch.randn(3, 2, 4, 4)
    t = torch.tensor([0, 200, 999])
    signal, noise = SCHEDULE.coefficients(t, x0)
    plain = SCHEDULE.q_sample(scale * x0, t, eps)
    torch.testing.assert_close(
        shifted.q_sample(x0, t, eps), plain / torch.sqrt(noise**2 + scale**2 * signal**2), atol=1e-6, rtol=1e-5
    )


def test_q_sample_is_the_closed_form_for_each_row():
    x0, eps = torch.ones(3, 2, 4, 4), torch.full((3, 2, 4, 4), 2.0)
    x = SCHEDULE.q_sample(x0, torch.tensor([0, 200, 999]), eps)
    for row, t in zip(x, (0, 200, 999), strict=True):
        bar = SCHEDULE.level(t)
        torch.testing.assert_close(row, torch.full((2, 4, 4), bar**0.5 + 2 * (1 - bar) ** 0.5))


def test_one_jump_equals_many_small_steps():
    """q(x_t | x_0) is what composing q(x_t | x_{t-1}) gives: the same mean factor and the same variance."""
    factor, variance = 1.0, 0.0
    for beta in SCHEDULE.beta[:301].tolist():
        factor, variance = factor * (1 - beta) ** 0.5, variance * (1 - beta) + beta
    signal, noise = SCHEDULE.coefficients(torch.tensor([300]), torch.zeros(1, 1))
    assert signal.item() == pytest.approx(factor, rel=1e-6)
    assert noise.item() ** 2 == pytest.approx(variance, rel=1e-6)


@pytest.mark.parametrize("t", [0, 200, 999])
def test_x0_and_eps_convert_into_each_other(t):
    generator = torch.Generator().manual_seed(t)
    x0 = (torch.rand(2, 2, 16, 16, generator=generator) < 0.1).float()
    eps = torch.randn(2, 2, 16, 16, generator=generator)
    steps = torch.full((2,), t)
    x = SCHEDULE.q_sample(x0, steps, eps)
    assert x.dtype == torch.float32
    assert (SCHEDULE.x0_from_eps(eps, x, steps) - x0).abs().max() < 1e-4
    assert (SCHEDULE.eps_from_x0(x0, x, steps) - eps).abs().max() < 1e-4
    back = SCHEDULE.x0_from_eps(SCHEDULE.eps_from_x0(x0, x, steps), x, steps)
    assert (back - x0).abs().max() < 1e-5


def test_every_walk_falls_from_the_top_through_the_switch():
    for steps in range(1, 1001):
        walk = SCHEDULE.timesteps(steps)
        assert len(walk) == steps
        assert walk[0] == 999
        assert steps == 1 or 200 in walk
        assert all(a > b for a, b in itertools.pairwise(walk))
        assert walk[-1] >= 0
    assert walk == list(range(999, -1, -1))


def test_known_walks():
    assert SCHEDULE.timesteps(5) == [999, 799, 599, 399, 200]
    assert SCHEDULE.timesteps(10) == [999, 899, 799, 699, 599, 499, 399, 299, 200, 99]
    assert SCHEDULE.timesteps(5, through=()) == [999, 799, 599, 399, 199]
    assert SCHEDULE.timesteps(4, through=(600, 400)) == [999, 749, 600, 400]
    assert SCHEDULE.timesteps(2, through=(700, 300)) == [999, 700]  # room for one of them


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"steps": 0}, "sampler.steps is 0; give a number from 1 to 1000"),
        ({"steps": 1001}, "sampler.steps is 1001"),
        ({"steps": 10, "through": (1000,)}, "sampler.through holds 1000"),
    ],
)
def test_impossible_walks_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        SCHEDULE.timesteps(**arguments)
