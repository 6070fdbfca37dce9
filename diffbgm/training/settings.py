"""How a run trains: configs/trainer/*.yaml, field by field. Steps count optimizer steps."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """One file of configs/trainer."""

    steps: int | None  # length of the run, or
    epochs: int | None  # in passes over the training segments
    batch_size: int  # segments a step, over all processes and accumulated pieces
    accumulate: int  # pieces in which a process works through its share of the batch
    precision: str  # auto | fp32 | bf16 | fp16
    channels_last: bool
    compile: bool
    attention: str  # auto | math: see configs/trainer/lite.yaml
    optimizer: str  # adam | adamw | muon
    lr: float
    betas: tuple[float, float]
    weight_decay: float
    warmup: int  # steps
    decay: str  # constant | cosine | tail
    clip: float  # gradient norm
    ema: float  # 0: no moving average
    condition_dropout: float
    stratified: bool  # timesteps of a batch spread evenly
    log_every: int  # steps between two writes of log.jsonl, which holds every step
    training_segments: int | None  # null: all
    validate_every: int
    validation_split: str
    validation_segments: int
    checkpoint_every: int  # steps, and
    checkpoint_minutes: float  # minutes, whichever comes first
    keep: int  # training states
    preview_every: int
    previews: int
