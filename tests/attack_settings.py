"""Invalid values for every field of every table of settings (too small, too large, NaN, other types) as arguments."""

import typing
from collections.abc import Iterator, Mapping

from attack_lay import clip
from attack_runner import Case

from benchmarks.samplers_settings import BenchSettings, RowSettings
from diffbgm.app.evaluate import EvaluateSettings
from diffbgm.app.features import FeatureSettings
from diffbgm.app.prepare_bgm909 import LayoutSettings
from diffbgm.app.sample import FolderSettings, IndexSettings
from diffbgm.app.shards import ShardSettings
from diffbgm.app.songs import SongSettings
from diffbgm.evaluation.rhythm import AdvSettings
from diffbgm.fields import Described, described
from diffbgm.generation.settings import ComposeSettings, SampleSettings
from diffbgm.training.settings import DataSettings, RunSettings, TrainerSettings
from diffbgm.video.weights import Weights
from scripts.dataset_report import ReportSettings
from scripts.fit_discriminator import DiscriminatorSettings
from scripts.fit_grooves import GrooveSettings
from scripts.fit_harmony import FitSettings
from scripts.measure_harmony import HarmonySettings
from scripts.measure_reprise import RepriseSettings
from scripts.reproduce import ReproduceSettings

NOT_IN_CONFIGS = ("sampler.",)  # a group of its own, whose keys depend on the option


def outside(setting: Described) -> Iterator[str]:
    """Invalid values of a setting as text."""
    kinds = typing.get_args(setting.hint) or (setting.hint,)
    limits, several = setting.limits, typing.get_origin(setting.hint) is tuple
    number = int in kinds or float in kinds
    if str not in kinds:
        yield "abc"
    if number:
        yield "nan"
    low = limits.low - 1 if limits.low is not None else limits.above
    for value in (low, None if limits.high is None else limits.high + 1 + limits.high / 1e6):
        if value is not None and number:
            text = str(int(value)) if float in kinds or float(value).is_integer() else str(value)
            yield f"[{text},{text}]" if several else text
    if bool in kinds:
        yield "2"
    yield "{a:1}"
    if any(isinstance(choice, str) for choice in limits.choices):
        yield "nothing"


def script_tables(data: Mapping[str, str]) -> list[tuple[str, Mapping[str, str], type, str]]:
    """The tables of what is no command of `diffbgm`: (how it is called, what it is given, table, prefix)."""
    composes = {**data, "checkpoint": "{top}/tiny.safetensors"}
    bench = composes | {"out": "b.json"}
    return [
        ("benchmarks samplers", bench, BenchSettings, ""),
        ("benchmarks samplers", bench, RowSettings, "++samplers.dpm_sde_20"),
        ("dataset_report", {**data, "out": "d"}, ReportSettings, ""),
        ("fit_discriminator", composes | {"music": "m", "out": "f"}, DiscriminatorSettings, ""),
        ("fit_grooves", {"data.root": "p", "out": "g.npz"}, GrooveSettings, ""),
        ("fit_harmony", {"data.root": "p", "out": "h.npz"}, FitSettings, ""),
        ("measure_harmony", composes, HarmonySettings, ""),
        ("measure_reprise", composes, RepriseSettings, ""),
        ("reproduce", {"budget.data": "[generated]", "out": "r"}, ReproduceSettings, ""),
    ]


def settings_cases() -> Iterator[Case]:
    """One case per invalid value."""
    sample = {"videos": "v", "out": "o", "checkpoint": "{top}/tiny.safetensors"}
    train = {"experiment": "smoke", "out": "r", "data.cache": "dc"}
    tables = [("sample", sample, kind, "") for kind in (FolderSettings, SampleSettings, ShardSettings)]
    tables += [
        ("train", train, TrainerSettings, "trainer"),
        ("train", train, DataSettings, "data"),
        ("train", train, RunSettings, ""),
    ]
    data = {"data": "generated", "data.cache": "dc"}
    tables += [("evaluate", {"generated": "g", "out": "e"}, EvaluateSettings, "")]
    tables += [("evaluate", {"generated": "g", "out": "e"}, AdvSettings, "adv")]
    tables += [("songs", data | {"checkpoint": "{top}/tiny.safetensors", "out": "s"}, SongSettings, "")]
    tables += [
        ("features", {"videos": "v", "out": "f"}, FeatureSettings, ""),
        ("index", {"out": "v"}, IndexSettings, ""),
    ]
    tables += [("prepare", data, DataSettings, "data")]
    tables += [("prepare-bgm909", {"videos": "v", "pop909": "p", "out": "o"}, LayoutSettings, "")]
    clip_features = {"videos": "v", "out": "f", "features": "clip"}
    for part in ("encoder", "captioner", "embedder"):
        tables += [("features", clip_features, Weights, f"features.{part}.weights")]
    tables += script_tables(data)
    grouped = {entry.name for entry in described(ComposeSettings)}
    for command, given, table, prefix in tables:
        for setting in described(table, prefix):
            name = f"compose.{setting.name}" if table is SampleSettings and setting.name in grouped else setting.name
            if name.startswith(NOT_IN_CONFIGS):
                continue
            for value in outside(setting):
                words = [f"{key}={text}" for key, text in given.items() if key != name]
                given_words = (*command.split(), *words, f"{name}={value}")
                yield Case(f"{command} {name}={value}", given_words, clip("v/good.mp4"), says=name.split(".")[-1])
