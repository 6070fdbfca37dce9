"""Samplers equal diffusers' schedulers, are exact with a perfect denoiser, and have one random stream per row."""

import math
from collections.abc import Callable
from pathlib import Path

import diffusers
import hydra
import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor

from diffbgm.diffusion.guidance import guided
from diffbgm.diffusion.samplers import Sampler, SeededNoise, build_sampler, ddim, ddpm, default_sampler, dpm_solver_pp
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError

SCHEDULE = sqrt_linear()
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012, "num_train_timesteps": 1000}
SHAPE = (2, 2, 8, 8)
CLIPS = [None, (-1.0, 1.0)]
WALKS = [SCHEDULE.timesteps(n) for n in (4, 20)]
WALKS.append(SCHEDULE.timesteps(1000))


def bent(x, t):
    """A stand-in for a network: smooth, non-linear, and different at every t."""
    return 0.7 * x + 0.4 * torch.sin(3 * x + t.reshape(-1, 1, 1, 1) / 300)


def streams(seed=0):
    """The same random numbers twice: x at the start, our noise, the oracle's generator."""
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))
    ours, theirs = (torch.Generator().manual_seed(seed + 1) for _ in range(2))
    return x, lambda: torch.randn(SHAPE, generator=ours), theirs


def follow(walk, states, oracle_step, x):
    """Largest difference to the oracle's trajectory over all steps, relative to its largest value."""
    worst = 0.0
    for (step, t), state in zip(enumerate(walk), states, strict=True):
        x = oracle_step(bent(x, torch.full((len(x),), t)), t, x)
        assert (state.step, state.t) == (step, t)
        worst = max(worst, ((state.x - x).abs().max() / x.abs().max()).item())
    return worst


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{len(walk)}to{walk[-1]}")
def test_ddpm_is_diffusers(walk, clip):
    oracle = diffusers.DDPMScheduler(**BETAS, clip_sample=clip is not None, clip_sample_range=1.0)
    oracle.set_timesteps(timesteps=walk)
    x, noise, generator = streams()
    states = ddpm(bent, x, SCHEDULE, walk, noise, clip)
    worst = follow(walk, states, lambda eps, t, x: oracle.step(eps, t, x, generator=generator).prev_sample, x)
    assert worst < 5e-5


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{len(walk)}to{walk[-1]}")
def test_ddim_is_diffusers(walk, eta, clip):
    oracle = diffusers.DDIMScheduler(
        **BETAS, clip_sample=clip is not None, clip_sample_range=1.0, set_alpha_to_one=True
    )
    oracle.set_timesteps(1)
    following = dict(zip(walk, [*walk[1:], -1], strict=True))

    def oracle_step(eps, t, x):
        # The oracle's step leads from t to t - num_train_timesteps // num_inference_steps: say how far.
        oracle.register_to_config(num_train_timesteps=t - following[t])
        return oracle.step(
            eps, t, x, eta=eta, use_clipped_model_output=clip is not None, generator=generator
        ).prev_sample

    x, noise, generator = streams()
    assert follow(walk, ddim(bent, x, SCHEDULE, walk, noise, clip, eta=eta), oracle_step, x) < 5e-5


@pytest.mark.parametrize("sde", [False, True])
@pytest.mark.parametrize("walk", WALKS, ids=lambda walk: f"{len(walk)}to{walk[-1]}")
def test_dpm_solver_is_diffusers(walk, sde):
    oracle = diffusers.DPMSolverMultistepScheduler(
        **BETAS, algorithm_type="sde-dpmsolver++" if sde else "dpmsolver++", solver_order=2, final_sigmas_type="zero"
    )
    oracle.set_timesteps(timesteps=walk)
    x, noise, generator = streams()
    states = dpm_solver_pp(bent, x, SCHEDULE, walk, noise, sde=sde)
    worst = follow(walk, states, lambda eps, t, x: oracle.step(eps, t, x, generator=generator).prev_sample, x)
    assert worst < 2e-4  # float32 over up to a thousand steps: under 5e-5 on one CPU, 8e-5 on another


def test_clipped_dpm_solver_is_diffusers_fed_with_clipped_x0():
    oracle = diffusers.DPMSolverMultistepScheduler(**BETAS, solver_order=2, prediction_type="sample")
    walk = WALKS[1]
    oracle.set_timesteps(timesteps=walk)
    x, noise, _ = streams()

    def oracle_step(eps, t, x):
        x0 = SCHEDULE.x0_from_eps(eps, x, torch.full((len(x),), t)).clamp(0, 1)
        return oracle.step(x0, t, x).prev_sample

    assert follow(walk, dpm_solver_pp(bent, x, SCHEDULE, walk, noise, (0, 1)), oracle_step, x) < 5e-5


