"""What a sampler costs and what it gives: quality against steps on one checkpoint, beside the paper's sampler.

    python -m benchmarks samplers data.root=POP909 out=FILE.json [only=[dpm_sde_20] retrieval=true key=value ...]

For the conditions of held-out segments each of `samplers` (configs/bench_samplers.yaml) composes one piece, always from
the same seeds. The paper's sampler is DDPM over all 1000 steps, guided at each, in float32, with two calls of the
network a step. A row's music and numbers go into FILE.json as soon as it is done: the same command goes on from there.
Prints tables (means with 95 % bootstrap intervals over segments, the real segments first), then one JSON line.
"""

import contextlib
import json
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from torch import Tensor
from tqdm import tqdm

from benchmarks.harness import clock, seconds
from benchmarks.samplers_settings import bench_settings, row_settings, rows_of
from benchmarks.samplers_table import tables
from diffbgm.app.cli import run
from diffbgm.datasets.batch import Batch, Condition
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.diffusion.samplers import build_sampler
from diffbgm.errors import InputError
from diffbgm.evaluation.judges import judge_overlap, judge_two_sample
from diffbgm.evaluation.musicnn import WEIGHTS, load_musicnn
from diffbgm.evaluation.report import mean_of
from diffbgm.evaluation.retrieval import Segment, retrieve
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.evaluation.structure import fitness_of_notes, si_columns
from diffbgm.files import atomic, not_foreign
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import autocast_dtype, device_named, open_checkpoint
from diffbgm.generation.settings import compose_settings
from diffbgm.models.checkpoint import Checkpoint
from diffbgm.models.conditioner import Encoded
from diffbgm.models.network import DiffBGM
from diffbgm.music.density import note_density, spearman
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import decode

Row = dict[str, Any]  # asked, music, seconds, evaluations (both a segment), numbers


def bench_samplers(cfg: DictConfig) -> int:
    """Compose what is missing, measure what is missing, print."""
    own = bench_settings(cfg)
    checkpoint, device = open_checkpoint(cfg.checkpoint), device_named(cfg.device)
    cache = prepare(instantiate(cfg.data.source), cfg.data.cache, cfg.data.workers)
    window = checkpoint.config.window
    loader = SegmentLoader(cache, "val", cfg.segments, limit=cfg.segments, noise=None, window=window)
    batch, path = loader.batch(0, 0), Path(cfg.out)
    identity = {"checkpoint": checkpoint.sha256, "data": str(cache), "segments": len(batch), "seed": cfg.seed}
    identity |= {"device": str(device), "batch": cfg.batch, "cpu_time": cfg.cpu_time}
    bench = resumed(path, identity)
    rows: dict[str, Row] = bench["rows"]
    real = [decode(roll) for roll in batch.roll.numpy()]
    rows.setdefault("real", {"music": stored(real), "seconds": None, "evaluations": None, "numbers": {}})
    for name in rows_of(own):
        asked = row_settings(own, name)
        if name not in rows:
            rows[name] = composed(cfg, checkpoint, batch.condition, asked, device)
            save(path, bench)
        elif rows[name]["asked"] != asked:
            raise InputError(f"{path} has a row {name} of other settings; give the row another name, or another out=")
    for row in tqdm(rows.values(), "measure", disable=None):
        row["numbers"] |= numbers(cfg, restored(row["music"]), real, batch.songs, row["numbers"])
        save(path, bench)
    if cfg.judges:
        judge(rows, batch.songs, cfg.seed)
    if cfg.paper in rows:
        bench["paper_seconds"] = rows[cfg.paper]["seconds"]
    elif cfg.paper_steps and "paper_seconds" not in bench:
        asked = row_settings(own, own.paper)
        steps, asked["sampler"]["steps"] = asked["sampler"]["steps"], cfg.paper_steps
        measured = composed(cfg, checkpoint, batch.condition[: cfg.batch], asked, device)
        bench["paper_seconds"] = measured["seconds"] * steps / cfg.paper_steps
    if cfg.speed and "speed" not in bench:
        bench["speed"] = speed(cfg, checkpoint, batch, device)
    save(path, bench)
    print(tables(bench, cfg.paper))
    plain = {name: {key: value for key, value in row.items() if key != "music"} for name, row in rows.items()}
    print(json.dumps({"bench": "samplers", "device": str(device), **bench, "rows": plain}))
    return 0


