"""How fast training data is prepared and served: preparation time, cache size, batches out of the pipeline.

    python -m benchmarks data [--pop909 FOLDER] [--workers 2] [--batch 32]

POP909 is taken from --pop909 or POP909_DIR; without it, songs drawn from a seed stand in. Batches hold rolls,
conditions and language vectors as a training step gets them.
"""

import os
import resource
import tempfile
import time
from itertools import count, islice
from pathlib import Path
from typing import Any

from benchmarks.harness import clock, parser, rate, seconds, show
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.pop909 import Pop909
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.datasets.song import Source

CASES: dict[str, dict[str, Any]] = {
    "train": {"split": "train"},
    "train, no noise": {"split": "train", "noise": None},
    "train, rank 0 of 8": {"split": "train", "world_size": 8},
    "validation": {"split": "val"},
}


def processor_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    """Prepare, serve, print."""
    options = parser(__doc__)
    options.add_argument("--pop909", default=os.environ.get("POP909_DIR"), help="folder of the unpacked archive")
    options.add_argument("--workers", type=int, default=os.cpu_count())
    options.add_argument("--batch", type=int, default=32)
    given = options.parse_args()
    songs = 24 if given.quick else 240
    drawn = given.quick or not given.pop909
    source: Source = GeneratedSongs(songs, bars=64) if drawn else Pop909(Path(given.pop909))
    batches = 2 if given.quick else 50
    now = clock(given.wall)
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), processor_seconds()
        path = prepare(source, folder, given.workers)
        prepared, spent = time.perf_counter() - start, processor_seconds() - before
        (found,) = seconds(lambda: prepare(source, folder, given.workers), 1, now)
        cache = Cache.open(path)
        about = {
            "source": source.name,
            "songs": len(cache.songs),
            "skipped": len(cache.skipped),
            "segments": {part: len(cache.segments(part)) for part in ("train", "val")},
            "prepare_s": round(prepared, 2),
            "prepare_cpu_s": round(spent, 2),
            "reopen_s": round(found, 2),
            "cache_mb": round(sum(file.stat().st_size for file in path.iterdir()) / 1e6, 2),
            "workers": given.workers,
        }
        rows = []
        for name, case in CASES.items():
            loader = SegmentLoader(cache, batch_size=given.batch, **case)
            served = (batch for epoch in count() for batch in loader.epoch(epoch))
            segments = sum(len(batch) for batch in islice(served, batches))
            taken = seconds(lambda served=served: list(islice(served, batches)), given.repeats, now)  # type: ignore[misc]
            rows.append({f"batches of {given.batch}": name, "segments/s": rate(taken, segments)})
    print(", ".join(f"{key} {value}" for key, value in about.items()) + "\n")
    show("data", rows, **about)