ALL = [("ddpm", {}), ("ddim", {}), ("ddim", {"eta": 1.0}), ("dpm", {}), ("dpm", {"sde": True})]


@pytest.mark.parametrize("steps", [1, 2, 7, 50, 1000])
@pytest.mark.parametrize(("name", "options"), ALL)
def test_a_perfect_oracle_gives_x0_back(name, options, steps):
    x0 = (torch.rand(SHAPE, generator=torch.Generator().manual_seed(3)) < 0.1).float()
    noise = SeededNoise([(0,), (1,)], SHAPE[1:])
    walk = build_sampler(name, steps, **options)
    states = list(walk(lambda x, t: SCHEDULE.eps_from_x0(x0, x, t), noise(), SCHEDULE, noise))
    assert len(states) == steps
    assert (states[-1].x0 - x0).abs().max() < 1e-5
    assert (states[-1].x - x0).abs().max() < 1e-5


@pytest.mark.parametrize(("name", "options"), ALL)
def test_gaussian_data_keeps_its_variance(name, options):
    """Data N(0, 0.25) has the exact denoiser eps = sqrt(1 - bar) x / (0.25 bar + 1 - bar); samples have its std."""

    def denoise(x, t):
        bar = SCHEDULE.level(int(t[0]))
        return math.sqrt(1 - bar) / (0.25 * bar + 1 - bar) * x

    noise = SeededNoise([(5,)], (20_000,))
    *_, last = build_sampler(name, 1000, **options)(denoise, noise(), SCHEDULE, noise)
    assert last.x.std().item() == pytest.approx(0.5, rel=0.02)
    assert abs(last.x.mean().item()) < 0.015


def test_the_posterior_is_bayes_rule_for_a_long_step():
    """p(x_s | x_t, x_0) is p(x_s | x_0) p(x_t | x_s), both Gaussian: precisions add, means weigh by precision."""
    t, s, x0, x_t = 700, 400, 0.8, -0.3
    bar_t, bar_s = SCHEDULE.level(t), SCHEDULE.level(s)
    ratio = bar_t / bar_s
    precision = 1 / (1 - bar_s) + ratio / (1 - ratio)
    mean = (math.sqrt(bar_s) * x0 / (1 - bar_s) + math.sqrt(ratio) * x_t / (1 - ratio)) / precision
    step = {}
    for z in (0.0, 1.0):
        x = torch.tensor([[x_t]])
        states = ddpm(
            lambda x, t: SCHEDULE.eps_from_x0(torch.tensor([[x0]]), x, t),
            x,
            SCHEDULE,
            [t, s],
            lambda z=z: torch.tensor([[z]]),
        )
        step[z] = next(iter(states)).x.item()
    assert step[0.0] == pytest.approx(mean, abs=1e-6)
    assert step[1.0] - step[0.0] == pytest.approx(precision**-0.5, abs=1e-6)


def test_ddim_with_eta_one_is_ddpm():
    for walk in WALKS[:4]:
        x, noise, _ = streams()
        left = list(ddpm(bent, x, SCHEDULE, walk, noise))
        x, noise, _ = streams()
        right = list(ddim(bent, x, SCHEDULE, walk, noise, eta=1.0))
        for a, b in zip(left, right, strict=True):
            torch.testing.assert_close(a.x, b.x, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("name", "options"), ALL)
def test_clip_holds_x0_in_its_range(name, options):
    noise = SeededNoise([(0,)], SHAPE[1:])
    for state in build_sampler(name, 10, clip=[0, 1], **options)(bent, noise(), SCHEDULE, noise):
        assert state.x0.min() >= 0
        assert state.x0.max() <= 1


@pytest.mark.parametrize(("name", "options"), ALL)
def test_a_row_does_not_depend_on_the_others(name, options):
    def sample(seeds):
        noise = SeededNoise(seeds, SHAPE[1:])
        *_, last = build_sampler(name, 8, **options)(bent, noise(), SCHEDULE, noise)
        return last.x0

    alone = sample([(4, 1)])
    torch.testing.assert_close(sample([(0,), (4, 1), (7, 7, 7)])[1:2], alone, atol=0, rtol=0)
    assert not torch.equal(sample([(4, 2)]), alone)


