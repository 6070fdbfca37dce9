"""States recorded during sampling: x_t, the input of the network, and x0, its prediction."""

import pytest
import torch

from diffbgm.diffusion.longform import METHODS, Job, plan
from diffbgm.diffusion.samplers import SeededNoise, build_sampler, default_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.generation.states import StateRecorder

SCHEDULE = sqrt_linear()
SAMPLER = build_sampler("ddim", 6, eta=1.0, clip=[0, 1])
METHOD = "independent"


def bent(x: torch.Tensor, t: torch.Tensor, rows: torch.Tensor | None = None) -> torch.Tensor:
    return torch.sin(2 * x) + t.reshape(-1, 1, 1, 1) / 2000


def kept(wishes: list[int], method: str = METHOD) -> StateRecorder:
    recorder = StateRecorder(SAMPLER.timesteps(SCHEDULE), wishes)
    for progress in METHODS[method](bent, [Job(plan(128, method), (0,))], SAMPLER, SCHEDULE):
        recorder.see(progress)
    return recorder


@pytest.mark.parametrize("method", ["independent", "joint"])
def test_x_is_what_the_sampler_gave_the_step_before(method: str) -> None:
    """A piece of one window is one walk: its noise first, then each x in turn, and the finished roll at t = 0."""
    states = kept([*SAMPLER.timesteps(SCHEDULE), 0], method).states(0)
    assert states is not None
    assert states.t.tolist() == [*SAMPLER.timesteps(SCHEDULE), 0]
    first, noise = SeededNoise([(0, 0)], (2, 128, 128)), SeededNoise([(0, 0)], (2, 128, 128))
    walk = list(SAMPLER(bent, noise(), SCHEDULE, noise))
    xs = [first(), *(state.x for state in walk)]
    for k, state in enumerate(walk):
        torch.testing.assert_close(torch.from_numpy(states.x[k]), xs[k][0], atol=1e-4, rtol=0)
        torch.testing.assert_close(torch.from_numpy(states.x0[k]), state.x0[0], atol=1e-4, rtol=0)
    assert (states.x[-1] == states.x0[-1]).all()
    assert (states.x[-1] == states.x0[-2]).all()


def test_wishes_take_the_nearest_steps_and_noise_the_first() -> None:
    states = kept([1000, 410, 0]).states(0)
    assert states is not None
    steps = SAMPLER.timesteps(SCHEDULE)
    assert states.t.tolist() == [steps[0], min(steps, key=lambda t: abs(t - 410)), 0]
    assert states.x[0].std() == pytest.approx(1, abs=0.02)
    assert kept([]).states(0) is None


def test_the_releases_walk_begins_at_the_noise_level_of_its_last_step() -> None:
    sampler = default_sampler("release")
    x = torch.ones(1, 2, 4, 4)
    assert sampler.begin(x, SCHEDULE)[0, 0, 0, 0] == pytest.approx((1 - 0.0047) ** 0.5, abs=1e-4)
    assert SAMPLER.begin(x, SCHEDULE) is x
