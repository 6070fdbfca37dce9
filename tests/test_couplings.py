"""What each coupling does to the logits of independent cells."""

import math

import pytest
import torch

from diffbgm.diffusion.couplings import Couplings
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError

LOW = -4.0


def logits(*likely: tuple[int, int, int], planes: int = 4, at: float = 3.0) -> torch.Tensor:
    """One roll (1, planes, 128, 128) of unlikely cells but for those at (plane, step, pitch)."""
    roll = torch.full((1, planes, 128, 128), LOW)
    for plane, step, pitch in likely:
        roll[0, plane, step, pitch] = at
    return roll


def test_without_weights_nothing_changes() -> None:
    assert not Couplings()
    assert not Couplings(returns=0.0, tones=0.0)
    roll = logits((0, 3, 60))
    assert torch.equal(Couplings()(roll), roll)


def test_weights_that_are_none_are_completed() -> None:
    usual = Couplings(returns=2.0, single_lead=0.3)
    assert Couplings(returns=0.0).completed(usual) == Couplings(returns=0.0, single_lead=0.3)


def test_a_cell_gains_by_what_is_four_bars_away() -> None:
    roll = logits((2, 10, 60), (3, 100, 48))
    change = Couplings(returns=2.0)(roll) - roll
    likely, unlikely = (2 * (torch.sigmoid(torch.tensor(value)).item() - 0.25) for value in (3.0, LOW))
    assert change[0, 2, 74, 60].item() == pytest.approx(likely)
    assert change[0, 3, 36, 48].item() == pytest.approx(likely)
    assert change[0, 2, 10, 60].item() == pytest.approx(unlikely)


def test_a_longer_roll_has_two_neighbours_and_a_short_one_none() -> None:
    roll = torch.full((1, 2, 192, 4), LOW)
    roll[0, 0, 0] = 3.0
    change = Couplings(returns=1.0)(roll) - roll
    near, far = torch.sigmoid(torch.tensor(3.0)), torch.sigmoid(torch.tensor(LOW))
    assert change[0, 0, 64, 0].item() == pytest.approx((near + far).item() / 2 - 0.25, abs=1e-6)
    short = Couplings(returns=1.0)(roll[:, :, :64]) - roll[:, :, :64]
    assert short[0, 0, 0, 0].item() == pytest.approx(near.item() - 0.25, abs=1e-6)


@pytest.mark.parametrize(("coupling", "plane"), [("single_lead", 0), ("thin_chords", 2)])
def test_onsets_of_a_step_compete(coupling: str, plane: int) -> None:
    roll = logits((plane, 8, 60), (plane, 8, 64))
    change = Couplings(**{coupling: 0.5})(roll) - roll
    odds, rest = math.exp(3), 126 * math.exp(LOW)
    assert change[0, plane, 8, 60].item() == pytest.approx(-0.5 * math.log1p(odds + rest), abs=1e-4)
    assert change[0, plane, 8, 61].item() == pytest.approx(-0.5 * math.log1p(2 * odds + rest - math.exp(LOW)), abs=1e-4)
    others = [k for k in range(4) if k != plane]
    assert not change[0, others].any()


def test_rare_pitch_classes_get_rarer() -> None:
    roll = logits(*((2, step, pitch) for step in range(0, 128, 2) for pitch in (60, 64, 67)), at=8.0) - 12
    change = Couplings(in_scale=1.0)(roll) - roll
    assert change[0, :, :, 60].abs().max() < 1e-5
    assert change[0, :, :, 61].max() < -2
    assert torch.allclose(change[0, :, :, 61], change[0, :, :, 13])


def test_the_lead_leaves_its_last_pitch_by_step() -> None:
    roll = logits((0, 8, 60), at=20.0) - 10  # all other onsets are next to impossible
    coupled = Couplings(no_repeat=1.0, semitones=0.5, tones=0.25)(roll) - roll
    for step in (9, 20, 24):
        assert coupled[0, 0, step, 58:63].tolist() == pytest.approx([0.25, 0.5, -1, 0.5, 0.25], abs=0.02)
    assert max(coupled[0, 0, step].abs().max() for step in (8, 25)) < 0.02
    assert not coupled[0, 1:].any()


def test_the_newest_pitch_counts() -> None:
    roll = logits((0, 8, 60), (0, 10, 72), at=20.0) - 10
    coupled = Couplings(no_repeat=1.0)(roll) - roll
    assert coupled[0, 0, 10, 60].item() == pytest.approx(-1, abs=0.02)
    assert coupled[0, 0, 12, 72].item() == pytest.approx(-1, abs=0.02)
    assert coupled[0, 0, 12, 60].item() == pytest.approx(0, abs=0.02)


def test_two_planes_have_no_lead() -> None:
    roll = logits((0, 8, 60), (0, 8, 64), planes=2)
    assert Couplings(no_repeat=1.0).lead
    assert not Couplings(returns=1.0).lead
    assert torch.equal(Couplings(single_lead=1.0, no_repeat=1.0)(roll), roll)
    assert Couplings(thin_chords=1.0)(roll)[0, 0, 8, 60] < roll[0, 0, 8, 60]


def test_sampling_takes_the_coupled_probabilities() -> None:
    schedule, t = sqrt_linear(), torch.tensor([300])
    x = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(0))
    weights = Couplings(returns=2.0, single_lead=0.3, in_scale=0.2)
    plain, coupled = (build_objective("x0_posterior", schedule, couplings=given) for given in (None, weights))
    prediction = torch.randn(x.shape, generator=torch.Generator().manual_seed(1)) - 2
    signal, noise = schedule.coefficients(t, x)
    evidence = signal / noise**2 * (x - 0.5 * signal)
    x0 = schedule.x0_from_eps(coupled.eps(prediction, x, t), x, t)
    torch.testing.assert_close(x0, weights(prediction + evidence).sigmoid(), atol=1e-4, rtol=0)
    losses = [objective.loss(prediction, (x > 1).float(), x, x, t) for objective in (plain, coupled)]
    assert torch.equal(*losses)
    with pytest.raises(InputError, match="couplings need a network of objective=x0_posterior, not eps"):
        build_objective("eps", schedule, couplings=weights)
