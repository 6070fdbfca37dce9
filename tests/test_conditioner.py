"""Feature selection, the null condition, padding, windows."""

from dataclasses import replace

import pytest
import torch

from diffbgm.datasets.batch import Condition
from diffbgm.errors import InputError
from diffbgm.models.conditioner import STRATEGIES, Conditioner, Encoded, FeatureSelector

LANGUAGE, VISUAL = torch.zeros(4, 32, 8), torch.ones(4, 32, 8)
TIMES = torch.tensor([0, 200, 201, 999])


def condition(batch: int = 3, visual: int = 9, language: int = 12) -> Condition:
    generator = torch.Generator().manual_seed(0)
    return Condition(
        torch.rand(batch, 32, visual, generator=generator),
        torch.randn(batch, 32, language, generator=generator),
        torch.ones(batch, 32, dtype=torch.bool),
        torch.full((batch,), 8),
    )


def conditioner(strategy: str = "language_video", **options: object) -> Conditioner:
    torch.manual_seed(0)
    return Conditioner(9, 12, 16, FeatureSelector(strategy, width=16), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("strategy", "visual"),
    [
        ("video", [1, 1, 1, 1]),
        ("language", [0, 0, 0, 0]),
        ("language_video", [1, 1, 0, 0]),
        ("video_language", [0, 0, 1, 1]),
    ],
)
def test_selection_is_per_sample_and_switches_above_200(strategy: str, visual: list[int]) -> None:
    tokens = FeatureSelector(strategy)(LANGUAGE, VISUAL, TIMES)
    assert tokens.shape == (4, 32, 8)
    assert tokens[:, 0, 0].tolist() == visual


def test_switch_is_a_setting() -> None:
    assert FeatureSelector("language_video", switch=500)(LANGUAGE, VISUAL, TIMES)[:, 0, 0].tolist() == [1, 1, 1, 0]


def test_concat_merges_both() -> None:
    selector = FeatureSelector("concat", width=8)
    with torch.no_grad():
        selector.merge.weight.copy_(torch.cat([torch.eye(8), 2 * torch.eye(8)], dim=1))
        selector.merge.bias.zero_()
    assert torch.equal(selector(LANGUAGE + 5, VISUAL, TIMES), torch.full((4, 32, 8), 7.0))


def test_random_in_sampling_depends_on_seed_and_t_alone() -> None:
    times = torch.arange(1000)
    language, visual = torch.zeros(1000, 1, 1), torch.ones(1000, 1, 1)
    selector = FeatureSelector("random").eval()
    drawn = selector(language, visual, times).flatten()
    assert 450 < drawn.sum() < 550
    assert (drawn[1:] != drawn[:-1]).float().mean() == pytest.approx(0.5, abs=0.06)
    assert torch.equal(selector(language[:7], visual[:7], times[300:307]).flatten(), drawn[300:307])
    other = FeatureSelector("random", seed=1).eval()(language, visual, times).flatten()
    assert (other != drawn).float().mean() == pytest.approx(0.5, abs=0.06)


def test_random_in_sampling_draws_for_each_sample_by_its_own_number() -> None:
    steps, samples = torch.arange(1000), torch.tensor([7, 2**31 - 1, 123_456])
    selector = FeatureSelector("random").eval()
    language, visual = torch.zeros(1000, 1, 1), torch.ones(1000, 1, 1)
    chosen = [selector(language, visual, steps, draw=number.expand(1000)).flatten() for number in samples]
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert (chosen[one] != chosen[other]).float().mean() == pytest.approx(0.5, abs=0.06)
    together = selector(language[:3], visual[:3], steps[:1].expand(3), draw=samples).flatten()
    assert together.tolist() == [float(part[0]) for part in chosen]


def test_random_in_training_draws_each_time() -> None:
    language, visual, times = torch.zeros(1000, 1, 1), torch.ones(1000, 1, 1), torch.full((1000,), 500)
    selector = FeatureSelector("random").train()
    torch.manual_seed(3)
    first, second = selector(language, visual, times), selector(language, visual, times)
    assert 450 < first.sum() < 550
    assert not torch.equal(first, second)
    torch.manual_seed(3)
    assert torch.equal(selector(language, visual, times), first)
    again = [selector(language, visual, times, torch.Generator().manual_seed(5)) for _ in range(2)]
    assert torch.equal(*again)


