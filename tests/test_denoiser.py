"""The denoiser, between network and samplers: guidance, rows and precision."""

import pytest
import torch

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.network import build_network


def make_setting(**unet):
    torch.manual_seed(0)
    network = build_network(
        {
            "unet": {
                "channels": 32,
                "attention_levels": [1],
                "n_res_blocks": 1,
                "channel_multipliers": [1, 1],
                "n_heads": 2,
                "d_cond": 32,
                "pack": [4, 4],
                "beat_condition": True,
                **unet,
            },
            "conditioner": {"visual_width": 9, "language_width": 12, "selector": {"strategy": "language_video"}},
        }
    ).eval()
    for parameter in network.parameters():  # zero-initialised layers would hide the condition
        torch.nn.init.normal_(parameter, std=0.05)
    condition = Condition(
        torch.rand(3, 32, 9), torch.rand(3, 32, 12), torch.ones(3, 32, dtype=torch.bool), torch.full((3,), 8)
    )
    with torch.no_grad():
        return network, network.encode(condition), torch.randn(3, 2, 128, 128), torch.tensor([900, 300, 20])


@pytest.fixture(scope="module")
def setting():
    return make_setting()


@pytest.mark.parametrize("name", ["eps", "x0_logits", "x0_posterior"])
def test_guidance_is_linear_in_the_prediction(setting, name):
    network, encoded, x, t = setting
    objective = build_objective(name, sqrt_linear())
    with torch.no_grad():
        conditional = network(x, t, encoded)
        unconditional = network(x, t, network.conditioner.null(encoded))
    assert (conditional - unconditional).abs().max() > 1e-3
    expected = objective.eps(unconditional + 3.0 * (conditional - unconditional), x, t)
    torch.testing.assert_close(
        Denoiser(network, objective).conditioned(encoded, 3.0)(x, t), expected, atol=1e-4, rtol=1e-4
    )


def test_rows_choose_their_own_condition(setting):
    network, encoded, x, t = setting
    denoise = Denoiser(network, build_objective("eps", sqrt_linear())).conditioned(encoded, 2.0)
    whole = denoise(x, t)
    rows = torch.tensor([2, 0])
    torch.testing.assert_close(denoise(x[rows], t[rows], rows), whole[rows], atol=1e-5, rtol=1e-4)


def test_guided_x0_logits_stay_probabilities(setting):
    network, encoded, x, t = setting
    schedule = sqrt_linear()
    eps = Denoiser(network, build_objective("x0_logits", schedule)).conditioned(encoded, 20.0)(x, t)
    x0 = schedule.x0_from_eps(eps, x, t)
    assert x0.min() > -1e-3
    assert x0.max() < 1 + 1e-3


def test_autocast_changes_the_arithmetic_but_not_the_type(setting):
    network, encoded, x, t = setting
    objective = build_objective("eps", sqrt_linear())
    full = Denoiser(network, objective).conditioned(encoded)(x, t)
    half = Denoiser(network, objective).conditioned(encoded, dtype=torch.bfloat16)(x, t)
    assert half.dtype == torch.float32
    assert not torch.equal(full, half)
    torch.testing.assert_close(full, half, atol=0.05, rtol=0.1)


def test_an_autocast_around_it_stays_in_force(setting):
    network, encoded, x, t = setting
    denoise = Denoiser(network, build_objective("eps", sqrt_linear())).conditioned(encoded, 2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = denoise(x, t)
    assert around.dtype == torch.float32
    inside = Denoiser(network, build_objective("eps", sqrt_linear())).conditioned(encoded, 2.0, dtype=torch.bfloat16)(
        x, t
    )
    torch.testing.assert_close(around, inside)


def test_self_condition_shows_each_row_its_own_last_x0():
    """The second call sees what the first one made of its row; with guidance both halves see the guided one."""
    network, encoded, x, t = make_setting(self_condition=True)
    objective = build_objective("x0_posterior", sqrt_linear())
    denoise = Denoiser(network, objective).conditioned(encoded, 2.0)
    rows = torch.tensor([2, 0])
    first = denoise(x[rows], t[rows], rows)
    torch.testing.assert_close(
        first, Denoiser(network, objective).conditioned(encoded, 2.0)(x, t)[rows], atol=1e-5, rtol=1e-4
    )  # a fresh walk knows nothing
    second = denoise(x, t - 10)
    estimate = torch.zeros_like(x)
    estimate[rows] = objective.schedule.x0_from_eps(first, x[rows], t[rows]).clamp(0, 1)
    with torch.no_grad():
        null = network.conditioner.null(encoded)
        with_it, without = (network(x, t - 10, given, estimate=estimate) for given in (encoded, null))
    expected = objective.eps(without + 2.0 * (with_it - without), x, t - 10)
    torch.testing.assert_close(second, expected, atol=1e-4, rtol=1e-4)
    assert (second[0] - Denoiser(network, objective).conditioned(encoded, 2.0)(x, t - 10)[0]).abs().max() > 1e-4


def test_the_loss_is_the_objectives_of_the_same_noisy_roll(setting):
    network, encoded, x0, t = setting
    objective, eps = build_objective("eps", sqrt_linear()), torch.randn_like(x0)
    drop = torch.tensor([True, False, False])
    with torch.no_grad():
        found = Denoiser(network, objective).loss(x0, eps, t, encoded, drop)
        prediction = network(objective.schedule.q_sample(x0, t, eps), t, encoded, drop)
    torch.testing.assert_close(found, (prediction - eps).square().flatten(1).mean(1))


def test_looking_twice_shows_the_network_its_first_answer():
    network, encoded, x0, t = make_setting(self_condition=True)
    objective, eps = build_objective("x0_posterior", sqrt_linear()), torch.randn_like(x0)
    denoiser = Denoiser(network, objective)
    x = objective.schedule.q_sample(x0, t, eps)
    with torch.no_grad():
        guess = objective.schedule.x0_from_eps(objective.eps(network(x, t, encoded), x, t), x, t).clamp(0, 1)
        expected = objective.loss(network(x, t, encoded, estimate=guess), x0, eps, x, t)
        torch.testing.assert_close(denoiser.loss(x0, eps, t, encoded, twice=True), expected)
        assert (denoiser.loss(x0, eps, t, encoded) - expected).abs().max() > 1e-6
