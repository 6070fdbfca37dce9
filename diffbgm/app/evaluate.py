"""Metrics, tables and figures of generated music: `diffbgm evaluate generated=FOLDER out=FOLDER [reference=FOLDER]`.

Settings: configs/evaluate.yaml. A file that cannot be evaluated is named, the others go on. The exit code is 1 where
something that was asked for could not be computed. A stopped evaluation goes on with the same command: slow numbers are
kept, and songs.csv grows song by song. With shards=N shard=k it only computes and keeps what is slow for its songs.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.app.shards import configured_shard, share
from diffbgm.app.stop import Stopped, stoppable
from diffbgm.evaluation.ahead import measure_ahead
from diffbgm.evaluation.figures import draw_figures
from diffbgm.evaluation.musicnn import WEIGHTS
from diffbgm.evaluation.report import Evaluation, GrowingSongs, Summary, write_metrics, write_songs, write_table
from diffbgm.evaluation.rhythm import AdvSettings
from diffbgm.evaluation.suite import Options, evaluate_run
from diffbgm.fields import check
from diffbgm.files import sweep, writable_folder


def evaluate(cfg: DictConfig) -> int:
    """Evaluate a run, or several, as the config says; returns the exit code, 128 + n on signal n."""
    table: Mapping[str, Any] = OmegaConf.to_container(cfg.table, resolve=True)  # type: ignore[assignment]
    runs = _runs(cfg.generated, [row["key"] for row in table["rows"]])
    options = _options(cfg)
    index, count = configured_shard(cfg)
    for folder in options.numbers.iterdir() if options.numbers is not None and options.numbers.is_dir() else ():
        sweep(folder)
    try:
        with stoppable():
            if count > 1:
                return _ahead(runs, options, index, count)
            return _report(cfg, table, runs, options)
    except (Stopped, KeyboardInterrupt) as error:
        kept = "slow numbers are kept" if options.numbers is not None else "no numbers are kept (numbers=null)"
        print(f"stopped: {kept}; the same command goes on", file=sys.stderr)
        return error.code if isinstance(error, Stopped) else 130


def _ahead(runs: Mapping[str, Path], options: Options, index: int, count: int) -> int:
    """Compute and keep what is slow for the songs of one shard."""
    own, failed = measure_ahead(list(runs.values()), options, lambda songs: share(songs, index, count), _bar)
    print(f"{own} songs of shard {index} of {count} are measured; the same command with shards=1 writes the report")
    for what in failed:
        print(f"error: not evaluated: {what}", file=sys.stderr)
    return 1 if failed else 0


def _report(cfg: DictConfig, table: Mapping[str, Any], runs: Mapping[str, Path], options: Options) -> int:
    """Evaluate all songs of all runs and write everything."""
    out = writable_folder(cfg.out)
    results: dict[str, Evaluation] = {}
    missing: list[str] = []
    real: dict[str, Summary] | None = None  # the reference's numbers, once they are known
    for name, folder in runs.items():
        place = out if len(runs) == 1 else writable_folder(out / name)
        evaluation, lacking = evaluate_run(folder, options, _bar, real, GrowingSongs(place / "songs.csv").add)
        real = evaluation.reference
        write_songs(evaluation, place / "songs.csv")
        write_metrics(evaluation, place / "metrics.json")
        lacking += draw_figures(folder, evaluation, place, cfg.figures, cfg.soundfont, options.adv)
        missing += [lack if len(runs) == 1 else f"{name}: {lack}" for lack in lacking]
        results[name] = evaluation
    print(write_table(table, results, out))
    for lack in missing:
        print(f"error: not evaluated: {lack}", file=sys.stderr)
    return 1 if missing else 0


def _runs(generated: str | Mapping[str, str], keys: list[str]) -> dict[str, Path]:
    """The folders to evaluate by row of the table: as they are given, subfolders of these names, or the one folder."""
    if isinstance(generated, Mapping):
        return {key: Path(folder) for key, folder in generated.items()}
    top = Path(generated)
    found = {key: top / key for key in keys if (top / key).is_dir()}
    return found or {top.resolve().name: top}


def _options(cfg: DictConfig) -> Options:
    """Plain options from the config."""

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    return Options(
        metrics=None if cfg.metrics is None else tuple(cfg.metrics),
        reference=path(cfg.reference),
        reference_sample=cfg.reference_sample,
        videos=path(cfg.videos),
        extractor=None if cfg.videos is None else instantiate(cfg.features),
        cache=Path(cfg.cache),
        training=path(cfg.training),
        musicnn=path(cfg.musicnn) or WEIGHTS,
        repeated_rows=cfg.repeated_rows,
        soundfont=cfg.soundfont,
        adv=check(AdvSettings, dict(cfg.adv), "adv"),
        numbers=path(cfg.numbers),
        workers=cfg.workers or len(os.sched_getaffinity(0)),
        seed=cfg.seed,
    )


def _bar(items: Iterable[Any], total: int, name: str) -> Iterable[Any]:
    """A progress bar on a terminal, nothing elsewhere."""
    return tqdm(items, total=total, desc=name, leave=False, disable=None)
