"""How a run trains: configs/train.yaml and configs/trainer/*.yaml, field by field. Steps count optimizer steps."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from diffbgm.fields import check, field
from diffbgm.models.config import SamplerConfig, SamplingConfig, ScheduleConfig

MOST = 10**9  # steps, segments, intervals


@dataclass(frozen=True)
class TrainerSettings:
    """One file of configs/trainer."""

    steps: int | None = field(low=1, high=MOST, help="length of the run, or")
    epochs: int | None = field(low=1, high=10**6, help="in passes over the training segments")
    batch_size: int = field(low=1, high=65_536, help="segments a step, over all processes and accumulated pieces")
    accumulate: int = field(low=1, high=65_536, help="pieces in which a process works through its share of the batch")
    precision: str = field(choices=("auto", "fp32", "bf16", "fp16"), help="fp16 needs a GPU")
    channels_last: bool = field(help="memory layout of the convolutions")
    compile: bool = field(help="by torch.compile")
    attention: str = field(choices=("auto", "math"), help="kernel; see configs/trainer/lite.yaml")
    optimizer: str = field(choices=("adam", "adamw", "muon"))
    lr: float = field(low=0, high=10)
    betas: tuple[float, float] = field(low=0, high=0.999999)
    weight_decay: float = field(low=0, high=10)
    warmup: int = field(low=0, high=MOST, help="steps")
    decay: str = field(choices=("constant", "cosine", "tail"), help="tail: linear to zero over the last fifth")
    clip: float = field(above=0, high=1e9, help="gradient norm")
    ema: float = field(low=0, high=0.9999999, help="decay of the weights' moving average; 0: none")
    condition_dropout: float = field(low=0, high=1)
    stratified: bool = field(help="timesteps of a batch spread evenly instead of drawn one by one")
    log_every: int = field(low=1, high=MOST, help="steps between two writes of log.jsonl, which holds every step")
    training_segments: int | None = field(low=1, high=MOST, help="only this many, spread over the split; null: all")
    validate_every: int = field(low=1, high=MOST)
    validation_split: str = field(choices=("train", "val"))
    validation_segments: int = field(low=1, high=MOST)
    checkpoint_every: int = field(low=1, high=MOST, help="steps, and")
    checkpoint_minutes: float = field(above=0, high=1e6, help="minutes since the last, whichever comes first")
    keep: int = field(low=1, high=10_000, help="training states")
    preview_every: int = field(low=1, high=MOST, help="a multiple of validate_every")
    previews: int = field(low=1, high=256)
    tracker: str | tuple[str, ...] | None = field(
        "tensorboard", help="accelerate's names: tensorboard, wandb, trackio, mlflow, ...; null: log.jsonl alone"
    )


@dataclass(frozen=True)
class RunSettings:
    """The settings of configs/train.yaml outside its groups."""

    schedule: ScheduleConfig
    sampling: SamplingConfig
    sampler: SamplerConfig
    out: str = field(length=(1, 4096), help="config.yaml, log.jsonl, tensorboard/, checkpoints/")
    seed: int = field(low=0, high=2**63 - 1)
    init: str | None = field(length=(1, 4096), help="a checkpoint whose weights are the first")


@dataclass(frozen=True)
class DataSettings:
    """What every file of configs/data has beside the settings of its source."""

    cache: str = field(length=(1, 4096), help="the prepared form, made once")
    workers: int | None = field(low=1, high=1024, help="processes that prepare; null: all cores")
    transpose: tuple[int, int] = field(low=-24, high=24, rising=True, help="semitones by which training music moves")
    perturb: bool = field(help="noise on self-paired conditions in training")
    window: int | str = field(choices=(4, 8, 16, 32, "dynamic"), help="beats an attention window spans")


def check_run(config: Mapping[str, Any]) -> None:
    """InputError where a setting of configs/train.yaml or of its data has a wrong type or is out of range."""
    run = {entry.name: config[entry.name] for entry in fields(RunSettings)}
    run["sampler"] = {key: value for key, value in run["sampler"].items() if key != "_target_"}
    check(RunSettings, run)
    for name, data in {
        "data": config["data"],
        **{f"also.{name}": data for name, data in config["also"].items()},
    }.items():
        check_data(data, name)


def check_data(data: Mapping[str, Any], name: str) -> None:
    """InputError where a setting that every file of configs/data has is of a wrong type or out of range."""
    check(DataSettings, {entry.name: data[entry.name] for entry in fields(DataSettings) if entry.name in data}, name)
