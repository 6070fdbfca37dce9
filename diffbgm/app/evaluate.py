"""Metrics, tables and figures of generated music: `diffbgm evaluate generated=FOLDER out=FOLDER [reference=FOLDER]`.

Settings: configs/evaluate.yaml. A file that cannot be evaluated is reported, and the others are done. The exit code
is 1 if something that was asked for could not be computed. The same command resumes a stopped evaluation: slow numbers
are stored, and songs.csv grows song by song. With shards=N shard=k it only stores the slow numbers of its songs.
"""

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.app.progress import say
from diffbgm.app.shards import configured_shard, share
from diffbgm.app.stop import Stopped, stoppable
from diffbgm.evaluation.ahead import measure_ahead
from diffbgm.evaluation.figures import draw_figures
from diffbgm.evaluation.musicnn import WEIGHTS
from diffbgm.evaluation.report import Evaluation, GrowingSongs, Summary, write_metrics, write_songs, write_table
from diffbgm.evaluation.rhythm import AdvSettings
from diffbgm.evaluation.suite import METRICS, Options, evaluate_run
from diffbgm.fields import check, field
from diffbgm.files import not_foreign, sweep, writable_folder
from diffbgm.video.features import Extractor


@dataclass(frozen=True)
class EvaluateSettings:
    """The settings of configs/evaluate.yaml outside its groups, except `generated`, which may be several folders."""

    out: str = field(length=(1, 4096), help="where metrics.json, songs.csv, table.md, table.csv and the figures go")
    reference: str | None = field(length=(1, 4096), help="real music")
    videos: str | None = field(length=(1, 4096), help="the videos of the same names")
    training: str | None = field(length=(1, 4096), help="the training music")
    metrics: tuple[str, ...] | None = field(choices=METRICS, help="groups; null: all that are possible")
    reference_sample: int = field(low=1, high=10**6, help="songs of the reference for the slow metrics")
    musicnn: str | None = field(length=(1, 4096), help="another file for the tagger of P@K")
    repeated_rows: bool = field(help="retrieval: every row of a song is its first one")
    soundfont: str | None = field(length=(1, 4096), help="an .sf2 file")
    cache: str = field(length=(1, 4096), help="features of videos seen before")
    numbers: str | None = field(length=(1, 4096), help="slow numbers of files measured before")
    figures: int = field(low=0, high=10**6, help="songs for which figures are drawn")
    workers: int | None = field(low=1, high=1024, help="processes; null: all cores")
    seed: int = field(low=0, high=2**63 - 1)


def evaluate(cfg: DictConfig) -> int:
    """Evaluate one or several runs; returns the exit code, 128 + n on signal n."""
    asked = check(EvaluateSettings, {entry.name: _plain(cfg[entry.name]) for entry in fields(EvaluateSettings)})
    adv = check(AdvSettings, dict(cfg.adv), "adv")
    if asked.numbers is not None:
        writable_folder(asked.numbers)
    table: Mapping[str, Any] = OmegaConf.to_container(cfg.table, resolve=True)  # type: ignore[assignment]
    runs = _runs(cfg.generated, [row["key"] for row in table["rows"]])
    options = _options(asked, adv, None if asked.videos is None else instantiate(cfg.features))
    index, count = configured_shard(cfg)
    for folder in options.numbers.iterdir() if options.numbers is not None and options.numbers.is_dir() else ():
        sweep(folder)
    try:
        with stoppable():
            if count > 1:
                return _ahead(runs, options, index, count)
            return _report(asked, table, runs, options)
    except (Stopped, KeyboardInterrupt) as error:
        kept = "slow numbers are kept" if options.numbers is not None else "no numbers are kept (numbers=null)"
        print(f"stopped: {kept}; the same command goes on", file=sys.stderr)
        return error.code if isinstance(error, Stopped) else 130


def _ahead(runs: Mapping[str, Path], options: Options, index: int, count: int) -> int:
    """Compute and store the slow numbers of one shard's songs."""
    own, failed = measure_ahead(list(runs.values()), options, lambda songs: share(songs, index, count), _bar)
    say(f"{own} songs of shard {index} of {count} are measured; the same command with shards=1 writes the report")
    for what in failed:
        print(f"error: not evaluated: {what}", file=sys.stderr)
    return 1 if failed else 0


def _report(asked: EvaluateSettings, table: Mapping[str, Any], runs: Mapping[str, Path], options: Options) -> int:
    """Evaluate all songs of all runs and write everything."""
    out = writable_folder(asked.out)
    results: dict[str, Evaluation] = {}
    missing: list[str] = []
    real: dict[str, Summary] | None = None  # the reference's numbers, once they are known
    places = {name: out if len(runs) == 1 else writable_folder(out / name) for name in runs}
    for place in {out, *places.values()}:
        _check_place(place)
    for name, folder in runs.items():
        place = places[name]
        evaluation, lacking = evaluate_run(folder, options, _bar, real, GrowingSongs(place / "songs.csv").add)
        real = evaluation.reference
        write_songs(evaluation, place / "songs.csv")
        write_metrics(evaluation, place / "metrics.json")
        lacking += draw_figures(folder, evaluation, place, asked.figures, asked.soundfont, options.adv)
        missing += [lack if len(runs) == 1 else f"{name}: {lack}" for lack in lacking]
        results[name] = evaluation
    say(write_table(table, results, out))
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


def _check_place(place: Path) -> None:
    """Raise InputError if a file that is not ours has the name of one that will be written."""
    not_foreign(place / "metrics.json", lambda text: text.startswith('{\n "songs": '))
    not_foreign(place / "songs.csv", lambda text: text.startswith("song,"))
    for name in ("table.md", "table.csv"):
        if not any((place / other).exists() for other in ("metrics.json", "songs.csv")):
            not_foreign(place / name, lambda text: ", this run (n = " in text)


def _plain(value: Any) -> Any:
    return OmegaConf.to_container(value) if OmegaConf.is_config(value) else value


def _options(asked: EvaluateSettings, adv: AdvSettings, extractor: Extractor | None) -> Options:
    """Options for the evaluation."""

    def path(value: str | None) -> Path | None:
        return None if value is None else Path(value)

    return Options(
        metrics=asked.metrics,
        reference=path(asked.reference),
        reference_sample=asked.reference_sample,
        videos=path(asked.videos),
        extractor=extractor,
        cache=Path(asked.cache),
        training=path(asked.training),
        musicnn=path(asked.musicnn) or WEIGHTS,
        repeated_rows=asked.repeated_rows,
        soundfont=asked.soundfont,
        adv=adv,
        numbers=path(asked.numbers),
        workers=asked.workers or len(os.sched_getaffinity(0)),
        seed=asked.seed,
    )


def _bar(items: Iterable[Any], total: int, name: str) -> Iterable[Any]:
    """A progress bar on a terminal, nothing elsewhere."""
    return tqdm(items, total=total, desc=name, leave=False, disable=None)
