"""The numbers of training's noise and hints: settings that reach the batches, and that a checkpoint records."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf, open_dict

from diffbgm.app.cli import CONFIGS, configure
from diffbgm.app.settings_text import read_command
from diffbgm.app.train import build_loader, describe
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.hints import ReferenceHint, ThemeHint
from diffbgm.datasets.perturb import MEASURED, Perturbation
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.fields import check
from diffbgm.music.theme import HARMONY
from diffbgm.training.settings import TrainerSettings, check_data

GROUPS = {"noise": Perturbation, "theme": ThemeHint, "reference": ReferenceHint}
HINTED = ("+model.unet.theme_condition=true", "+model.unet.reference_condition=true")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    source = instantiate(configure("train", ["experiment=smoke", "data.count=6"]).data.source)
    return Cache.open(prepare(source, tmp_path_factory.mktemp("cache"), workers=1))


def config_of(*words: str) -> DictConfig:
    return configure("train", ["experiment=smoke", *words])


def loader_of(config: DictConfig, cache: Cache) -> SegmentLoader:
    return build_loader(config, cache, check(TrainerSettings, config.trainer, "trainer"), Accelerator(cpu=True))


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIGS / "data").glob("*.yaml")))
def test_every_data_set_has_the_usual_numbers_each_on_a_line(name: str) -> None:
    data = configure("train", [f"data={name}", "data.root=x"]).data
    for group, kind in GROUPS.items():
        assert list(data[group]) == [entry.name for entry in fields(kind)]
        assert getattr(check_data(data, "data"), group) == kind()


def test_what_is_asked_for_reaches_the_batches_and_the_checkpoint(cache: Cache) -> None:
    config = config_of("data.noise.dropout=1", "data.theme.no_harmony=1", "data.reference.told=0.0", *HINTED)
    loader = loader_of(config, cache)
    condition = loader.batch(0, 0).condition
    assert condition.theme is not None
    assert condition.reference is not None
    assert torch.all(condition.visual[condition.valid][:, MEASURED] == 0.5)
    assert not condition.theme[..., HARMONY].any()
    assert not condition.reference.any()
    recorded = describe(config, loader)["training"]
    assert recorded["noise"] == {**vars(Perturbation()), "dropout": 1.0}
    assert recorded["theme"] == {**vars(ThemeHint()), "no_harmony": 1.0, "spans": [2, 8, 32], "shares": [0.5, 0.2, 0.3]}
    assert recorded["reference"] == {"told": 0.0, "twin": 0.5, "before": 0.25}


def test_what_is_not_used_is_recorded_as_none(cache: Cache) -> None:
    config = config_of("data.perturb=false")
    recorded = describe(config, loader_of(config, cache))["training"]
    assert {name: recorded[name] for name in GROUPS} == dict.fromkeys(GROUPS)


def test_a_config_of_an_earlier_version_has_the_usual_numbers(cache: Cache) -> None:
    config = config_of(*HINTED)
    with open_dict(config):
        for group in GROUPS:
            del config.data[group]
    loader = loader_of(config, cache)
    assert (loader.noise, loader.theme, loader.reference) == (Perturbation(), ThemeHint(), ReferenceHint())


def test_a_further_data_set_has_them_too() -> None:
    config = config_of("+data@also.mine=midi_folder", "also.mine.root=x", "also.mine.noise.shift=0")
    assert check_data(config.also.mine, "also.mine").noise == Perturbation(shift=0)
    assert "noise" not in OmegaConf.to_container(config.also)  # type: ignore[operator]


def test_help_lists_them() -> None:
    settings = {setting.key: setting for setting in read_command(Path(CONFIGS) / "train.yaml").settings}
    assert settings["data.noise.shift"].default == "0.08"
    assert settings["data.theme.spans"].comment.startswith("beats over which harmony is averaged")
