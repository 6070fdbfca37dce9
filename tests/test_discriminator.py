"""Discriminator guidance: what it adds to logits, how it is stored, how one is trained, and what asks for it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from test_composer import composer, request
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.cli import run
from diffbgm.app.export import main as export
from diffbgm.app.songs import sample_songs
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.generation.composer import Composer
from diffbgm.generation.settings import ComposeSettings
from diffbgm.models.checkpoint import PREFIX, Checkpoint, load_checkpoint, save_checkpoint
from diffbgm.models.discriminator import HIGHEST, LOWEST, Discriminator, correction
from scripts.fit_discriminator import Predicted, fit_discriminator, trained


def network(planes: int = 4, width: int = 4) -> Discriminator:
    torch.manual_seed(0)
    found = Discriminator(planes, width).eval()
    for parameter in found.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return found.requires_grad_(False)


def logits(rows: int = 1, planes: int = 4) -> torch.Tensor:
    return torch.randn(rows, planes, 128, 128, generator=torch.Generator().manual_seed(1)) - 2


def test_the_correction_is_the_gradient_by_probability() -> None:
    judge, roll, t = network().double(), logits().double(), torch.tensor([300])
    change = judge.corrected(roll, t, 2.0) - roll
    rolls = roll.sigmoid()
    for cell in ((0, 0, 5, 60), (0, 3, 127, LOWEST), (0, 2, 64, HIGHEST - 1)):
        step = torch.zeros_like(rolls)
        step[cell] = 1e-6
        slope = (judge(rolls + step, t) - judge(rolls - step, t)) / 2e-6
        assert change[cell].item() == pytest.approx(-2 * slope.item(), rel=1e-4)
        assert abs(change[cell].item()) > 1e-6
    assert not change[..., :LOWEST].any()
    assert not change[..., HIGHEST:].any()


def test_a_row_is_judged_by_itself_and_by_its_time() -> None:
    judge, rolls = network(), logits(2)
    both = judge.corrected(rolls, torch.tensor([100, 900]), 1.0)
    alone = judge.corrected(rolls[1:], torch.tensor([900]), 1.0)
    torch.testing.assert_close(both[1:], alone)
    assert not torch.allclose(judge.corrected(rolls[1:], torch.tensor([100]), 1.0), alone)


def test_a_corrected_roll_is_judged_less_composed() -> None:
    judge, roll, t = network(), logits(), torch.tensor([300])
    before, after = (judge(x.sigmoid(), t).item() for x in (roll, judge.corrected(roll, t, 1.0)))
    assert after < before


def test_sampling_takes_the_corrected_probabilities() -> None:
    schedule, t, judge = sqrt_linear(), torch.tensor([300]), network()
    x, prediction = torch.randn(1, 4, 128, 128, generator=torch.Generator().manual_seed(0)), logits()
    with torch.no_grad():
        plain = build_objective("x0_posterior", schedule)
        guided = build_objective("x0_posterior", schedule, corrected=correction(judge, 3.0))
        x0 = schedule.x0_from_eps(guided.eps(prediction, x, t), x, t)
        independent = schedule.x0_from_eps(plain.eps(prediction, x, t), x, t)
    wanted = judge.corrected(torch.logit(independent.clamp(1e-6, 1 - 1e-6)), t, 3.0).sigmoid()
    torch.testing.assert_close(x0, wanted, atol=1e-3, rtol=0)
    with pytest.raises(InputError, match="a discriminator needs a network of objective=x0_posterior, not eps"):
        build_objective("eps", schedule, corrected=correction(judge, 3.0))


def with_discriminator(weight: float | None) -> Composer:
    machine = composer("free", planes=2)
    config = replace(machine.config, objective="x0_posterior", discriminator_width=4)
    checkpoint = Checkpoint(machine.network, config, "", network(2))
    return Composer(checkpoint, machine.sampler, ComposeSettings(form="free", discriminator=weight), machine.device)


def test_its_weight_changes_the_music() -> None:
    rolls = []
    for weight in (None, 0.0, 5.0):
        *_, progress = with_discriminator(weight).compose([request(32)])
        rolls.append(progress.rolls[0])
    assert torch.equal(rolls[0], rolls[1])
    assert not torch.equal(rolls[0], rolls[2])
    *_, progress = with_discriminator(5.0).to(torch.device("cpu")).compose([request(32)])
    assert torch.equal(progress.rolls[0], rolls[2])


def test_a_checkpoint_without_one_refuses_a_weight() -> None:
    with pytest.raises(InputError, match="discriminator=2 needs a checkpoint with a discriminator; leave it out"):
        composer("free").asked(ComposeSettings(form="free", discriminator=2.0))
    assert composer("free").asked(ComposeSettings(form="free", discriminator=0.0))


def test_it_is_stored_with_the_network(tmp_path: Path) -> None:
    tiny = load_checkpoint(save_tiny_checkpoint(tmp_path / "tiny.safetensors", objective="x0_posterior"))
    config = replace(tiny.config, discriminator_width=4)
    whole = Checkpoint(tiny.network, config, "", network(2))
    save_checkpoint(tmp_path / "a.safetensors", whole.weights(), config)
    assert export([str(tmp_path / "a.safetensors"), str(tmp_path / "b.safetensors"), "--discriminator", "2"]) == 0
    found = load_checkpoint(tmp_path / "b.safetensors")
    assert (found.config.discriminator_width, found.config.sampling.discriminator) == (4, 2.0)
    assert found.discriminator is not None
    for key, value in network(2).state_dict().items():
        torch.testing.assert_close(found.discriminator.state_dict()[key], value.half().float())
    assert load_checkpoint(tmp_path / "tiny.safetensors").discriminator is None


def test_a_file_that_lacks_its_tensors_or_has_others_is_refused(tmp_path: Path) -> None:
    tiny = load_checkpoint(save_tiny_checkpoint(tmp_path / "tiny.safetensors"))
    save_checkpoint(tmp_path / "a.safetensors", tiny.weights(), replace(tiny.config, discriminator_width=4))
    with pytest.raises(InputError, match="tensors are missing.*discriminator"):
        load_checkpoint(tmp_path / "a.safetensors")
    save_checkpoint(
        tmp_path / "b.safetensors", Checkpoint(tiny.network, tiny.config, "", network(2)).weights(), tiny.config
    )
    with pytest.raises(InputError, match="tensors are missing, unexpected.*discriminator"):
        load_checkpoint(tmp_path / "b.safetensors")


def test_it_learns_what_tells_compositions_apart() -> None:
    """Compositions have a note more on every beat."""
    rng = np.random.default_rng(0)
    rolls = torch.from_numpy((rng.random((64, 2, 128, 128)) < 0.02).astype(np.float16))
    composed = torch.arange(64) % 2
    rolls[composed > 0, 0, ::4, 60] = 1
    found = Predicted(rolls, torch.full((64,), 300), composed.float(), np.repeat([str(k) for k in range(16)], 4))
    judge, accuracy = trained(found, width=4, steps=60, seed=0)
    assert accuracy == {300: 1.0}
    with torch.no_grad():
        sure = 8.0 * found.rolls[composed > 0].float() - 4
        change = judge.corrected(sure, torch.full((32,), 300), 1.0) - sure
    assert change[:, 0, ::4, 60].mean() < 0
    assert change[:, 0, ::4, 60].mean() < 4 * change[:, 0, ::4, 40].mean()


def test_one_is_fitted_to_what_a_checkpoint_composed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    save_tiny_checkpoint(tmp_path / "tiny.safetensors", objective="x0_posterior", hints=True)
    given = ["data=generated", "data.count=6", "data.cache=c", "checkpoint=tiny.safetensors", "sampler.steps=2"]
    assert run(sample_songs, "sample_songs", [*given, "split=train", "songs=3", "bars=8", "out=o"]) == 0
    fitted = [*given, "music=o/generated", "out=fitted.safetensors", "width=4", "times=2", "steps=3"]
    assert run(fit_discriminator, "fit_discriminator", [*fitted, "compose.discriminator=1.5"]) == 0
    about = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert (about["songs"], about["rolls"] % 4) == (3, 0)
    found = load_checkpoint("fitted.safetensors")
    assert found.discriminator is not None
    assert found.config.sampling.discriminator == 1.5
    before, after = (load_file(name) for name in ("tiny.safetensors", "fitted.safetensors"))
    assert {key for key in after if not key.startswith(PREFIX)} == set(before)
    assert (
        run(
            sample_songs,
            "sample_songs",
            ["songs=1", *given[:3], "checkpoint=fitted.safetensors", "sampler.steps=2", "bars=8", "out=p"],
        )
        == 0
    )
    (tmp_path / "empty").mkdir()
    assert run(fit_discriminator, "fit_discriminator", [*fitted, "music=empty"]) == 1
    assert "empty has music for 0 training songs; give music= a folder of `diffbgm songs`" in capsys.readouterr().err
    save_tiny_checkpoint(tmp_path / "logits.safetensors")
    assert run(fit_discriminator, "fit_discriminator", [*fitted, "checkpoint=logits.safetensors"]) == 1
    assert "logits.safetensors has objective=x0_logits; a discriminator can only guide" in capsys.readouterr().err