def composed(
    cfg: DictConfig, checkpoint: Checkpoint, condition: Condition, asked: dict[str, Any], device: torch.device
) -> Row:
    """One piece for each row of the condition, and what it took."""
    rows = min(cfg.batch, len(condition))
    compose = compose_settings({**asked["compose"], "rows": rows})
    dtype = autocast_dtype(asked["precision"], device)
    composer = Composer(checkpoint, build_sampler(**asked["sampler"]), compose, device, dtype)
    composer.network = network = Counted(composer.network, 2 * rows if asked["halves"] else None)  # type: ignore[assignment]
    clock = time.process_time if cfg.cpu_time else time.perf_counter
    begin = clock()
    steps = composer.segments(condition, [(cfg.seed, row) for row in range(len(condition))])
    for progress in tqdm(steps, "steps", len(composer.sampler.timesteps(composer.schedule)), disable=None):
        rolls = progress.rolls
    music = stored([composer.notes(roll) for roll in rolls])
    seconds, evaluations = (clock() - begin) / len(music), network.evaluations / len(music)
    return {"asked": asked, "music": music, "seconds": seconds, "evaluations": evaluations, "numbers": {}}


class Counted:
    """A network that counts how many rows it is asked for; calls of `halve` rows are made as two of half as many."""

    def __init__(self, network: DiffBGM, halve: int | None) -> None:
        self.network, self.halve, self.evaluations = network, halve, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)

    def __call__(self, x: Tensor, t: Tensor, encoded: Encoded, estimate: Tensor | None = None) -> Tensor:
        self.evaluations += len(x)
        if len(x) != self.halve:
            return self.network(x, t, encoded, estimate=estimate)
        parts = torch.arange(len(x), device=x.device).chunk(2)
        given = [(x[i], t[i], encoded.rows(i), None if estimate is None else estimate[i]) for i in parts]
        return torch.cat([self.network(*half[:3], estimate=half[3]) for half in given])


def numbers(
    cfg: DictConfig, music: Sequence[Notes], real: Sequence[Notes], songs: Sequence[str], known: Row
) -> dict[str, Any]:
    """The columns that are asked for and not `known`: mean, interval and n of each."""
    single = [segment_numbers(piece, STEPS_PER_SEGMENT) for piece in music]
    values: dict[str, list[float | None]] = {
        name: [getattr(found, name) for found in single] for name in ("pche", "gps", "onsets", "polyphony")
    }
    values["follows"] = [follows(*pair) for pair in zip(music, real, strict=True)]
    if cfg.structure and "si" not in known:
        bar = tqdm(music, "structure", leave=False, disable=None)
        values["si"] = [si_columns(fitness_of_notes(piece))["si_3"] for piece in bar]
    found = {name: mean_of(column) for name, column in values.items() if name not in known}
    if cfg.retrieval and "segment_p_20" not in known:
        queries, reference = (
            [Segment(f"{row} {song}", 0, piece) for row, (song, piece) in enumerate(zip(songs, part, strict=True))]
            for part in (music, real)
        )
        heard = [query for query in queries if len(query.notes)]
        result, _ = retrieve(load_musicnn(cfg.musicnn or WEIGHTS), heard, reference, cfg.seed)
        p_20 = result.precision[20]
        found["segment_p_20"] = {
            "mean": p_20.value,
            "ci95": [p_20.low, p_20.high],
            "n": len(heard),
            "chance": p_20.chance,
        }
    return found


