"""The result files of an evaluation: songs.csv, metrics.json, table.md and table.csv."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.evaluation.alignment import Aligned, p_value
from diffbgm.evaluation.measure import GROUPS, Row
from diffbgm.evaluation.retrieval import Estimate, Retrieval
from diffbgm.files import atomic, writing

RESAMPLES = 2000
Summary = dict[str, Any]  # of one metric: mean, ci95 and n; chance, p and reason where they apply


def bootstrap(values: np.ndarray, rng: np.random.Generator) -> list[float] | None:
    """95 % percentile interval of the mean of values (n,), resampled over songs; None for fewer than two."""
    if len(values) < 2:
        return None
    means = values[rng.integers(0, len(values), (RESAMPLES, len(values)))].mean(axis=1)
    return [float(bound) for bound in np.quantile(means, (0.025, 0.975))]


def mean_of(values: Iterable[float | None], seed: int = 0) -> Summary:
    """Mean of the finite values, its 95 % bootstrap interval and their number n; mean and interval None without any."""
    kept = np.array([value for value in values if value is not None and np.isfinite(value)], np.float64)
    mean = float(kept.mean()) if len(kept) else None
    return {"mean": mean, "ci95": bootstrap(kept, np.random.default_rng(seed)), "n": len(kept)}


def mean_text(summary: Summary | None, digits: int = 3) -> str:
    """A mean with its interval, such as "0.700 [0.693, 0.705]"; a dash if there is none."""
    if summary is None or summary["mean"] is None:
        return "–"
    bounds = summary["ci95"]
    interval = f" [{bounds[0]:.{digits}f}, {bounds[1]:.{digits}f}]" if bounds else ""
    return f"{summary['mean']:.{digits}f}{interval}"


def summarise(rows: Sequence[Row], seed: int) -> dict[str, Summary]:
    """Mean, interval and n of every measured column; None with the most common reason if no song has a value."""
    known = [row for row in rows if row.error is None]
    summaries: dict[str, Summary] = {}
    for name in [column for group in GROUPS.values() for column in group]:
        asked = [row for row in known if name in row.values]
        found = mean_of((row.values[name] for row in asked), seed)
        if found["n"]:
            summaries[name] = found
        elif asked:
            reasons = [row.reasons[name] for row in asked]
            summaries[name] = unknown(max(set(reasons), key=reasons.count))
    return summaries


def unknown(reason: str) -> Summary:
    """A metric that could not be computed."""
    return {"mean": None, "ci95": None, "n": 0, "reason": reason}


def with_chance(summary: Summary, songs: Sequence[Aligned]) -> Summary:
    """An alignment metric with its chance level (the mean over rotated pictures) and the p-value."""
    turned = np.mean([song.turned.mean() for song in songs])
    return {**summary, "chance": float(turned), "p": p_value(list(songs))}


def retrieval_summaries(found: Retrieval, name: str, mean_rank: str) -> dict[str, Summary]:
    """Precision at each K (named `name` with {} replaced by K) and the mean rank, each with its chance level."""
    numbers: dict[str, Estimate] = {name.format(k): estimate for k, estimate in found.precision.items()}
    return {
        column: {
            "mean": estimate.value,
            "ci95": [estimate.low, estimate.high],
            "n": found.queries,
            "chance": estimate.chance,
            "candidates": found.candidates,
        }
        for column, estimate in {**numbers, mean_rank: found.mean_rank}.items()
    }


@dataclass(frozen=True)
class Evaluation:
    """One run's results."""

    rows: list[Row]
    metrics: dict[str, Summary]
    reference: dict[str, Summary] | None  # the metrics of the reference, if there is one
    notes: tuple[str, ...]  # remarks for the reader: what was left out, and why

    @property
    def failed(self) -> list[Row]:
        return [row for row in self.rows if row.error is not None]

    @property
    def evaluated(self) -> int:
        return len(self.rows) - len(self.failed)


def write_songs(evaluation: Evaluation, path: Path) -> None:
    """Write songs.csv: a row per song, a column per metric, empty where there is no number, and the reasons last."""
    _write_csv([_HEADING, *map(_song_cells, evaluation.rows)], path)


class GrowingSongs:
    """songs.csv during a run: each song's row is written as soon as it is measured, in any order."""

    def __init__(self, path: Path) -> None:
        self.path, self.begun = path, False

    def add(self, row: Row) -> None:
        if not self.begun:  # keep the file of an earlier evaluation until the first song is measured
            _write_csv([_HEADING], self.path)
            self.begun = True
        with writing(self.path), open(self.path, "ab") as file:
            file.write(_csv_text([_song_cells(row)]).encode(errors="surrogateescape"))


