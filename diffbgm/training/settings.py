"""The settings of configs/train.yaml, configs/trainer and configs/data as types. Steps are optimizer steps."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from diffbgm.datasets.hints import ReferenceHint, ThemeHint
from diffbgm.datasets.perturb import Perturbation
from diffbgm.fields import check, check_among, field
from diffbgm.models.config import SamplerConfig, SamplingConfig, ScheduleConfig

MOST = 10**9  # upper limit of steps, segments and intervals


@dataclass(frozen=True)
class TrainerSettings:
    """One file of configs/trainer."""

    steps: int | None = field(low=1, high=MOST, help="length of the run in optimizer steps; null: given by epochs")
    epochs: int | None = field(low=1, high=10**6, help="length of the run in epochs, if steps is null")
    batch_size: int = field(low=1, high=65_536, help="segments per step over all processes, accumulation included")
    accumulate: int = field(low=1, high=65_536, help="gradient accumulation: forward passes per step and process")
    precision: str = field(choices=("auto", "fp32", "bf16", "fp16"), help="fp16 needs a GPU")
    channels_last: bool = field(help="memory layout of the convolutions")
    compile: bool = field(help="use torch.compile")
    attention: str = field(choices=("auto", "math"), help="attention kernel; see configs/trainer/lite.yaml")
    optimizer: str = field(choices=("adam", "adamw", "muon"))
    lr: float = field(low=0, high=10)
    betas: tuple[float, float] = field(low=0, high=0.999999)
    weight_decay: float = field(low=0, high=10)
    warmup: int = field(low=0, high=MOST, help="warm-up steps")
    decay: str = field(choices=("constant", "cosine", "tail"), help="tail: linear to zero over the last fifth")
    clip: float = field(above=0, high=1e9, help="largest gradient norm")
    ema: float = field(low=0, high=0.9999999, help="decay of the exponential moving average of the weights; 0: none")
    condition_dropout: float = field(low=0, high=1, help="probability of training without the condition")
    stratified: bool = field(help="spread the timesteps of a batch evenly instead of drawing them independently")
    log_every: int = field(low=1, high=MOST, help="steps between two writes of log.jsonl, which holds every step")
    training_segments: int | None = field(low=1, high=MOST, help="train on only this many segments; null: all")
    validate_every: int = field(low=1, high=MOST)
    validation_split: str = field(choices=("train", "val"))
    validation_segments: int = field(low=1, high=MOST)
    checkpoint_every: int = field(low=1, high=MOST, help="most steps between two checkpoints")
    checkpoint_minutes: float = field(above=0, high=1e6, help="most minutes between two checkpoints")
    keep: int = field(low=1, high=10_000, help="number of training states to keep")
    preview_every: int = field(low=1, high=MOST, help="steps, a multiple of validate_every")
    previews: int = field(low=1, high=256)
    tracker: str | tuple[str, ...] | None = field(
        "tensorboard", help="accelerate's names: tensorboard, wandb, trackio, mlflow, ...; null: only log.jsonl"
    )


@dataclass(frozen=True)
class RunSettings:
    """The settings of configs/train.yaml outside its groups."""

    schedule: ScheduleConfig
    sampling: SamplingConfig
    sampler: SamplerConfig
    out: str = field(length=(1, 4096), help="folder for config.yaml, log.jsonl, tensorboard/ and checkpoints/")
    seed: int = field(low=0, high=2**63 - 1)
    init: str | None = field(length=(1, 4096), help="a checkpoint whose weights training starts from")


@dataclass(frozen=True)
class DataSettings:
    """The settings that all files of configs/data share; each source has more of its own."""

    cache: str = field(length=(1, 4096), help="folder for the prepared data")
    workers: int | None = field(low=1, high=1024, help="processes that prepare the data; null: all cores")
    transpose: tuple[int, int] = field(low=-24, high=24, rising=True, help="range of transposition in semitones")
    perturb: bool = field(help="add noise to self-paired conditions in training")
    window: int | str = field(choices=(4, 8, 16, 32, "dynamic"), help="beats per attention window")
    noise: Perturbation = dataclasses.field(default_factory=Perturbation)  # versions to 0.2.0 wrote none of these three
    theme: ThemeHint = dataclasses.field(default_factory=ThemeHint)
    reference: ReferenceHint = dataclasses.field(default_factory=ReferenceHint)


def check_run(config: Mapping[str, Any]) -> None:
    """Raise InputError if a setting of configs/train.yaml or of its data has a wrong type or is out of range."""
    run = {entry.name: config[entry.name] for entry in fields(RunSettings)}
    run["sampler"] = {key: value for key, value in run["sampler"].items() if key != "_target_"}
    check(RunSettings, run)
    for name, data in {
        "data": config["data"],
        **{f"also.{name}": data for name, data in config["also"].items()},
    }.items():
        check_data(data, name)


def check_data(data: Mapping[str, Any], name: str) -> DataSettings:
    """The settings shared by all files of configs/data. InputError for a wrong type or a value out of range."""
    return check_among(DataSettings, data, name)
