"""Settings are types: every field of every table refuses what it cannot use, in one sentence with its name."""

import dataclasses
import math
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from benchmarks.samplers_settings import BenchSettings, RowSettings
from diffbgm.app.card import CardSettings
from diffbgm.app.cli import configure
from diffbgm.app.evaluate import EvaluateSettings
from diffbgm.app.features import FeatureSettings
from diffbgm.app.gradio_app import AppSettings
from diffbgm.app.prepare_bgm909 import LayoutSettings
from diffbgm.app.sample import FolderSettings, IndexSettings
from diffbgm.app.shards import ShardSettings
from diffbgm.app.songs import SongSettings
from diffbgm.datasets.generated import GeneratedSettings
from diffbgm.datasets.midi_folder import MidiSettings
from diffbgm.datasets.song import RootSettings
from diffbgm.datasets.splits import SplitSettings
from diffbgm.errors import InputError
from diffbgm.evaluation.rhythm import AdvSettings
from diffbgm.fields import Described, check, described, field, plain
from diffbgm.generation.settings import SampleSettings
from diffbgm.models.config import CheckpointConfig, SamplerConfig, SamplingConfig, ScheduleConfig
from diffbgm.training.settings import DataSettings, RunSettings, TrainerSettings, check_run
from diffbgm.video.captions import CaptionerSettings, EmbedderSettings
from diffbgm.video.encoders import ClipSettings, LiteSettings
from diffbgm.video.shots import AdaptiveSettings, TransNetSettings
from scripts.dataset_report import ReportSettings
from scripts.fit_discriminator import DiscriminatorSettings
from scripts.fit_grooves import GrooveSettings
from scripts.fit_harmony import FitSettings
from scripts.measure_harmony import HarmonySettings
from scripts.measure_reprise import RepriseSettings
from scripts.reproduce import ReproduceSettings

TABLES = {
    "trainer": TrainerSettings,
    "data": DataSettings,
    "": RunSettings,
    "sampler": SamplerConfig,
    "sampling": SamplingConfig,
}
TABLES |= {"songs": SongSettings, "index": IndexSettings, "extract": FeatureSettings, "adv": AdvSettings}
TABLES |= {"evaluate": EvaluateSettings, "folder": FolderSettings, "sample": SampleSettings, "shards": ShardSettings}
TABLES |= {"schedule": ScheduleConfig, "checkpoint": CheckpointConfig}
TABLES |= {"lite": LiteSettings, "clip": ClipSettings, "embedder": EmbedderSettings, "captioner": CaptionerSettings}
TABLES |= {"adaptive": AdaptiveSettings, "transnetv2": TransNetSettings, "app": AppSettings, "root": RootSettings}
TABLES |= {"split": SplitSettings, "generated": GeneratedSettings, "midi": MidiSettings, "card": CardSettings}
TABLES |= {"layout": LayoutSettings, "bench": BenchSettings, "row": RowSettings, "report": ReportSettings}
TABLES |= {"grooves": GrooveSettings, "discriminator": DiscriminatorSettings}
TABLES |= {"fit": FitSettings, "harmony": HarmonySettings, "reprise": RepriseSettings, "reproduce": ReproduceSettings}
EVERY = [(table, setting) for name, table in TABLES.items() for setting in described(table, name)]
EVERY = [(table, setting) for table, setting in EVERY if setting.name != "sample.program"]  # names are looked up later
NOT_VALUES = [{}, {"a": 1}, [[]], [{}], b"x", object, math.nan, math.inf, "\0", "x" * 5000, [None], [math.nan]]


def kinds(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)


def wrong(setting: Described) -> Iterator[Any]:
    """Values of another type, and just outside the range."""
    hint, limits = setting.hint, setting.limits
    if hint is not typing.Any and "Mapping" not in str(hint):
        yield from NOT_VALUES
    if hint in (int, float, bool) or hint in (int | None, float | None):
        yield from ("abc", "", "1", "../x", [1])
    if hint in (int, int | None, float, str, int | str) and hint is not bool:
        yield from (True, False)
    if hint in (int, int | None):
        yield from (0.5, 2**4000, -(2**4000))
    if hint is bool:
        yield from (0, 1, "true", None)
    step = 1 if int in kinds(hint) else 1e-3
    pair = typing.get_origin(hint) is tuple
    bounds = [limits.low - step] if limits.low is not None else []
    bounds += [limits.high * (1 + 1e-9) + step] if limits.high is not None else []
    bounds += [limits.above] if limits.above is not None else []
    for value in bounds:
        value = int(value) if int in kinds(hint) and abs(value) < 2**53 else value
        yield [value] * 2 if pair else value
    if any(isinstance(choice, str) for choice in limits.choices):
        yield from ("nothing of the kind", "")
    if None not in kinds(hint) and type(None) not in kinds(hint):
        yield None


@pytest.mark.parametrize(("table", "setting"), EVERY, ids=[f"{kind.__name__}-{s.name}" for kind, s in EVERY])
def test_every_field_refuses_what_it_cannot_use(table: type, setting: Described) -> None:
    @dataclass(frozen=True)
    class Alone:
        it: Any

    Alone.__annotations__["it"] = setting.hint
    Alone.__dataclass_fields__["it"].metadata = {"limits": setting.limits}
    tried = list(wrong(setting))
    assert tried or "Mapping" in str(setting.hint)
    for value in tried:
        with pytest.raises(InputError) as caught:
            check(Alone, {"it": value}, "settings")
        sentence = str(caught.value)
        assert "settings.it=" in sentence
        assert setting.allowed in sentence
        assert len(sentence) < 400
        assert "\n" not in sentence
    if setting.default is not dataclasses.MISSING:
        assert check(Alone, {"it": setting.default}).it == setting.default