_COLUMNS = [name for group in GROUPS.values() for name in group]
_HEADING = ["song", *_COLUMNS, "reason"]


def _song_cells(row: Row) -> list[Any]:
    reasons = row.error or "; ".join(f"{name}: {reason}" for name, reason in row.reasons.items())
    cells = [row.values.get(name) for name in _COLUMNS]
    return [row.song, *("" if cell is None else repr(float(cell)) for cell in cells), reasons]


def write_metrics(evaluation: Evaluation, path: Path) -> None:
    """Write metrics.json: the metrics over all songs and of the reference, what failed, and remarks."""
    content = {
        "songs": evaluation.evaluated,
        "metrics": evaluation.metrics,
        "reference": evaluation.reference,
        "failed": [{"song": row.song, "error": row.error} for row in evaluation.failed],
        "notes": list(evaluation.notes),
    }
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def table_rows(table: Mapping[str, Any], runs: Mapping[str, Evaluation]) -> list[list[str]]:
    """Header and rows of a comparison: the published rows, each followed by our run of the same key, then other runs.

    `table` is a config of configs/table: columns (metric -> heading), real and rows (key, label, source, values). A
    reference that all runs share appears once.
    """
    columns = dict(table["columns"])
    lines = [["method", *columns.values()]]
    waiting = dict(runs)
    for row in (*table["real"], *table["rows"]):
        published = [_number(row["values"].get(name)) for name in columns]
        lines.append([f"{row['label']} ({row['source']})", *published])
        if row["key"] in waiting:
            lines.append(_measured(row["label"], waiting.pop(row["key"]), columns))
    for name, evaluation in waiting.items():
        lines.append(_measured(name, evaluation, columns))
    references = {name: evaluation.reference for name, evaluation in runs.items() if evaluation.reference}
    measured = list(references.values())
    if len(measured) > 1 and measured.count(measured[0]) == len(measured):
        references = {"all": measured[0]}
    for name, reference in references.items():
        lines.append([f"reference of {name}", *(_interval(reference.get(column)) for column in columns)])
    return lines


def write_table(table: Mapping[str, Any], runs: Mapping[str, Evaluation], folder: Path) -> str:
    """Write table.md and table.csv into `folder`. Returns the text of table.md."""
    lines = table_rows(table, runs)
    divider = ["---"] * len(lines[0])
    body = _markdown([lines[0], divider, *lines[1:]])
    remarks = [*table["remarks"], *(f"{name}: {note}" for name, run in runs.items() for note in run.notes)]
    text = f"# {table['title']}\n\n{body}\n\n" + "".join(f"* {remark}\n" for remark in remarks)
    text += "".join(f"\n## {name}\n\n{_details(run)}" for name, run in runs.items())
    with atomic(folder / "table.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    _write_csv(lines, folder / "table.csv")
    return text


def _details(evaluation: Evaluation) -> str:
    """Every metric of a run with its interval, n, chance, p and the reference's value, as a Markdown table."""
    lines = [["metric", "mean [95 %]", "n", "chance", "p", "reference [95 %]"], ["---"] * 6]
    for name, summary in evaluation.metrics.items():
        if summary["mean"] is None:
            lines.append([name, f"null: {summary['reason']}", "0", "–", "–", "–"])
            continue
        chance, p = _number(summary.get("chance")), _number(summary.get("p"))
        real = _interval((evaluation.reference or {}).get(name))
        if "ceiling" in summary:
            real = f"{_number(summary['ceiling'])} ({summary['ceiling_from']})"
        lines.append([name, _interval(summary), str(summary["n"]), chance, p, real])
    return _markdown(lines) + "\n"


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _measured(label: str, evaluation: Evaluation, columns: Mapping[str, str]) -> list[str]:
    cells = [_interval(evaluation.metrics.get(name)) for name in columns]
    return [f"**{label}, this run (n = {evaluation.evaluated})**", *cells]


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}"


def _interval(summary: Summary | None) -> str:
    if summary is None or summary["mean"] is None:
        return "–"
    bounds = summary["ci95"]
    return _number(summary["mean"]) + (f" [{_number(bounds[0])}, {_number(bounds[1])}]" if bounds else "")


def _cell(value: Any) -> Any:
    """A value that no spreadsheet interprets as a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _write_csv(lines: Sequence[Sequence[Any]], path: Path) -> None:
    with atomic(path) as temporary:
        temporary.write_text(_csv_text(lines), encoding="utf-8", newline="")


def _csv_text(lines: Sequence[Sequence[Any]]) -> str:
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([list(map(_cell, line)) for line in lines])
    return text.getvalue()
