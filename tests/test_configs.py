"""Every config file composes, and what it describes can be built."""

from dataclasses import fields
from pathlib import Path

import pytest
import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf

from diffbgm.app.cli import CONFIGS, configure
from diffbgm.diffusion.objective import build_objective
from diffbgm.diffusion.samplers import Sampler, build_sampler, default_sampler
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.generation.loading import chosen_sampler
from diffbgm.models.conditioner import FeatureSelector
from diffbgm.models.config import SamplerConfig
from diffbgm.models.network import build_network

ENTRIES = ("train", "sample", "evaluate")
SCRIPTS = (
    "dataset_report",
    "index",
    "prepare",
    "extract_features",
    "index",
    "prepare_bgm909",
    "card",
    "sample_songs",
    "reproduce",
    "bench_samplers",
    "fit_discriminator",
    "fit_grooves",
    "fit_harmony",
    "measure_harmony",
    "measure_reprise",
)


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (CONFIGS / group).glob("*.yaml"))


def everything() -> set[Path]:
    return set(CONFIGS.rglob("*.yaml"))


def test_no_config_file_is_left_out_of_these_tests():
    groups = {"model", "objective", "selector", "sampler", "features", "data", "trainer", "experiment", "table"}
    groups |= {"budget", "augment"}  # of scripts/reproduce.py; taken in by all of configs/data
    found = {path.relative_to(CONFIGS).parts[0] for path in everything() if path.parent != CONFIGS}
    assert found == groups
    assert {path.stem for path in CONFIGS.glob("*.yaml")} == {*ENTRIES, *SCRIPTS}


@pytest.mark.parametrize("entry", [*ENTRIES, *SCRIPTS])
def test_entries_compose(entry):
    assert OmegaConf.is_config(configure(entry))


@pytest.mark.parametrize("name", options("model"))
def test_models_are_built(name):
    config = configure("train", [f"model={name}"])
    model = OmegaConf.to_container(config.model, resolve=True)
    model["conditioner"] |= {"visual_width": 9, "language_width": 384}
    network = build_network(model)
    count = sum(parameter.numel() for parameter in network.unet.parameters())
    assert {"paper": count == 41_081_538 or round(count / 1e6, 2) == 41.08, "small": count < 12e6, "tiny": count < 1e6}[
        name
    ]


@pytest.mark.parametrize("name", options("objective"))
def test_objectives_are_built(name):
    assert build_objective(configure("train", [f"objective={name}"]).objective.name, sqrt_linear())


@pytest.mark.parametrize("name", options("selector"))
def test_selectors_are_built(name):
    selector = configure("train", [f"selector={name}"]).selector
    assert FeatureSelector(**selector, width=8).strategy == name


@pytest.mark.parametrize("name", sorted({*options("sampler")} - {"checkpoint"}))
@pytest.mark.parametrize("entry", ["train", "sample"])
def test_samplers_are_built(entry, name):
    sampler = instantiate(configure(entry, [f"sampler={name}"]).sampler)
    assert isinstance(sampler, Sampler)
    assert sampler.name == {"release": "ddpm"}.get(name, name)
    assert 200 in sampler.timesteps(sqrt_linear())


def test_a_checkpoints_own_sampler_stands_where_nothing_else_is_asked_for():
    own = SamplerConfig("ddim", 7, eta=0.5)
    assert chosen_sampler(configure("sample").sampler, own) == build_sampler("ddim", 7, eta=0.5)
    changed = configure("sample", ["sampler.steps=3"]).sampler
    assert chosen_sampler(changed, own).steps == 3
    assert chosen_sampler(changed, None) == build_sampler("dpm", 3, sde=True, clip=(0.0, 1.0))
    assert chosen_sampler(configure("sample", ["sampler=ddpm"]).sampler, own).steps == 1000
    released = SamplerConfig(**vars(default_sampler("release")))
    assert chosen_sampler(configure("sample").sampler, released) == default_sampler("release")
    assert {entry.name for entry in fields(SamplerConfig)} == {entry.name for entry in fields(Sampler)}


def test_the_releases_network_has_41_48_million_parameters():
    config = configure("train", ["experiment=release", "data=bgm909"])
    assert (config.data.window, config.trainer.condition_dropout, config.sampler.start) == (16, 0, 998)
    model = OmegaConf.to_container(config.model, resolve=True)
    model["conditioner"] |= {"visual_width": 512, "language_width": 768}
    with torch.device("meta"):
        network = build_network(model)
    assert sum(parameter.numel() for parameter in network.parameters()) == 41_476_098
    assert model["unet"]["mask_self_attention"]


@pytest.mark.parametrize("name", options("features"))
def test_extractors_are_built(name):
    extractor = instantiate(configure("sample", [f"features={name}"]).features)
    assert extractor.id
    assert extractor.visual_width > 0
    assert extractor.language_width > 0


@pytest.mark.parametrize("name", options("data"))
def test_data_sources_compose(name, tmp_path):
    data = configure(
        "train", [f"data={name}", f"data.root={tmp_path}"] if name != "generated" else ["data=generated"]
    ).data
    assert "_target_" in data.source


@pytest.mark.parametrize("name", options("trainer"))
def test_trainers_compose(name):
    assert configure("train", [f"trainer={name}"]).trainer.batch_size > 0


@pytest.mark.parametrize("name", options("experiment"))
def test_experiments_compose_and_say_how_to_run_them(name):
    assert configure("train", [f"experiment={name}"]).out
    text = (CONFIGS / "experiment" / f"{name}.yaml").read_text()
    assert f"experiment={name}" in text


@pytest.mark.parametrize("name", options("table"))
def test_tables_compose(name):
    assert configure("evaluate", [f"table={name}"])


@pytest.mark.parametrize("name", options("budget"))
def test_budgets_compose_and_say_how_to_run_them(name):
    assert configure("reproduce", [f"budget={name}"]).budget.name == name
    assert f"make reproduce BUDGET={name}" in (CONFIGS / "budget" / f"{name}.yaml").read_text()