def test_unknown_strategy_is_named() -> None:
    with pytest.raises(InputError, match="'both'.*language_video"):
        FeatureSelector("both")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_gives_tokens(strategy: str) -> None:
    model = conditioner(strategy)
    assert model(model.encode(condition()), TIMES[:3]).shape == (3, 32, 16)


def test_projections_are_linear() -> None:
    model, features = conditioner(), condition()
    encoded = model.encode(features)
    torch.testing.assert_close(encoded.visual, features.visual @ model.visual.weight.T + model.visual.bias)
    torch.testing.assert_close(encoded.language, features.language @ model.language.weight.T + model.language.bias)


def test_normalised_tokens_have_one_scale() -> None:
    encoded = conditioner(normalise=True).encode(replace(condition(), language=1e-2 * condition().language))
    for tokens in (encoded.visual, encoded.language):
        torch.testing.assert_close(tokens.std(dim=-1, unbiased=False), torch.ones(3, 32), atol=1e-2, rtol=0)


def test_visual_features_can_be_tokens_as_they_are() -> None:
    model = Conditioner(9, 12, 9, FeatureSelector("video"), project_visual=False)
    assert torch.equal(model.encode(condition()).visual, condition().visual)
    with pytest.raises(InputError, match="width 9 cannot be tokens of width 16"):
        conditioner(project_visual=False)


def test_padding_null_and_zero() -> None:
    features = condition()
    features.valid[1, 20:] = False
    null = conditioner(padding="null")
    encoded = null.encode(features)
    assert torch.equal(encoded.visual[1, 20:], null.null_visual.expand(12, 16))
    assert torch.equal(encoded.language[1, 20:], null.null_language.expand(12, 16))
    assert not torch.equal(encoded.visual[1, 19], null.null_visual)
    zero = conditioner(padding="zero")
    encoded = zero.encode(features)
    torch.testing.assert_close(encoded.visual[1, 20:], zero.visual.bias.expand(12, 16))
    torch.testing.assert_close(encoded.language[1, 20:], zero.language.bias.expand(12, 16))


def test_minus_one_null() -> None:
    model = conditioner(null="minus_one")
    encoded = model.null(model.encode(condition()))
    assert (encoded.visual == -1).all()
    assert (encoded.language == -1).all()
    assert not any("null" in key for key in model.state_dict())


def test_drop_takes_the_whole_condition_of_the_chosen_samples() -> None:
    model = conditioner()
    encoded = model.encode(condition())
    dropped = model.drop(encoded, torch.tensor([True, False, True]))
    nothing = model.null(encoded)
    for name in ("visual", "language"):
        whole, half, none = (getattr(part, name) for part in (encoded, dropped, nothing))
        assert torch.equal(half[[0, 2]], none[[0, 2]])
        assert torch.equal(half[1], whole[1])
        assert (none == none[0, 0]).all()
    assert dropped.uniform == 8


def test_one_modality_alone_leaves_the_other_at_null() -> None:
    model = conditioner()
    with torch.no_grad():
        encoded = model.encode(condition())
        null = model.null(encoded)
        heard = model.without(encoded, "visual")
        assert torch.equal(heard.language, encoded.language)
        assert torch.equal(heard.visual, null.visual)
        seen = model.without(encoded, "language")
        assert torch.equal(seen.visual, encoded.visual)
        assert torch.equal(seen.language, null.language)


def test_uniform_windows_are_recognised() -> None:
    model, features = conditioner(), condition()
    assert model.encode(features).uniform == 8
    mixed = model.encode(replace(features, window=torch.tensor([8, 4, 8])))
    assert mixed.uniform is None
    assert mixed.window.tolist() == [8, 4, 8]


def test_encoded_rows_and_concatenation() -> None:
    model = conditioner()
    encoded = model.encode(condition())
    both = Encoded.concatenate([encoded, model.null(encoded)])
    assert len(both) == 6
    assert both.uniform == 8
    assert torch.equal(both.rows([4, 0]).visual, torch.stack([both.visual[4], encoded.visual[0]]))
    other = replace(encoded, window=encoded.window * 2, uniform=16)
    assert Encoded.concatenate([encoded, other]).uniform is None


def test_other_widths_and_choices_are_refused() -> None:
    with pytest.raises(InputError, match=r"\(10, 12\).*\(9, 12\)"):
        conditioner().encode(condition(visual=10))
    with pytest.raises(InputError, match="minus_one"):
        conditioner(null="zero")
