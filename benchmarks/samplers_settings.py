"""The settings of configs/bench_samplers.yaml as types, and the rows that it compares."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from diffbgm.errors import InputError
from diffbgm.fields import check, check_among, field
from diffbgm.generation.settings import ComposeSettings
from diffbgm.models.config import SamplerConfig
from diffbgm.training.settings import check_data


@dataclass(frozen=True)
class BenchSettings:
    """The settings outside the group `data`."""

    checkpoint: str = field(length=(1, 4096), help="a shipped name, a file, a folder or a hub id")
    out: str = field(length=(1, 4096), help="a .json file that stores every finished row")
    segments: int = field(low=1, high=10**6, help="spread evenly over the held-out songs")
    seed: int = field(low=0, high=2**63 - 1)
    device: str = field(length=(1, 64), help="auto, cpu, cuda, cuda:1 or mps")
    batch: int = field(low=1, high=4096, help="segments per call of the network")
    cpu_time: bool = field(help="measure CPU time instead of wall time, for a shared machine")
    only: tuple[str, ...] | None = field(length=(0, 1000), help="names of `samplers`; []: only measure; null: all")
    structure: bool = field(help="SI")
    retrieval: bool = field(help="P@20")
    judges: bool = field(help="overlapped area and a classifier")
    musicnn: str | None = field(length=(1, 4096), help="another file for the tagger; null: the shipped one")
    paper_steps: int | None = field(low=1, high=10_000, help="steps on which the paper's time is measured; null: none")
    speed: int = field(low=0, high=10_000, help="timed calls of the network; 0: none")
    paper: str = field(length=(1, 200), help="the row that the others are compared with")
    shared: Mapping[str, Any] = field(help="what all samplers have in common, as in configs/sampler")
    samplers: Mapping[str, Any] = field(help="rows, each as `RowSettings` has it")


@dataclass(frozen=True)
class RowSettings:
    """A row of `samplers`."""

    sampler: SamplerConfig
    compose: ComposeSettings
    precision: str = field(choices=("fp32", "bf16", "fp16"))
    halves: bool = field(help="ask the network with and without the condition in two calls, as the release does")


def bench_settings(config: Mapping[str, Any]) -> BenchSettings:
    """The checked settings. InputError for one that is unknown, of another type or out of range, rows included."""
    own = check_among(BenchSettings, config)
    check_data(config["data"], "data")
    check(SamplerConfig, own.shared, "shared")
    for name in rows_of(own):
        row_settings(own, name)
    row_settings(own, own.paper)
    return own


def rows_of(own: BenchSettings) -> tuple[str, ...]:
    """The names of the rows that are asked for."""
    return tuple(own.samplers) if own.only is None else own.only


def row_settings(own: BenchSettings, name: str) -> dict[str, Any]:
    """Everything about a row of `samplers`, as JSON has it. InputError as for `bench_settings`, or for another name."""
    if name not in own.samplers:
        raise InputError(f"there is no row {name} in samplers; choose from {', '.join(own.samplers)}")
    row, full = own.samplers[name], f"samplers.{name}"
    if isinstance(row, Mapping):
        row = {"compose": {}, "precision": "fp32", "halves": False, **row}
        if isinstance(row.get("sampler"), Mapping):
            row["sampler"] = {**own.shared, **row["sampler"]}
    check(RowSettings, row, full)
    if "name" not in row["sampler"]:
        raise InputError(f"no value for {full}.sampler.name; give the name of a sampler, such as dpm")
    return row
