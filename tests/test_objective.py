"""Losses compared with their definitions, and the conversion of predictions to eps."""

import math

import pytest
import torch
from torch.nn import functional as F

from diffbgm.diffusion.objective import OBJECTIVES, PIVOTS, build_objective
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError

SCHEDULE = sqrt_linear()
T = torch.tensor([3, 200, 999])


def loss(objective, prediction, x0, eps, t=T):
    return objective.loss(prediction, x0, eps, SCHEDULE.q_sample(x0, t, eps), t)


@pytest.fixture
def sample():
    """x0, eps and x_t of three rows."""
    generator = torch.Generator().manual_seed(0)
    x0 = (torch.rand(3, 2, 8, 16, generator=generator) < 0.2).float()
    eps = torch.randn(3, 2, 8, 16, generator=generator)
    return x0, eps, SCHEDULE.q_sample(x0, T, eps)


def true_prediction(name, x0, eps):
    """The output of a perfect network."""
    return {
        "eps": eps,
        "x0_logits": (x0 - 0.5) * 60,
        "x0_posterior": (x0 - 0.5) * 2000,
    }[name]


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_right_prediction_costs_nothing_and_gives_eps(name, sample):
    x0, eps, x = sample
    objective = build_objective(name, SCHEDULE)
    prediction = true_prediction(name, x0, eps)
    assert loss(objective, prediction, x0, eps).shape == (3,)
    assert loss(objective, prediction, x0, eps).max() < 1e-10
    assert (objective.eps(prediction, x, T) - eps).abs().max() < 1e-4


def test_eps_loss_is_the_mean_square_per_sample(sample):
    x0, eps, _ = sample
    off = eps.clone()
    off[1] += 3.0
    off[2, 0] += 2.0  # half of the cells
    torch.testing.assert_close(
        loss(build_objective("eps", SCHEDULE), off, x0, eps), torch.tensor([0.0, 9.0, 2.0]), atol=1e-5, rtol=1e-5
    )


def test_x0_logits_loss_is_torchs_cross_entropy(sample):
    x0, eps, _ = sample
    logits = torch.randn(3, 2, 8, 16, generator=torch.Generator().manual_seed(1))
    objective = build_objective("x0_logits", SCHEDULE)
    expected = torch.stack([F.binary_cross_entropy(p.sigmoid(), y) for p, y in zip(logits, x0, strict=True)])
    torch.testing.assert_close(loss(objective, logits, x0, eps), expected)
    undecided = loss(objective, torch.zeros_like(x0), x0, eps)
    torch.testing.assert_close(undecided, torch.full((3,), math.log(2)))


def test_x0_logits_imply_the_noise_around_their_probabilities(sample):
    x0, _, x = sample
    logits = torch.logit(0.25 + 0.5 * x0)
    eps = build_objective("x0_logits", SCHEDULE).eps(logits, x, T)
    torch.testing.assert_close(SCHEDULE.x0_from_eps(eps, x, T), 0.25 + 0.5 * x0, atol=1e-5, rtol=0)


def test_x0_posterior_is_bayes_rule_for_a_cell(sample):
    """With the prior's log-odds for a prediction, x0 is the posterior probability of normal densities."""
    _, _, x = sample
    prior = 0.1
    signal, noise = SCHEDULE.coefficients(T, x)
    on, off = (torch.distributions.Normal(mean, noise).log_prob(x).double().exp() for mean in (signal, 0 * signal))
    expected = prior * on / (prior * on + (1 - prior) * off)
    objective = build_objective("x0_posterior", SCHEDULE)
    eps = objective.eps(torch.full_like(x, math.log(prior / (1 - prior))), x, T)
    far = T.argmax()  # elsewhere both densities may underflow
    torch.testing.assert_close(SCHEDULE.x0_from_eps(eps, x, T)[far], expected[far].float(), atol=1e-4, rtol=1e-3)