def judge(rows: dict[str, Row], songs: Sequence[str], seed: int) -> None:
    """Overlapped area and two-sample accuracy of the rows that lack them, where there are segments of enough songs.

    The real row's overlapped area is what one half of the songs reaches against the other.
    """
    real = by_song(songs, rows["real"]["music"])
    for name, row in tqdm(rows.items(), "judges", disable=None):
        if name != "real" and "oa" not in row["numbers"]:
            got = by_song(songs, row["music"])
            with contextlib.suppress(InputError):
                row["numbers"] |= judge_two_sample(got, real, seed) | judge_overlap(got, real, None, seed)
                rows["real"]["numbers"]["oa"] = {"mean": row["numbers"]["oa"]["ceiling"], "ci95": None}


def by_song(songs: Sequence[str], music: Sequence[Sequence[Sequence[int]]]) -> dict[str, list[Notes]]:
    """The stored segments of each song."""
    found: dict[str, list[Notes]] = {}
    for song, piece in zip(songs, restored(music), strict=True):
        found.setdefault(song, []).append(piece)
    return found


def follows(got: Notes, asked: Notes) -> float | None:
    """Spearman correlation of notes per beat with those of the segment whose condition was given."""
    pair = [note_density(piece, BEATS_PER_SEGMENT) for piece in (got, asked)]
    return spearman(*pair)


def speed(cfg: DictConfig, checkpoint: Checkpoint, batch: Batch, device: torch.device) -> dict[str, Any]:
    """Seconds of one network evaluation, the fastest of `cfg.speed` guided calls, and how far it is from float32."""
    network = checkpoint.network.to(device).to(memory_format=torch.channels_last)
    condition = batch.condition[: cfg.batch]
    shape = (2 * len(condition), network.planes, 128, 128)
    x = torch.randn(shape, generator=torch.Generator().manual_seed(cfg.seed)).to(device)
    t = torch.full((len(x),), 500, device=device)
    found: dict[str, Any] = {}
    exact = None
    with torch.no_grad():
        encoded = network.encode(condition.to(device))
        both = Encoded.concatenate([encoded, network.conditioner.null(encoded)])
        for name, precision in (("fp32", "fp32"), ("bf16", "bf16"), ("fp32 compiled", "fp32")):
            called = torch.compile(network) if "compiled" in name else network
            try:
                with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                    begin = time.perf_counter()
                    prediction = called(x, t, both).float()
                    start = time.perf_counter() - begin
                    taken = seconds(partial(called, x, t, both), cfg.speed, clock(not cfg.cpu_time), device)
            except Exception as error:  # whatever a compiler or a kernel that is not there raises
                found[name] = {"failed": f"{type(error).__name__}: {error}".splitlines()[0][:120]}
                continue
            exact = prediction if exact is None else exact
            apart = float((prediction - exact).abs().max())
            found[name] = {"seconds": min(taken) / len(x), "first_call": start, "largest_difference": apart}
    return found


def stored(music: Sequence[Notes]) -> list[list[list[int]]]:
    """Onsets, pitches and durations of pieces, for JSON."""
    return [[column.tolist() for column in (piece.onset, piece.pitch, piece.duration)] for piece in music]


def restored(music: Sequence[Sequence[Sequence[int]]]) -> list[Notes]:
    """The pieces again, as `decode` gave them."""
    columns = [[np.array(column, np.int64) for column in piece] for piece in music]
    return [Notes(a, b, c, np.full(len(a), 80), np.zeros(len(a), np.int64)) for a, b, c in columns]


def resumed(path: Path, identity: dict[str, Any]) -> dict[str, Any]:
    """What lies in `path`. InputError where it belongs to another checkpoint, other data or another seed."""
    not_foreign(path, lambda text: text.startswith('{"checkpoint": '))
    bench = json.loads(path.read_text()) if path.exists() else {**identity, "rows": {}}
    if differing := [key for key, value in identity.items() if bench[key] != value]:
        raise InputError(f"{path} has rows of another {' and '.join(differing)}; give another out=")
    return bench


def save(path: Path, bench: dict[str, Any]) -> None:
    """Write the bench, whole or not at all."""
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(bench))


def main() -> int:
    """The command."""
    return run(bench_samplers, "bench_samplers")
