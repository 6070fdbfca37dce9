"""Metrics, tables and figures of generated music: `diffbgm evaluate generated=FOLDER out=FOLDER [reference=FOLDER]`.

Settings: configs/evaluate.yaml. A file that cannot be evaluated is named, the others go on. The exit code is 1 where
something that was asked for could not be computed.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.evaluation.figures import draw_figures
from diffbgm.evaluation.musicnn import WEIGHTS
from diffbgm.evaluation.report import Evaluation, Summary, write_metrics, write_songs, write_table
from diffbgm.evaluation.rhythm import AdvSettings
from diffbgm.evaluation.suite import Options, evaluate_run
from diffbgm.fields import check
from diffbgm.files import writable_folder


def evaluate(cfg: DictConfig) -> int:
    """Evaluate a run, or several, as the config says; returns the exit code."""
    out = writable_folder(cfg.out)
    table: Mapping[str, Any] = OmegaConf.to_container(cfg.table, resolve=True)  # type: ignore[assignment]
    runs = _runs(cfg.generated, [row["key"] for row in table["rows"]])
    options = _options(cfg)
    results: dict[str, Evaluation] = {}
    missing: list[str] = []
    real: dict[str, Summary] | None = None  # the reference's numbers, once they are known
    for name, folder in runs.items():
        evaluation, lacking = evaluate_run(folder, options, _bar, real)
        real = evaluation.reference
        place = out if len(runs) == 1 else writable_folder(out / name)
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