def test_x0_posterior_needs_no_network_where_there_is_no_noise(sample):
    x0, eps, _ = sample
    t = torch.zeros(3, dtype=torch.long)
    assert loss(build_objective("x0_posterior", SCHEDULE), torch.zeros_like(x0), x0, eps, t).max() < 1e-10


def test_a_temperature_moves_what_the_network_says_away_from_the_pivot(sample):
    """At 0.5, log-odds are twice as far from the pivot's; the evidence of the cell itself is unchanged."""
    _, _, x = sample
    pivot = torch.logit(torch.tensor(PIVOTS)).reshape(2, 1, 1)
    prediction = pivot + torch.linspace(-3, 3, x.numel()).reshape(x.shape)
    cold, plain = build_objective("x0_posterior", SCHEDULE, 0.5), build_objective("x0_posterior", SCHEDULE)
    torch.testing.assert_close(cold.eps(prediction, x, T), plain.eps(2 * prediction - pivot, x, T))
    assert build_objective("eps", SCHEDULE, 1.0) == build_objective("eps", SCHEDULE)
    assert torch.equal(*(loss(objective, prediction, *sample[:2]) for objective in (cold, plain)))


def test_pivots_of_a_checkpoint_serve_all_planes():
    """Two numbers, of onsets and sustains, for two planes or for four; what is at the pivot stays as it is."""
    pivots = (0.1, 0.35)
    x = torch.rand(2, 4, 8, 8)
    t = torch.full((2,), 300)
    prediction = torch.logit(torch.tensor(2 * pivots)).reshape(4, 1, 1).expand_as(x)
    cold, plain = build_objective("x0_posterior", SCHEDULE, 0.5, pivots), build_objective("x0_posterior", SCHEDULE)
    torch.testing.assert_close(cold.eps(prediction, x, t), plain.eps(prediction, x, t))
    four = build_objective("x0_posterior", SCHEDULE, 0.5, 2 * pivots)
    assert torch.equal(four.eps(prediction, x, t), cold.eps(prediction, x, t))
    merged = build_objective("x0_posterior", SCHEDULE, 0.5, (0.3, 0.3, *pivots))
    assert torch.equal(merged.eps(prediction[:, :2], x[:, :2], t), cold.eps(prediction[:, :2], x[:, :2], t))
    with pytest.raises(InputError, match="pivots are 3 numbers"):
        build_objective("x0_posterior", SCHEDULE, 0.5, (0.1, 0.2, 0.3))
    usual = build_objective("x0_posterior", SCHEDULE, 0.5)
    assert not torch.allclose(usual.eps(prediction, x, t), plain.eps(prediction, x, t))


@pytest.mark.parametrize(("name", "value", "message"), [("x0_posterior", 0.0, "above 0"), ("eps", 0.8, "x0_posterior")])
def test_a_temperature_that_makes_no_sense_is_refused(name, value, message):
    with pytest.raises(InputError, match=message):
        build_objective(name, SCHEDULE, value)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_half_precision_predictions_are_judged_in_float32(name, sample):
    x0, eps, x = sample
    objective = build_objective(name, SCHEDULE)
    prediction = true_prediction(name, x0, eps).bfloat16()
    assert loss(objective, prediction, x0, eps).dtype == torch.float32
    assert objective.eps(prediction, x, T).dtype == torch.float32


@pytest.mark.parametrize("name", OBJECTIVES)
def test_the_loss_has_a_gradient(name, sample):
    x0, eps, _ = sample
    prediction = torch.zeros_like(x0, requires_grad=True)
    loss(build_objective(name, SCHEDULE), prediction, x0, eps).mean().backward()
    assert prediction.grad is not None
    assert prediction.grad.abs().sum() > 0


def test_an_unknown_objective_is_named():
    with pytest.raises(InputError, match="objective is 'mse'; give one of eps, x0_logits, x0_posterior"):
        build_objective("mse", SCHEDULE)
