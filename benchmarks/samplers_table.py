"""The table of the samplers benchmark: quality and cost of each row, and which rows are as good as the paper's."""

from collections.abc import Sequence
from typing import Any

from diffbgm.evaluation.report import mean_text

COLUMNS = {
    "pche": "PCHE",
    "gps": "GPS",
    "si": "SI",
    "onsets": "notes",
    "polyphony": "polyphony",
    "follows": "Spearman",
    "segment_p_20": "P@20 of segments",
    "oa": "OA",
    "two_sample": "two-sample",
}
COMPARED = ("pche", "gps", "onsets")  # whose intervals must overlap the paper's sampler's


def tables(bench: dict[str, Any], paper: str) -> str:
    """The bench as Markdown."""
    rows, base = bench["rows"], bench.get("paper_seconds")
    shown = [name for name in COLUMNS if any(name in row["numbers"] for row in rows.values())]
    heads = [*(COLUMNS[name] for name in shown), "s/segment", "evaluations", "of the paper's time", f"overlaps {paper}"]
    lines = [f"| {bench['segments']} held-out segments | " + " | ".join(heads) + " |", "|---" * (len(heads) + 1) + "|"]
    cheapest: list[tuple[float, str]] = []
    for name, row in rows.items():
        cells = [name, *(mean_text(row["numbers"].get(column)) for column in shown), "", "", "", ""]
        if row["seconds"] is not None:
            cells[-4:-2] = f"{row['seconds']:.3f}", f"{row['evaluations']:g}"
            cells[-2] = "" if base is None else f"1/{base / row['seconds']:.1f}"
        if paper in rows and name not in ("real", paper):
            near = [c for c in COMPARED if overlap(row["numbers"][c]["ci95"], rows[paper]["numbers"][c]["ci95"])]
            cells[-1] = "all" if len(near) == len(COMPARED) else ", ".join(COLUMNS[c] for c in near) or "none"
            cheapest += [(row["seconds"], name)] if len(near) == len(COMPARED) else []
        lines.append("| " + " | ".join(cells) + " |")
    named = ", ".join(COLUMNS[c] for c in COMPARED)
    if paper in rows:
        found = min(cheapest)[1] if cheapest else "none"
        lines.append(f"cheapest sampler whose intervals ({named}) overlap the {paper} row's: {found}")
    for name, entry in bench.get("speed", {}).items():
        said = (
            f"failed: {entry['failed']}"
            if "failed" in entry
            else (
                f"{entry['seconds']:.4f} s per network evaluation, the first call {entry['first_call']:.1f} s, "
                f"largest difference from fp32 {entry['largest_difference']:.2g}"
            )
        )
        lines.append(f"{name}: {said}")
    return "\n".join(lines)


def overlap(a: Sequence[float] | None, b: Sequence[float] | None) -> bool:
    """Whether two intervals share a point."""
    return a is not None and b is not None and max(a[0], b[0]) <= min(a[1], b[1])
