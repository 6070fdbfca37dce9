"""How fast training data is prepared and served: preparation time, cache size, batches out of the pipeline on one core.

    python scripts/bench_data.py [--quick] [--pop909 FOLDER] [--workers 2] [--batch 32]

POP909 is taken from --pop909 or POP909_DIR; without it, songs drawn from a seed stand in. Prints a table, then one JSON
line. "a core" is segments per second of processor time, which a busy machine does not change much; "a second" is wall
time. Batches hold rolls, conditions and language vectors as a training step gets them.
"""

import argparse
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from diffbgm.datasets.cache import Cache
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.pop909 import Pop909
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.datasets.song import Source

CASES = {
    "train": {"split": "train"},
    "train, no noise": {"split": "train", "perturb": False},
    "train, rank 0 of 8": {"split": "train", "world_size": 8},
    "validation": {"split": "val"},
}


def served(cache: Cache, batch: int, seconds: float, **arguments: Any) -> tuple[float, float]:
    """Segments per second of processor time and of wall time."""
    loader = SegmentLoader(cache, batch_size=batch, **arguments)
    segments = 0
    wall, processor = time.perf_counter(), time.process_time()
    for epoch in range(1_000_000):
        for item in loader.epoch(epoch):
            segments += len(item)
            if time.perf_counter() - wall > seconds:
                return segments / (time.process_time() - processor), segments / (time.perf_counter() - wall)
    raise AssertionError("unreachable")


def processor_seconds() -> float:
    """Processor time of this process and of those it has waited for."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few generated songs: seconds instead of a minute")
    parser.add_argument("--pop909", default=os.environ.get("POP909_DIR"), help="folder of the unpacked archive")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=32)
    arguments = parser.parse_args()
    drawn = arguments.quick or not arguments.pop909
    source: Source = (
        GeneratedSongs(24 if arguments.quick else 240, bars=64) if drawn else Pop909(Path(arguments.pop909))
    )
    with tempfile.TemporaryDirectory() as folder:
        start, before = time.perf_counter(), processor_seconds()
        path = prepare(source, folder, arguments.workers)
        prepared, spent = time.perf_counter() - start, processor_seconds() - before
        start = time.perf_counter()
        prepare(source, folder, arguments.workers)
        found = time.perf_counter() - start
        cache = Cache.open(path)
        size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
        segments = {part: len(cache.segments(part)) for part in ("train", "val")}
        seconds = 0.5 if arguments.quick else 5.0
        rates = {name: served(cache, arguments.batch, seconds, **case) for name, case in CASES.items()}
    print(
        f"{source.name}: {len(cache.songs)} songs ({len(cache.skipped)} skipped), {segments['train']} + "
        f"{segments['val']} segments; prepared in {prepared:.1f} s by {arguments.workers} processes "
        f"({spent:.1f} s of processor time), found again in "
        f"{found:.1f} s, {size:.1f} MB\n\n| batches of {arguments.batch} | segments/s a core | segments/s |"
    )
    print("|---|---|---|")
    for name, (core, wall) in rates.items():
        print(f"| {name} | {core:,.0f} | {wall:,.0f} |")
    summary = {"source": source.name, "songs": len(cache.songs), "skipped": len(cache.skipped), "segments": segments}
    timing = {
        "prepare_s": round(prepared, 2),
        "prepare_cpu_s": round(spent, 2),
        "reopen_s": round(found, 2),
        "cache_mb": round(size, 2),
    }
    per_core = {name: round(core) for name, (core, _) in rates.items()}
    print(json.dumps({**summary, **timing, "workers": arguments.workers, "segments_per_core_s": per_core}))


if __name__ == "__main__":
    main()
