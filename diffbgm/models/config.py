"""The config of a checkpoint as types, validated once when a file is read.

The limits are wide enough for any network worth training, and narrow enough that building one takes bounded time; that
the weights in a file match its config is checked before memory is allocated (checkpoint.py). Names that select code
(objective, features, sampler) are compared with fixed lists and are never import paths.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffbgm.diffusion.couplings import UNCOUPLED, Couplings
from diffbgm.diffusion.objective import OBJECTIVES, PIVOTS
from diffbgm.diffusion.samplers import SAMPLERS, SPACINGS
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.models.conditioner import STRATEGIES

FORMAT = 1
FEATURES = ("lite", "clip")
STEPS = 128  # of a segment
WIDEST = 8192  # of features, tokens and feature maps


@dataclass(frozen=True)
class UNetConfig:
    """The arguments of models.adapter.RollUNet; see there."""

    in_channels: int = field(2, choices=(2, 4))
    out_channels: int = field(2, choices=(2, 4))
    channels: int = field(64, low=1, high=1024)
    attention_levels: tuple[int, ...] = field((2, 3), low=0, high=7, length=(0, 8))
    n_res_blocks: int = field(2, low=1, high=8)
    channel_multipliers: tuple[int, ...] = field((1, 2, 4, 4), low=1, high=16, length=(1, 6))
    n_heads: int = field(4, low=1, high=64)
    tf_layers: int = field(1, low=0, high=8)
    d_cond: int = field(512, low=2, high=WIDEST)
    mask_self_attention: bool = False
    positions: bool = False
    beat_condition: bool = False
    self_condition: bool = False
    theme_condition: bool = False
    reference_condition: bool = False
    rhythm_layers: int = field(0, low=0, high=8)
    rhythm_width: int = field(128, low=1, high=WIDEST)
    pack: tuple[int, int] = field((1, 1), low=1, high=32)
    pitches: tuple[int, int] = field((0, 128), low=0, high=128, rising=True)
    output_bias: float = field(0.0, low=-20, high=20)
    norm_groups: int = field(32, low=1, high=1024)

    def __post_init__(self) -> None:
        if max(self.channel_multipliers) * self.channels > WIDEST:
            raise InputError(
                f"model.unet.channels={self.channels} times {max(self.channel_multipliers)} is more than {WIDEST}; "
                "give fewer channels"
            )
        if self.pitches[0] == self.pitches[1] or STEPS % (self.pack[0] * 2 ** (len(self.channel_multipliers) - 1)):
            raise InputError(
                f"model.unet.pitches={list(self.pitches)} and pack={list(self.pack)} cannot be halved at "
                f"{len(self.channel_multipliers)} levels; give other pitches, a smaller pack or fewer levels"
            )
        if self.d_cond % 2 or self.channels % 2 or (self.rhythm_layers and self.rhythm_width % self.n_heads):
            raise InputError(
                f"model.unet.channels={self.channels} and d_cond={self.d_cond} must be even, "
                f"and rhythm_width={self.rhythm_width} a multiple of n_heads={self.n_heads}"
            )


@dataclass(frozen=True)
class SelectorConfig:
    """The arguments of models.conditioner.FeatureSelector."""

    strategy: str = field(choices=STRATEGIES)
    switch: int = field(200, low=0, high=10_000)
    seed: int = field(0, low=0, high=2**31 - 1)


@dataclass(frozen=True)
class ConditionerConfig:
    """The arguments of models.conditioner.Conditioner."""

    selector: SelectorConfig
    visual_width: int = field(low=1, high=WIDEST)
    language_width: int = field(low=1, high=WIDEST)
    null: str = field("learned", choices=("learned", "minus_one"))
    padding: str = field("null", choices=("null", "zero"))
    project_visual: bool = True
    normalise: bool = False


@dataclass(frozen=True)
class ModelConfig:
    """A whole network (models/network.py)."""

    unet: UNetConfig
    conditioner: ConditionerConfig


@dataclass(frozen=True)
class ScheduleConfig:
    """The arguments of diffusion.schedule.sqrt_linear."""

    steps: int = field(1000, low=2, high=10_000)
    start: float = field(0.00085, above=0, high=0.5)
    end: float = field(0.012, above=0, high=0.5)
    roll_scale: float = field(1.0, above=0, high=100, help="as if rolls were of {0, this}: more signal at every t")

    def __post_init__(self) -> None:
        if self.start > self.end:
            raise InputError(f"schedule.start={self.start:g} is above schedule.end={self.end:g}; noise must increase")


@dataclass(frozen=True)
class FeaturesConfig:
    """The extractor whose features the network was trained on."""

    name: str = field(choices=FEATURES)
    visual_width: int = field(low=1, high=WIDEST)
    language_width: int = field(low=1, high=WIDEST)


@dataclass(frozen=True)
class SamplerConfig:
    """The arguments of diffusion.samplers.build_sampler."""

    name: str = field("ddpm", choices=tuple(SAMPLERS))
    steps: int = field(1000, low=1, high=10_000, help="network calls per window")
    eta: float = field(0.0, low=0, high=1, help="for ddim: 0 is deterministic, 1 as random as ddpm")
    sde: bool = field(False, help="for dpm: fresh noise at each step")
    spacing: str = field("trailing", choices=SPACINGS)
    through: tuple[int, ...] = field((200,), low=0, high=9_999, length=(0, 100), help="timesteps always visited")
    clip: tuple[float, float] | None = field(None, low=-100, high=100, rising=True, help="range of the predicted roll")
    start: int | None = field(None, low=0, high=9_999, help="first timestep; null: the last one of the schedule")
    initial: int | None = field(None, low=0, high=9_999, help="timestep whose noise level the initial noise has")
    guidance: float | None = field(None, low=-100, high=100, help="guidance scale published with the sampler")
    longform: str | None = field(None, choices=("independent", "outpaint", "joint"))
    tempo: float | None = field(None, low=40, high=240)


@dataclass(frozen=True)
class SamplingConfig:
    """The default sampling settings of a checkpoint."""

    guidance: float = field(1.0, low=-100, high=100, help="scale of classifier-free guidance; 1: no guidance")
    threshold: float = field(0.5, above=0, high=0.999999, help="probability above which a cell of the roll is a note")
    temperature: float = field(1.0, above=0, high=10, help="below 1: more confident about each cell")
    pivots: tuple[float, ...] = field(
        PIVOTS, above=0, high=0.999999, length=(2, 4), help="probabilities of onsets and sustains that it leaves alone"
    )
    couplings: Couplings = UNCOUPLED
    discriminator: float = field(0.0, low=0, high=100, help="weight of discriminator guidance")
    form: str = field("free", length=(1, 64), help="one letter per eight bars, or free")
    harmony: str = field("free", choices=("free", "plan"), help="plan: chords are planned before the notes")
    rhythm: str = field("free", choices=("free", "plan"), help="plan: a groove is chosen before the notes")
    voices: tuple[int, ...] | None = field(
        None, low=1, high=88, length=(2, 2), help="most notes of lead and accompaniment that start together"
    )
    rests: int = field(0, low=0, high=16, help="rests of at most this many sixteenths are held over")
    sampler: SamplerConfig | None = None


SAMPLING = tuple(entry.name for entry in dataclasses.fields(SamplingConfig) if entry.name != "sampler")
"""The names of the sampling settings apart from the sampler."""


@dataclass(frozen=True)
class CheckpointConfig:
    """The metadata of a checkpoint. `training` is only for information; no code depends on it."""

    model: ModelConfig
    features: FeaturesConfig
    objective: str = field(choices=tuple(OBJECTIVES))
    schedule: ScheduleConfig = ScheduleConfig()
    window: int | str = field(8, choices=(4, 8, 16, 32, "dynamic"))
    discriminator_width: int = field(0, low=0, high=1024, help="feature maps of its first layer; 0: there is none")
    sampling: SamplingConfig = SamplingConfig()
    training: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    format: int = field(FORMAT, choices=(FORMAT,))

    def __post_init__(self) -> None:
        conditioner = self.model.conditioner
        widths = (conditioner.visual_width, conditioner.language_width)
        if widths != (self.features.visual_width, self.features.language_width):
            raise InputError(f"the model takes features of widths {widths}, not those of features={self.features.name}")
        unet = self.model.unet
        if unet.pitches != (0, 128) and self.objective not in ("x0_logits", "x0_posterior"):
            raise InputError(
                f"objective={self.objective} needs a prediction for every pitch, but the model sees only pitches "
                f"{unet.pitches}; use objective=x0_posterior or model.unet.pitches=[0,128]"
            )

    def plain(self) -> dict[str, Any]:
        """The config as nested dicts, for JSON."""
        return dataclasses.asdict(self)


def checkpoint_config(given: Mapping[str, Any]) -> CheckpointConfig:
    """The validated config of a checkpoint or training state, migrated if it is old. Raises InputError if invalid."""
    return check(CheckpointConfig, _migrated(given))


def _migrated(given: Mapping[str, Any]) -> Mapping[str, Any]:
    """The config without what versions up to 0.2.0 stored: the extractor, and the sampler's import path or steps."""
    if not isinstance(given, Mapping):
        return given
    config = dict(given)
    if isinstance(config.get("features"), Mapping):
        config["features"] = {key: value for key, value in config["features"].items() if key != "extractor"}
    sampling = config.get("sampling")
    if isinstance(sampling, Mapping):
        sampling = dict(sampling)
        sampler, steps = sampling.get("sampler"), sampling.pop("steps", None)
        if isinstance(sampler, str):
            sampling["sampler"] = {"name": sampler} | ({} if steps is None else {"steps": steps})
        elif isinstance(sampler, Mapping):
            sampling["sampler"] = {key: value for key, value in sampler.items() if key != "_target_"}
        config["sampling"] = sampling
    return config
