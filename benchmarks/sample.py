"""The whole command on videos of several lengths: seconds per stage, the multiple of the video's length, peak memory.

    python -m benchmarks sample [--long] [checkpoint=FILE key=value ...]

Videos of 10 s and 30 s (and, with --long, of one and ten minutes, 1280 x 720) are made by repeating a demo video's
packets, features are not cached, and each run is a process of its own, start-up included.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.harness import ROOT, Row, parser, show
from benchmarks.videos import DEMO, repeated, scaled


def measure(video: Path, overrides: list[str]) -> Row:
    """One run of `diffbgm sample` on one video: its own stage times, wall-clock seconds and peak memory."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "diffbgm", "sample", f"videos={video}", f"out={out}", f"cache={out}/cache"]
        begin = time.perf_counter()
        subprocess.run([*command, *overrides], cwd=ROOT, check=True, capture_output=True)
        wall = time.perf_counter() - begin
        report = json.loads((Path(out) / f"{video.stem}.json").read_text())
    stages = {name: round(seconds, 2) for name, seconds in report["seconds"].items() if name != "total"}
    return {
        "video": video.stem,
        "length": report["duration"],
        "start": round(wall - report["seconds"]["total"], 2),
        **stages,
        "wall": round(wall, 2),
        "ratio": round(wall / report["duration"], 2),
        # of the largest child so far: videos come in rising length
        "peak GB": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    """Make the videos, run, print."""
    options = parser(__doc__)
    options.add_argument("--long", action="store_true", help="also one and ten minutes at 1280 x 720")
    given, overrides = options.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        short = scaled(DEMO / "bikes.mp4", Path(folder) / "short.mp4", (640, 360))
        lengths = (10,) if given.quick else (10, 30)
        videos = [repeated(short, Path(folder) / f"{length}s.mp4", length) for length in lengths]
        if given.long:
            large = scaled(DEMO / "bikes.mp4", Path(folder) / "large.mp4", (1280, 720))
            videos += [repeated(large, Path(folder) / f"{length}s-720p.mp4", length) for length in (60, 600)]
        show("sample", [measure(video, overrides) for video in videos], overrides=overrides)