def test_what_is_read() -> None:
    @dataclass(frozen=True)
    class Inner:
        rate: float = field(1.0, above=0, high=2)

    @dataclass(frozen=True)
    class Outer:
        name: str
        inner: Inner = Inner()
        window: int | str = field(8, choices=(4, 8, "dynamic"))
        pair: tuple[int, int] | None = field(None, low=0, rising=True)

    assert check(Outer, {"name": 2024, "inner": {"rate": 1}, "pair": [1, 2]}) == Outer("2024", Inner(1.0), 8, (1, 2))
    assert check(Outer, {"name": "x", "window": "dynamic"}).window == "dynamic"
    said = {
        "unknown setting 'outer.nmae'; did you mean 'outer.name'?": {"nmae": "x"},
        "unknown setting 'outer.zzzzz'; known are name, inner, window, pair": {"zzzzz": 1},
        "no value for outer.name; give text of 0 to 4096 characters": {},
        "outer.inner.rate=0 cannot be used; give a number above 0 up to 2": {"name": "x", "inner": {"rate": 0}},
        "outer.inner=3 cannot be used; give settings by name": {"name": "x", "inner": 3},
        "outer.window=5 cannot be used; give one of 4, 8, or dynamic": {"name": "x", "window": 5},
        "outer.pair=[2, 1] cannot be used; give a list of 2 rising items, each a whole number of at least 0, or null": {
            "name": "x",
            "pair": [2, 1],
        },
    }
    for sentence, given in said.items():
        with pytest.raises(InputError) as caught:
            check(Outer, given, "outer")
        assert str(caught.value) == sentence
    with pytest.raises(InputError, match="give settings by name"):
        check(Outer, [1], "outer")  # type: ignore[arg-type]


def test_free_values_are_plain_and_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert plain({"a": [1, None, "x", {"b": 2.5}]}, "x") == {"a": [1, None, "x", {"b": 2.5}]}
    for value in (endless, {"a": math.nan}, {"a": object()}, list(range(5000)), b"x"):
        with pytest.raises(InputError, match="cannot be used"):
            plain(value, "x")


@pytest.mark.parametrize(
    "setting",
    "seed=-1 seed=1180591620717411303424 seed=abc schedule.steps=0 schedule.roll_scale=-1 sampling.guidance=abc "
    "sampling.threshold=2 sampler.steps=0 data.window=5 data.workers=0 data.transpose=[5,-6] data.perturb=3 "
    "data.noise.dropout=2 data.noise.widest=33 data.noise=3 data.theme.spans=[0] data.reference.told=-1 "
    "trainer.accumulate=0 trainer.batch_size=0 trainer.lr=-1 trainer.lr=nan trainer.steps=-1 trainer.decay=foo "
    "trainer.ema=5 trainer.betas=[1,1] trainer.keep=0 trainer.log_every=0 trainer.epochs=0 trainer.clip=0".split(),
)
def test_the_settings_of_a_run(setting: str) -> None:
    config = configure("train", ["experiment=smoke", setting])
    with pytest.raises(InputError) as caught:
        check(TrainerSettings, config.trainer, "trainer")
        check_run(config)
    assert str(caught.value).startswith(f"{setting.partition('=')[0]}=")


@pytest.mark.parametrize(
    "words",
    [
        *((f"data=generated data.{s}") for s in ("bars=abc", "count=-3", "validation=7", "data_seed=-1")),
        *((f"data=midi_folder data.root=x data.{s}") for s in ("validation=7", "drums=3", "split_seed=x", "split=[1]")),
        *((f"data=bgm909 data.{s}") for s in ("songs=first", "trust_pickles=3", "root=null")),
        *((f"features=lite features.{s}") for s in ("encoder.side=abc", "encoder.rate=-1", "shots.window=0")),
        *((f"features=clip features.{s}") for s in ("encoder.width=0", "captioner.batch_size=0", "shots.threshold=2")),
        "features=clip features.embedder.pooling=most",
        *(f"features=clip features.{part}.weights.name=[1]" for part in ("encoder", "captioner", "embedder")),
        *(f"features=clip features.encoder.weights.{s}" for s in ("revision=null", "folder=")),
    ],
)
def test_the_settings_of_sources_and_features(words: str) -> None:
    """They are checked where the object is built, so from Python too; the name is the one that is typed."""
    given, data = words.split(), words.startswith("data")
    config = configure("prepare", given) if data else configure("extract_features", [*given, "videos=v", "out=o"])
    with pytest.raises(InstantiationException) as caught:
        instantiate(config.data.source if data else config.features)
    assert isinstance(caught.value.__cause__, InputError)
    assert str(caught.value.__cause__).startswith(f"{given[-1].partition('=')[0]}=")


def test_a_setting_of_earlier_versions_is_passed_over() -> None:
    """`data.limit` was in every config.yaml that version 0.2.0 wrote, and nothing read it; newer ones were not."""
    config = OmegaConf.to_container(configure("train", ["experiment=smoke"]), resolve=True)
    assert isinstance(config, dict)
    config["data"]["limit"] = None
    for name in ("noise", "theme", "reference"):  # constants until then
        del config["data"][name]
    check_run(config)
    assert "data.limit" not in {setting.name for setting in described(DataSettings, "data")}


@pytest.mark.parametrize("experiment", ["smoke", "paper", "pop909_lite", "overfit_one", "window_dynamic"])
def test_the_settings_that_come_along_are_right(experiment: str) -> None:
    config = configure("train", [f"experiment={experiment}", "out=runs/2024"])
    check(TrainerSettings, config.trainer, "trainer")
    check_run(config)