def test_seeded_noise_has_one_stream_a_row():
    pair, alone = SeededNoise([(1, 2), (2, 1)], (3, 4)), SeededNoise([(2, 1)], (3, 4))
    for _ in range(3):
        assert torch.equal(pair()[1], alone()[0])
    different = {float(SeededNoise([seed], (1,))()) for seed in [(1, 2), (2, 1), (1, 2, 0), (12,), (1,), (0, 1)]}
    assert len(different) == 6


def test_seeds_mean_the_same_numbers_for_ever():
    """A change of these numbers changes the music of every seed and belongs in the changelog."""
    first = SeededNoise([(0, 1)], (3,))().flatten().tolist()
    assert first == pytest.approx([-1.7766931, 0.4967054, 0.5916218], abs=1e-6)


@pytest.mark.parametrize("name", ["ddpm", "ddim", "dpm"])
def test_every_config_builds_its_sampler(name):
    config = OmegaConf.load(Path(__file__).parents[1] / "configs" / "sampler" / f"{name}.yaml")
    sampler = hydra.utils.instantiate(config)
    assert isinstance(sampler, Sampler)
    assert sampler.name == name
    assert sampler.clip == (0.0, 1.0)
    assert 200 in sampler.timesteps(SCHEDULE)
    assert sampler.steps == {"ddpm": 1000, "ddim": 50, "dpm": 10}[name]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "euler", "steps": 10}, "sampler.name is 'euler'; give one of ddpm, ddim, dpm"),
        ({"name": "ddim", "steps": 0}, "sampler.steps is 0"),
        ({"name": "ddim", "steps": 10, "eta": 1.5}, "sampler.eta is 1.5"),
        ({"name": "dpm", "steps": 10, "spacing": "even"}, "sampler.spacing is 'even'; give one of trailing"),
        ({"name": "ddim", "steps": 10, "clip": [1, 0]}, r"sampler.clip is \[1, 0\]"),
    ],
)
def test_impossible_settings_are_named(arguments, message):
    with pytest.raises(InputError, match=message):
        build_sampler(**arguments)


def test_the_releases_sampler_is_its_formulas_at_every_step() -> None:
    """999 steps with the same noise, beside the posterior of Ho et al. 2020 (eq. 6, 7 and 15) written out."""
    torch.manual_seed(0)
    layer = torch.nn.Conv2d(3, 2, 3, padding=1).double()
    schedule, sampler = sqrt_linear(), default_sampler("release")
    assert sampler.timesteps(schedule) == list(range(998, -1, -1))

    def network(x: Tensor, t: Tensor) -> Tensor:
        """Bounded, of x, t and a condition, which is -1 in the second half of a guided batch."""
        told = torch.ones(len(x), 1, *x.shape[2:], dtype=x.dtype)
        told[len(x) // 2 :] = -1 if len(x) > 1 else 1
        return torch.tanh(layer(torch.cat([x, told], 1))) * (1 + t.double()[:, None, None, None] / 1000)

    def noises() -> Callable[[], Tensor]:
        generator = torch.Generator().manual_seed(1)
        return lambda: torch.randn(1, 2, 8, 8, generator=generator, dtype=torch.float64)

    beta, bar = schedule.beta, schedule.alpha_bar
    before = torch.cat([torch.ones(1, dtype=torch.float64), bar[:-1]])
    theirs, noise = noises(), noises()
    x = (1 - bar[999]).sqrt() * theirs()
    worst = 0.0
    with torch.no_grad():
        walk = sampler(guided(network, 5.0), noise(), schedule, noise)
        for t, state in zip(range(998, -1, -1), walk, strict=True):
            with_it, without = network(torch.cat([x, x]), torch.tensor([t, t])).chunk(2)
            eps = without + 5 * (with_it - without)
            x0 = x / bar[t].sqrt() - (1 / bar[t] - 1).sqrt() * eps
            mean = beta[t] * before[t].sqrt() / (1 - bar[t]) * x0
            mean = mean + (1 - before[t]) * (1 - beta[t]).sqrt() / (1 - bar[t]) * x
            variance = beta[t] * (1 - before[t]) / (1 - bar[t])
            x = mean + variance.sqrt() * theirs() if t else mean
            worst = max(worst, float((x - state.x).abs().max()), float((x0 - state.x0).abs().max() / x0.abs().max()))
    assert worst < 1e-5
