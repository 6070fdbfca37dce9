"""A checkpoint's config is a type: what does not fit it is named, and older versions are brought up to date."""

import copy
import dataclasses
import inspect
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from small_config import CONFIG, write

from diffbgm.diffusion.samplers import build_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.models.adapter import RollUNet
from diffbgm.models.checkpoint import load_checkpoint, read_config
from diffbgm.models.conditioner import Conditioner, FeatureSelector
from diffbgm.models.config import (
    ConditionerConfig,
    SamplerConfig,
    ScheduleConfig,
    SelectorConfig,
    UNetConfig,
    checkpoint_config,
)
from diffbgm.models.unet import UNet

ROOT = Path(__file__).parents[1]


def changed(**places: object) -> dict[str, Any]:
    """CONFIG with changed entries such as model__unet__channels; `...` removes an entry."""
    config = copy.deepcopy(CONFIG)
    for place, value in places.items():
        *path, last = place.split("__")
        target = config
        for key in path:
            target = target.setdefault(key, {})
        if value is ...:
            del target[last]
        else:
            target[last] = value
    return config


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (changed(model=...), "no value for model"),
        (changed(features=...), "no value for features"),
        (
            changed(features__name="../../elsewhere"),
            "features.name=../../elsewhere cannot be used; give one of lite, clip",
        ),
        (changed(features__name=["lite"]), "features.name"),
        (changed(features__visual_width=10), "features of widths"),
        (changed(objective="os.system"), "objective=os.system"),
        (changed(objective=None), "objective=None"),
        (changed(objective="eps", model__unet__pitches=[20, 108]), "objective=eps needs a prediction for every pitch"),
        (changed(window=5), "window=5 cannot be used; give one of 4, 8, 16, 32, or dynamic"),
        (changed(window="../x"), "window=../x"),
        (changed(surprise={"_target_": "os.system"}), "unknown setting 'surprise'"),
        (changed(model__unet__chanels=32), "did you mean 'model.unet.channels'"),
        (changed(model__unet__n_res_blocks=10**7), "model.unet.n_res_blocks=10000000"),
        (changed(model__unet__channels=-32), "model.unet.channels=-32"),
        (changed(model__unet__channels="32"), "model.unet.channels=32"),
        (changed(model__unet__channels=True), "model.unet.channels=True"),
        (changed(model__unet__channels=1024, model__unet__channel_multipliers=[16]), "is more than"),
        (changed(model__unet__channel_multipliers=[1] * 7), "channel_multipliers"),
        (changed(model__unet__channel_multipliers=[]), "channel_multipliers"),
        (changed(model__unet__pack=[0, 0]), "model.unet.pack"),
        (changed(model__unet__pack=[4]), "model.unet.pack"),
        (changed(model__unet__pitches=[108, 20]), "model.unet.pitches"),
        (changed(model__unet__pitches=[20, 20]), "model.unet.pitches"),
        (changed(model__unet__in_channels=3), "in_channels=3 cannot be used; give one of 2, 4"),
        (changed(model__unet__rhythm_layers=1, model__unet__rhythm_width=7), "rhythm_width"),
        (changed(model__unet__d_cond=10**12), "model.unet.d_cond"),
        (changed(model__unet__output_bias=1e300), "output_bias"),
        (changed(model__conditioner=None), "model.conditioner=None cannot be used; give settings by name"),
        (changed(model__conditioner__selector={"strategy": "__import__"}), "model.conditioner.selector.strategy"),
        (changed(model__conditioner__null="zero"), "model.conditioner.null"),
        (changed(model__conditioner__language_width=2**40), "model.conditioner.language_width"),
        (changed(schedule__steps=10**9), "schedule.steps"),
        (changed(schedule__steps=1), "schedule.steps"),
        (changed(schedule__start=0), "schedule.start"),
        (changed(schedule__start=0.4), "schedule.start=0.4 is above"),
        (changed(schedule__roll_scale=0), "schedule.roll_scale"),
        (changed(sampling__guidance="high"), "sampling.guidance=high"),
        (changed(sampling__threshold=1), "sampling.threshold=1"),
        (changed(sampling__form="A" * 65), "sampling.form"),
        (changed(sampling__sampler={"name": "x"}), "sampling.sampler.name"),
        (changed(sampling__sampler={"name": "dpm", "steps": 10**9}), "sampling.sampler.steps"),
        (changed(training=[1]), "training"),
        ([1], "has no config"),
        ("config", "has no config"),
    ],
)
def test_a_config_is_a_type(tmp_path: Path, config: object, said: str) -> None:
    with pytest.raises(InputError) as caught:
        load_checkpoint(write(tmp_path / "x.safetensors", config))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format": NaN}', '{"format": ' + "9" * 5000 + "}", " " * (2 << 20)])
def test_json_that_is_a_trap(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, {"config": text})
    with pytest.raises(InputError, match="has no config"):
        read_config(path)


def test_a_large_network_is_refused_before_it_is_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = changed(model__unet__channels=512, model__unet__channel_multipliers=[16], model__unet__n_res_blocks=8)
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", lambda tensor, **_: tensor)  # all that takes time on "meta"
    with pytest.raises(InputError, match="do not fit its config"):
        load_checkpoint(write(tmp_path / "x.safetensors", config))  # 40 GB of weights, by its word


def test_configs_of_older_versions_are_brought_up_to_date() -> None:
    old = changed(
        features__extractor="lite",
        sampling={"guidance": 5.0, "threshold": 0.5, "sampler": "ddpm", "steps": 500},
    )
    assert checkpoint_config(old).sampling.sampler == SamplerConfig("ddpm", 500)
    target = {"_target_": "os.system", "name": "dpm", "steps": 10, "sde": True, "clip": [0.0, 1.0]}
    sampler = checkpoint_config(changed(sampling={"guidance": 2.0, "sampler": target})).sampling.sampler
    assert sampler == SamplerConfig("dpm", 10, sde=True, clip=(0.0, 1.0))
    config = read_config(ROOT / "pretrained" / "diffbgm-lite.safetensors")
    assert (config.sampling.form, config.schedule.roll_scale, config.features.name) == ("AABA", 2.0, "lite")
    assert checkpoint_config(json.loads(json.dumps(config.plain()))) == config
    later = checkpoint_config(changed(model__unet__in_channels=4, model__unet__reference_condition=True))
    assert later.model.unet.reference_condition


def test_names_and_defaults_are_those_of_the_code() -> None:
    def taken(*kinds: Any) -> dict[str, Any]:
        found = {name: p.default for kind in kinds for name, p in inspect.signature(kind).parameters.items()}
        return {name: default for name, default in found.items() if name not in ("network", "width")}

    assert vars(UNetConfig()) == taken(UNet, RollUNet)
    for config, kind in (
        (SelectorConfig, FeatureSelector),
        (ConditionerConfig, Conditioner),
        (SamplerConfig, build_sampler),
        (ScheduleConfig, sqrt_linear),
    ):
        assert set(taken(kind)) - {"d_cond"} == {entry.name for entry in dataclasses.fields(config)}
