"""Network and conditioner together, built from the project's own configs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from diffbgm.datasets.batch import Condition
from diffbgm.errors import InputError
from diffbgm.models.attention import Windows
from diffbgm.models.network import DiffBGM, build_network

CONFIGS = Path(__file__).resolve().parents[1] / "configs"


def config(name: str, selector: str = "language_video") -> dict[str, Any]:
    """A model config as train.py builds it, with selector and widths."""
    whole = OmegaConf.create({"selector": OmegaConf.load(CONFIGS / "selector" / f"{selector}.yaml")})
    whole.model = OmegaConf.load(CONFIGS / "model" / f"{name}.yaml")
    plain = OmegaConf.to_container(whole, resolve=True)
    assert isinstance(plain, dict)
    plain["model"]["conditioner"] |= {"visual_width": 9, "language_width": 12}
    return plain["model"]


def condition(batch: int = 2) -> Condition:
    generator = torch.Generator().manual_seed(0)
    return Condition(
        torch.rand(batch, 32, 9, generator=generator),
        torch.randn(batch, 32, 12, generator=generator),
        torch.ones(batch, 32, dtype=torch.bool),
        torch.full((batch,), 8),
    )


def awake(network: DiffBGM) -> DiffBGM:
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
    return network.eval()


@pytest.fixture(scope="module")
def network() -> DiffBGM:
    return awake(build_network(config("tiny")))


@pytest.mark.parametrize("selector", sorted(path.stem for path in (CONFIGS / "selector").glob("*.yaml")))
def test_every_selector_config_conditions_the_tiny_model(selector: str) -> None:
    model = awake(build_network(config("tiny", selector)))
    x, t = torch.randn(2, 2, 128, 128), torch.tensor([900, 100])
    with torch.no_grad():
        assert model(x, t, condition()).shape == x.shape


def test_encoding_once_or_inside_is_the_same(network: DiffBGM) -> None:
    x, t, drop = torch.randn(2, 2, 128, 128), torch.tensor([900, 100]), torch.tensor([True, False])
    with torch.no_grad():
        encoded = network.encode(condition())
        assert torch.equal(network(x, t, encoded), network(x, t, condition()))
        inside = network(x, t, condition(), drop)
        assert torch.equal(inside, network(x, t, network.conditioner.drop(encoded, drop)))
        alone = network(x[:1], t[:1], network.conditioner.null(encoded.rows([0])))
        torch.testing.assert_close(inside[:1], alone, atol=1e-5, rtol=1e-5)


def test_modalities_act_at_their_own_times(network: DiffBGM) -> None:
    """Attention follows the selector; the visual stream of beat_condition acts at every t."""
    x, t = torch.randn(2, 2, 128, 128), torch.tensor([900, 100])
    given = condition()
    other_language = Condition(given.visual, given.language + 1, given.valid, given.window)
    other_visual = Condition(1 - given.visual, given.language, given.valid, given.window)
    with torch.no_grad():
        base = network(x, t, given)
        by_language = (network(x, t, other_language) - base).abs().amax(dim=(1, 2, 3))
        by_visual = (network(x, t, other_visual) - base).abs().amax(dim=(1, 2, 3))
    assert by_language[0] > 1e-4
    assert by_language[1] == 0
    assert by_visual.min() > 1e-4


def test_a_row_does_not_depend_on_its_batch(network: DiffBGM) -> None:
    x, t = torch.randn(3, 2, 128, 128), torch.tensor([900, 100, 400])
    with torch.no_grad():
        encoded = network.encode(condition(3))
        torch.testing.assert_close(
            network(x, t, encoded)[1:2], network(x[1:2], t[1:2], encoded.rows([1])), atol=1e-5, rtol=1e-5
        )


def test_a_loss_reaches_every_parameter(network: DiffBGM) -> None:
    settings = config("tiny")
    settings["unet"] |= {"self_condition": True, "rhythm_layers": 1}
    model = awake(build_network(settings)).train()
    x, t = torch.randn(2, 2, 128, 128), torch.tensor([900, 100])
    estimate = torch.rand_like(x)
    model(x, t, condition(), torch.tensor([False, False]), estimate)[..., 20:108].square().mean().backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


@pytest.mark.parametrize(
    "broken",
    [{"unet": {"chanels": 64}}, {"unet": {}}, {"unet": {}, "conditioner": {"selector": {"strategy": "video"}}}],
)
def test_a_config_that_cannot_be_built_is_one_sentence(broken: dict[str, Any]) -> None:
    with pytest.raises(InputError, match="model\\.(unet|conditioner)"):
        build_network(broken)


def test_self_condition_and_rhythm_begin_without_effect() -> None:
    """So training can continue with them from the weights of a network without them."""
    settings = config("tiny")
    without = awake(build_network(settings))
    settings["unet"] |= {"self_condition": True, "rhythm_layers": 1}
    model = build_network(settings).eval()
    fresh = model.load_state_dict(without.state_dict(), strict=False).missing_keys
    assert {name.split(".")[1] for name in fresh} == {"estimate", "rhythm"}
    x, t = torch.randn(2, 2, 128, 128), torch.tensor([900, 100])
    with torch.no_grad():
        assert torch.equal(model(x, t, condition(), estimate=torch.rand_like(x)), without(x, t, condition()))


def test_a_reference_is_heard_and_begins_without_effect() -> None:
    settings = config("tiny")
    without = awake(build_network(settings))
    settings["unet"] |= {"reference_condition": True}
    model = build_network(settings).eval()
    assert model.load_state_dict(without.state_dict(), strict=False).missing_keys == ["unet.reference.weight"]
    x, t = torch.randn(2, 2, 128, 128), torch.tensor([900, 100])
    told = replace(condition(), reference=torch.rand(2, 3, 128, 128))
    with torch.no_grad():
        assert torch.equal(model(x, t, told), without(x, t, condition()))
        torch.nn.init.normal_(model.unet.reference.weight)
        assert not torch.equal(model(x, t, told), model(x, t, condition()))
        silent = replace(told, reference=torch.zeros(2, 3, 128, 128))
        assert torch.equal(model(x, t, silent), model(x, t, condition())), "zeros say nothing"


def test_rhythm_carries_a_beat_to_all_beats_and_to_every_pitch_alike() -> None:
    settings = config("tiny")
    settings["unet"]["rhythm_layers"] = 1
    model = awake(build_network(settings))
    rhythm, y = model.unet.rhythm[0], torch.randn(1, 32, 16, 22)
    other = y.clone()
    other[:, :, 0] += torch.randn(1, 32, 22)
    with torch.no_grad():
        tokens = model.conditioner(model.encode(condition(1)), torch.tensor([500]))
        before, after = (rhythm(part, tokens, Windows(8, 32)) - part for part in (y, other))
    change = after - before
    assert change.abs().amax(dim=(0, 1, 3)).min() > 1e-5
    torch.testing.assert_close(change, change[..., :1].expand_as(change), atol=1e-5, rtol=0)


def test_laying_a_network_out_draws_no_numbers(monkeypatch):
    """Drawing on the meta device would import torch's compiler."""

    def refuse(*shape: int) -> None:
        raise AssertionError("numbers were drawn")

    monkeypatch.setattr(torch, "randn", refuse)
    unet = {"channels": 32, "attention_levels": [1], "n_res_blocks": 1, "channel_multipliers": [1, 2], "n_heads": 2}
    conditioner = {"visual_width": 9, "language_width": 12, "selector": {"strategy": "language_video"}}
    with torch.device("meta"):
        network = build_network({"unet": {**unet, "d_cond": 32}, "conditioner": conditioner})
    assert all(parameter.is_meta for parameter in network.parameters())
