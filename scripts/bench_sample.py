"""The whole command on videos of several lengths: seconds per stage, the multiple of the video's length, peak memory.

    python scripts/bench_sample.py [--long] [checkpoint=FILE key=value ...]

Videos of 10 s and 30 s (and, with --long, of one and ten minutes, 1280 x 720) are made by repeating a demo video's
packets, features are not cached, and each run is a process of its own, start-up included. Prints a table, then JSON.
"""

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
DEMO = ROOT / "data" / "demo" / "bikes.mp4"


def scaled(source: Path, target: Path, size: tuple[int, int]) -> Path:
    """The video encoded at another size, without sound."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        stream = writer.add_stream("libx264", rate=Fraction(25), options={"preset": "ultrafast", "crf": "23"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for index, frame in enumerate(reader.decode(video=0)):
            picture = frame.reformat(*size, format="yuv420p")
            picture.pts, picture.time_base = index, Fraction(1, 25)
            writer.mux(stream.encode(picture))
        writer.mux(stream.encode(None))
    return target


def repeated(source: Path, target: Path, seconds: float) -> Path:
    """The video's packets again and again until `seconds` are full: long videos in no time."""
    with av.open(str(source)) as reader, av.open(str(target), "w") as writer:
        template = reader.streams.video[0]
        stream = writer.add_stream_from_template(template)
        packets = [packet for packet in reader.demux(template) if packet.size]
        length = max(packet.pts + (packet.duration or 0) for packet in packets)
        base = packets[0].time_base
        for turn in range(round(seconds / float(length * base))):
            for packet in packets:
                copy = av.Packet(bytes(packet))
                copy.pts, copy.dts = packet.pts + turn * length, packet.dts + turn * length
                copy.time_base, copy.is_keyframe, copy.stream = base, packet.is_keyframe, stream
                copy.duration = packet.duration
                writer.mux(copy)
    return target


def measure(video: Path, overrides: list[str]) -> dict[str, object]:
    """One run of sample.py on one video: its own stage times, wall-clock seconds and peak memory."""
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "sample.py", f"videos={video}", f"out={out}", f"cache={out}/cache", *overrides]
        begin = time.perf_counter()
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        wall = time.perf_counter() - begin
        report = json.loads((Path(out) / f"{video.stem}.json").read_text())
    stages = {name: round(seconds, 2) for name, seconds in report["seconds"].items() if name != "total"}
    return {
        "video": report["duration"],
        "start": round(wall - report["seconds"]["total"], 2),
        **stages,
        "wall": round(wall, 2),
        "ratio": round(wall / report["duration"], 2),
        # of the largest child so far: videos come in rising length
        "peak_gb": round(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e6, 2),
    }


def main() -> None:
    """Make the videos, run, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--long", action="store_true", help="also one and ten minutes at 1280 x 720")
    known, overrides = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        short = scaled(DEMO, Path(folder) / "short.mp4", (640, 360))
        videos = [repeated(short, Path(folder) / f"{seconds}s.mp4", seconds) for seconds in (10, 30)]
        if known.long:
            large = scaled(DEMO, Path(folder) / "large.mp4", (1280, 720))
            videos += [repeated(large, Path(folder) / f"{seconds}s-720p.mp4", seconds) for seconds in (60, 600)]
        for video in videos:
            rows.append({"name": video.stem, **measure(video, overrides)})
    columns = list(rows[0])
    print("  ".join(f"{name:>9}" for name in columns))
    for row in rows:
        print("  ".join(f"{row[name]!s:>9}" for name in columns))
    machine = {"machine": platform.processor() or platform.machine(), "numpy": np.__version__}
    print(json.dumps({"bench": "sample", **machine, "overrides": overrides, "rows": rows}))


if __name__ == "__main__":
    main()
