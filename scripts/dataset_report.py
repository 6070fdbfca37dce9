"""What a data set holds, as the supplement's Figures 1 and 2 show it: styles, shots a song, tempo, keys, lengths.

    python scripts/dataset_report.py data=pop909 data.root=POP909 out=FOLDER
    python scripts/dataset_report.py data=bgm909 data.root=BGM909 out=FOLDER

Writes report.md, report.json and dataset.png. Shots, styles and captions are those of the annotations that lie with the
data (diffbgm/datasets/annotations.py); what is not known of any song is left out and said to be.
"""

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.datasets.annotations import Annotations, read_annotations
from diffbgm.datasets.song import Song, Source
from diffbgm.errors import InputError
from diffbgm.fields import check_among, field
from diffbgm.files import atomic, writable_folder
from diffbgm.music.key import estimate_key
from diffbgm.music.midi import read_midi
from diffbgm.training.settings import check_data

STEPS = 40  # bars of a histogram at most


@dataclass(frozen=True)
class ReportSettings:
    """The settings of configs/dataset_report.yaml outside its groups."""

    out: str = field(length=(1, 4096), help="folder for report.md, report.json and dataset.png")
    songs: int | None = field(low=1, high=10**6, help="only this many, spread evenly; null: all")


def dataset_report(cfg: DictConfig) -> int:
    """Read, count, draw."""
    check_among(ReportSettings, cfg)
    check_data(cfg.data, "data")
    out = writable_folder(cfg.out)
    source: Source = instantiate(cfg.data.source)
    names = sorted(source.songs())
    if cfg.songs is not None and cfg.songs < len(names):
        names = [names[i] for i in np.linspace(0, len(names) - 1, cfg.songs).round().astype(int)]
    annotated = annotations_of(cfg.data.root)
    rows, skipped = [], {}
    for name in tqdm(names, "songs", disable=None):
        try:
            rows.append(facts_of(source.read(name), source.songs()[name], annotated.get(name, Annotations())))
        except InputError as error:
            skipped[name] = str(error)
    if not rows:
        raise InputError(f"none of {len(names)} songs could be read ({next(iter(skipped.values()))})")
    report = summary(rows)
    content = {"source": source.name, "songs": len(rows), "skipped": skipped, **report}
    with atomic(out / "report.json") as temporary:
        temporary.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    with atomic(out / "report.md") as temporary:
        temporary.write_text(text := as_text(content), encoding="utf-8")
    with atomic(out / "dataset.png") as temporary:
        draw(report, temporary)
    print(text)
    return 0


def annotations_of(root: str | None) -> dict[str, Annotations]:
    """The annotations below `root`, or `root`/data, or beside `root`/../bgm909."""
    places = [] if root is None else [Path(root), Path(root) / "data", Path(root).resolve().parent]
    return next((found for place in places if (found := read_annotations(place))), {})


def facts_of(song: Song, files: Sequence[Path], known: Annotations) -> dict[str, Any]:
    """What is counted of a song; None where it is not known."""
    midi = next((path for path in files if path.suffix.lower() in (".mid", ".midi")), None)
    cuts = None if song.video is None else int(song.video.cut.sum()) + 1
    return {
        "style": known.style,
        "shots": len(known.shots) or cuts,
        "captions": len(known.captions) or None,
        "tempo": None if midi is None else read_midi(midi).tempo,
        "key": str(estimate_key(song.notes)) if len(song.notes) else None,
        "beats": song.beats,
        "notes": len(song.notes),
    }


def summary(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Counts of names, and mean, median and values of numbers, each with how many songs have it."""
    report: dict[str, Any] = {}
    for column in rows[0]:
        values = [row[column] for row in rows if row[column] is not None]
        if values and isinstance(values[0], str):
            report[column] = {"n": len(values), "counts": dict(Counter(values).most_common())}
        elif values:
            numbers = {"mean": float(np.mean(values)), "median": float(np.median(values))}
            report[column] = {"n": len(values), **numbers, "values": [float(value) for value in values]}
        else:
            report[column] = {"n": 0}
    return report


def as_text(content: Mapping[str, Any]) -> str:
    """The report as Markdown."""
    lines = [f"# {content['source']}: {content['songs']} songs, {len(content['skipped'])} skipped", ""]
    lines += ["| | songs | mean | median | most frequent |", "|---|---|---|---|---|"]
    for name, column in content.items():
        if not isinstance(column, dict) or "n" not in column:
            continue
        counts = list(column.get("counts", {}).items())[:8]
        often = ", ".join(f"{key} ({count})" for key, count in counts)
        mean, median = (f"{column[key]:.1f}" if key in column else "–" for key in ("mean", "median"))
        lines.append(f"| {name} | {column['n'] or 'not known'} | {mean} | {median} | {often or '–'} |")
    return "\n".join(lines) + "\n"


def draw(report: Mapping[str, Any], path: Path) -> None:
    """A panel a column of which anything is known."""
    from matplotlib.figure import Figure

    shown = {name: column for name, column in report.items() if column["n"]}
    figure = Figure(figsize=(9, 2.4 * -(-len(shown) // 2)), dpi=120, layout="constrained")
    panels = figure.subplots(-(-len(shown) // 2), 2, squeeze=False).flat
    for panel, (name, column) in zip(panels, shown.items(), strict=False):
        if "counts" in column:
            names, counts = zip(*column["counts"].items(), strict=True)
            panel.bar(names, counts, color="#2f6f9f")
            panel.tick_params(axis="x", labelrotation=60, labelsize=7)
        else:
            panel.hist(column["values"], bins=min(STEPS, max(1, len(set(column["values"])))), color="#2f6f9f")
        panel.set_title(f"{name} (n = {column['n']})", fontsize=9)
        panel.tick_params(labelsize=7)
    for panel in list(figure.axes)[len(shown) :]:
        panel.set_visible(False)
    figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(run(dataset_report, "dataset_report"))
