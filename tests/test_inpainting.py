"""Known cells of a roll are kept, and what is around them fits."""

import itertools

import pytest
import torch
from ideal_denoisers import DDIM, SAMPLERS, SCHEDULE, ideal, random_roll, simple

from diffbgm.diffusion.inpainting import Known, inpainted
from diffbgm.diffusion.samplers import SeededNoise, build_sampler


@pytest.mark.parametrize(("name", "options"), SAMPLERS)
def test_known_cells_come_out_as_they_are(name, options):
    known = Known(random_roll(1)[None], random_roll(2)[None].bool())
    noise = SeededNoise([(0,)], (2, 128, 128))
    sampler = build_sampler(name, 8, clip=[0, 1], **options)
    fresh = SeededNoise([(0, 1)], (2, 128, 128))
    denoise = inpainted(lambda x, t: simple(x, t, torch.zeros(1)), known, SCHEDULE, fresh)
    *_, state = sampler(denoise, noise(), SCHEDULE, noise)
    assert ((state.x0 - known.roll)[known.mask]).abs().max() < 1e-5
    assert torch.equal(known.kept(state.x0)[known.mask], known.roll[known.mask])
    assert torch.equal(known.kept(state.x0)[~known.mask], state.x0[~known.mask])


@pytest.mark.parametrize(("name", "options"), SAMPLERS)
def test_the_network_is_shown_known_cells_with_fresh_noise_of_their_step(name, options):
    """Ones are shown as q(x_t | x_0 = 1): mean sqrt(bar), variance 1 - bar, and the noise of two steps is unrelated."""
    known = Known(torch.ones(1, 2, 128, 128), torch.ones(1, 2, 128, 128).bool())
    noise, fresh = SeededNoise([(1,)], (2, 128, 128)), SeededNoise([(1, 1)], (2, 128, 128))
    shown = []

    def watching(x, t):
        bar = SCHEDULE.level(int(t[0]))
        shown.append((x - bar**0.5) / (1 - bar) ** 0.5)
        return torch.zeros_like(x)

    list(build_sampler(name, 12, **options)(inpainted(watching, known, SCHEDULE, fresh), noise(), SCHEDULE, noise))
    for eps in shown:
        assert abs(eps.mean().item()) < 0.03  # 5 standard errors
        assert eps.std().item() == pytest.approx(1, abs=0.02)
    for one, two in itertools.pairwise(shown):
        assert abs((one * two).mean().item()) < 0.03


@pytest.mark.parametrize(("name", "options"), SAMPLERS)
def test_half_a_roll_is_completed_by_its_other_half(name, options):
    """Data: eight random rolls. Given the first four bars of one, the ideal denoiser must find the rest of it."""
    rolls = torch.stack([random_roll(seed) for seed in range(8)])
    mask = torch.zeros(1, 2, 128, 128, dtype=torch.bool)
    mask[:, :, :64] = True
    noise, fresh = (SeededNoise([seed], (2, 128, 128)) for seed in [(2,), (2, 1)])
    for wanted in (3, 6):
        known = Known(rolls[wanted : wanted + 1], mask)
        denoise = inpainted(ideal(rolls), known, SCHEDULE, fresh)
        *_, state = build_sampler(name, 10, **options)(denoise, noise(), SCHEDULE, noise)
        assert (state.x0[0] - rolls[wanted]).abs().max() < 1e-3


def test_nothing_known_changes_nothing():
    noises = [SeededNoise([(3,)], (2, 128, 128)) for _ in range(2)]
    nothing = Known(torch.zeros(1, 2, 128, 128), torch.zeros(1, 2, 128, 128, dtype=torch.bool))

    def denoise(x, t):
        return simple(x, t, torch.zeros(1))

    *_, plain = DDIM(denoise, noises[0](), SCHEDULE, noises[0])
    kept = inpainted(denoise, nothing, SCHEDULE, SeededNoise([(3, 1)], (2, 128, 128)))
    *_, wrapped = DDIM(kept, noises[1](), SCHEDULE, noises[1])
    assert torch.equal(plain.x0, wrapped.x0)
