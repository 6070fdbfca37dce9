"""Checkpoints are restored exactly, and files that are not checkpoints are named."""

import copy
import dataclasses
import inspect
import json
import os
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from diffbgm.datasets.batch import Condition
from diffbgm.diffusion.samplers import build_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.files import sha256
from diffbgm.models.adapter import RollUNet
from diffbgm.models.checkpoint import load_checkpoint, read_config, save_checkpoint
from diffbgm.models.conditioner import Conditioner, FeatureSelector
from diffbgm.models.config import (
    ConditionerConfig,
    SamplerConfig,
    ScheduleConfig,
    SelectorConfig,
    UNetConfig,
    checkpoint_config,
)
from diffbgm.models.network import DiffBGM, build_network
from diffbgm.models.unet import UNet

ROOT = Path(__file__).parents[1]

MODEL = {
    "unet": {"channels": 32, "attention_levels": [0], "n_res_blocks": 1, "channel_multipliers": [1], "d_cond": 16},
    "conditioner": {"visual_width": 9, "language_width": 12, "selector": {"strategy": "language_video"}},
}
CONFIG: dict[str, Any] = {
    "format": 1,
    "model": MODEL,
    "objective": "eps",
    "features": {"name": "lite", "visual_width": 9, "language_width": 12},
    "training": {"note": "Grüße"},
}


@pytest.fixture
def network() -> DiffBGM:
    torch.manual_seed(0)
    built = build_network(MODEL)
    for parameter in built.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape)
    return built.eval()


@pytest.fixture
def saved(network: DiffBGM, tmp_path: Path) -> Path:
    path = tmp_path / "a model.safetensors"
    save_checkpoint(path, network.state_dict(), CONFIG)
    return path


def test_round_trip(network: DiffBGM, saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.config == checkpoint_config(CONFIG)
    assert checkpoint.sha256 == sha256(saved)
    assert not checkpoint.network.training
    condition = Condition(torch.rand(1, 32, 9), torch.rand(1, 32, 12), torch.ones(1, 32) > 0, torch.tensor([8]))
    x, t = torch.randn(1, 2, 16, 8), torch.tensor([5])
    with torch.no_grad():
        assert torch.equal(checkpoint.network(x, t, condition), network(x, t, condition))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_the_same_weights_give_the_same_bytes(network: DiffBGM, saved: Path) -> None:
    other = saved.with_name("other.safetensors")
    save_checkpoint(other, network.to(memory_format=torch.channels_last).state_dict(), CONFIG)  # type: ignore[call-overload]
    assert other.read_bytes() == saved.read_bytes()


def test_half_precision_on_disk_loads_as_float32(network: DiffBGM, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, {key: value.half() for key, value in network.state_dict().items()}, CONFIG)
    loaded = load_checkpoint(path).network.state_dict()
    assert all(torch.equal(loaded[key], value.half().float()) for key, value in network.state_dict().items())


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"a model\.safetensors is not a complete"):
        load_checkpoint(saved)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"config": "no json"}, {"config": "[1]"}, {"config": "{}"}])
def test_foreign_files(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, metadata)
    with pytest.raises(InputError, match="has no config of this project"):
        load_checkpoint(path)


def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, {"config": json.dumps({**CONFIG, "format": 2})})
    with pytest.raises(InputError, match="format 2"):
        read_config(path)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_their_config(network: DiffBGM, tmp_path: Path, fault: str) -> None:
    weights = dict(network.state_dict())
    if fault == "missing":
        del weights["unet.out.2.bias"]
    elif fault == "extra":
        weights["unet.out.3.bias"] = torch.ones(2)
    else:
        weights["unet.out.2.bias"] = torch.ones(3)
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, weights, CONFIG)
    with pytest.raises(InputError, match=r"other\.safetensors do not fit its config") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(network: DiffBGM, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        save_checkpoint(tmp_path / "file" / "x.safetensors", network.state_dict(), CONFIG)


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    network: DiffBGM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"before")

    def full(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(InputError, match="cannot write .*No space left on device"):
        save_checkpoint(path, network.state_dict(), CONFIG)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.safetensors", b"before")]


def write(path: Path, config: object, weights: dict[str, torch.Tensor] | None = None) -> Path:
    """Write a checkpoint with an arbitrary config."""
    safetensors.torch.save_file(weights or {"weight": torch.ones(3)}, path, {"config": json.dumps(config)})
    return path


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


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(network: DiffBGM, tmp_path: Path, value: float) -> None:
    weights = dict(network.state_dict())
    weights["unet.out.2.bias"] = torch.tensor([0.0, value])
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, weights, CONFIG)
    with pytest.raises(InputError, match=r"not finite \(unet\.out\.2\.bias\)"):
        load_checkpoint(path)


def test_pipes_and_huge_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        load_checkpoint(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than the"):
        load_checkpoint(tmp_path / "huge")


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
