"""Frames a second of each part of the feature extraction, and its memory over the length of a video.

    python scripts/bench_features.py [--networks] [--device cuda] [--memory]

Decoding, detectors and encoders are timed one by one on a demo video, then whole extractions, with the share of time
that they wait for decoded frames, and reading from the cache. --networks adds TransNetV2, CLIP, BLIP and BERT at their
full sizes with random weights (the time does not depend on them; a caption is as long as it may be). --memory adds the
peak of a process that extracts one and ten minutes of 720p. "cpu" counts processor time of all threads, which a busy
machine changes little; "wall" is the clock. Prints a table, then one JSON line.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from diffbgm.app.cli import configure  # noqa: E402
from diffbgm.video.captions import MiniLMEmbedder  # noqa: E402
from diffbgm.video.decode import decoded, probe  # noqa: E402
from diffbgm.video.extractors import ClipExtractor, watch  # noqa: E402
from diffbgm.video.features import cached, extract  # noqa: E402
from scripts.bench_sample import repeated  # noqa: E402

DEMO = ROOT / "data" / "demo" / "bigbuckbunny.mp4"  # 1280 x 720, 25 frames a second
MEMORY_CODE = """
import resource, sys
from hydra.utils import instantiate
from diffbgm.app.cli import configure
from diffbgm.video.features import extract
extract(sys.argv[1], instantiate(configure("extract_features", ["videos=x", "out=y"]).features))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def timed(name: str, count: int, work: Callable[[], Any]) -> dict[str, Any]:
    """One row: how often a second `work`, which does `count` of them, got on."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {"name": name, "count": count, "wall": count / wall, "cpu": count / max(cpu, 1e-9)}


def watching(path: Path, part: Any) -> Callable[[], None]:
    """The work of a detector or encoder on frames that are decoded and scaled already."""
    watcher = part.watch(probe(path))
    items = [watcher.take(frame) for frame in decoded(path)]

    def work() -> None:
        for item in items:
            watcher.see(item)
        finish = watcher.cuts if hasattr(watcher, "cuts") else lambda: watcher.rows([])
        finish()

    return work


def parts(path: Path) -> list[dict[str, Any]]:
    """Decoding and the parts of `features=lite`."""
    lite = extractor("lite")
    frames = sum(1 for _ in decoded(path))
    size = probe(path).fit(90)
    return [
        timed("decode", frames, lambda: sum(1 for _ in decoded(path))),
        timed("decode and scale to 160 x 90", frames, lambda: [frame.rgb(size) for frame in decoded(path)]),
        timed("AdaptiveShots", frames, watching(path, lite.shots)),
        timed("LiteEncoder (a sample in three frames)", frames, watching(path, lite.encoder)),
    ]


def networks(path: Path, clip: ClipExtractor) -> list[dict[str, Any]]:
    """The networks of `features=clip`, on pictures of the sizes they see."""
    side = clip.captioner._loaded[0].image_processor.size["height"]
    pictures = list(np.random.default_rng(0).integers(0, 256, (16, side, side, 3), dtype=np.uint8))
    words = ["a man rides a bicycle down a street in the rain"] * 64
    square = [picture[:224, :224] for picture in pictures] * 4
    clip.encoder.encode(square[:1])
    return [
        timed("TransNetV2", sum(1 for _ in decoded(path)), watching(path, clip.shots)),
        timed("CLIP ViT-B/32", len(square), lambda: clip.encoder.encode(square)),
        timed("BLIP base, captions", len(pictures), lambda: clip.captioner.caption(pictures)),
        timed("BERT base, captions", len(words), lambda: clip.embedder.embed(words)),
    ]


def extractor(features: str) -> Any:
    """The extractor that a config describes."""
    return instantiate(configure("extract_features", ["videos=x", "out=y", f"features={features}"]).features)


def random_clip(device: torch.device) -> ClipExtractor:
    """`features=clip` at full size with random weights in the place of the published ones."""
    import open_clip
    from transformers import (
        BertConfig,
        BertModel,
        BlipConfig,
        BlipForConditionalGeneration,
        BlipImageProcessor,
        BlipProcessor,
    )

    from diffbgm.video.weights import on_device

    clip = extractor("clip").to(device)
    tokenizer = MiniLMEmbedder()._loaded[0]  # BERT's vocabulary, which BLIP has too
    visual = open_clip.create_model("ViT-B-32-quickgelu").visual
    blip = BlipForConditionalGeneration(BlipConfig())
    blip.generation_config.eos_token_id = None
    clip.encoder.__dict__["network"] = on_device(visual, device, clip.encoder.half)
    processor = BlipProcessor(BlipImageProcessor(), tokenizer)
    clip.captioner.__dict__["_loaded"] = processor, on_device(blip, device, clip.captioner.half)
    clip.embedder.__dict__["_loaded"] = tokenizer, on_device(BertModel(BertConfig()), device, clip.embedder.half)
    return clip


def whole(path: Path, name: str, part: Any) -> dict[str, Any]:
    """A whole extraction: frames a second, the multiple of the video's length, the share of time spent waiting."""
    info = probe(path)
    passed = watch(path, [part.shots.watch(info), part.encoder.watch(info)])
    row = timed(f"whole extraction, {name}", passed.frames, lambda: extract(path, part))
    row["times_length"] = passed.frames / row["wall"] / passed.duration
    row["waiting"] = passed.waited / passed.seconds
    return row


def reload_ms(path: Path) -> float:
    """Milliseconds to read features from the cache, the best of 20."""
    lite = extractor("lite")
    with tempfile.TemporaryDirectory() as folder:
        cached(path, lite, folder)
        times = []
        for _ in range(20):
            start = time.perf_counter()
            cached(path, lite, folder)
            times.append(time.perf_counter() - start)
    return 1000 * min(times)


def memory_mb() -> dict[str, float]:
    """Peak resident memory of a process that extracts `features=lite` from one and ten minutes of 720p."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for seconds in (60, 600):
            path = repeated(DEMO, Path(folder) / f"{seconds}.mp4", seconds)
            command = [sys.executable, "-c", MEMORY_CODE, str(path)]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            peaks[f"{seconds} s"] = round(float(done.stdout), 1)
    return peaks


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", action="store_true")
    parser.add_argument("--memory", action="store_true")
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    rows = [*parts(DEMO), whole(DEMO, "lite", extractor("lite"))]
    if options.networks:
        clip = random_clip(torch.device(options.device))
        rows += [*networks(DEMO, clip), whole(DEMO, "clip", clip)]
    result: dict[str, Any] = {"device": options.device, "rows": rows, "reload_ms": reload_ms(DEMO)}
    print(f"{'part':40s} {'per s wall':>11s} {'per s cpu':>11s}")
    for row in rows:
        extra = f"  {row['times_length']:.2f}x length, {row['waiting']:.0%} waiting" if "waiting" in row else ""
        print(f"{row['name']:40s} {row['wall']:11.1f} {row['cpu']:11.1f}{extra}")
    print(f"from the cache: {result['reload_ms']:.1f} ms")
    if options.memory:
        result["memory_mb"] = memory_mb()
        print("peak memory:", ", ".join(f"{length} {peak:.0f} MB" for length, peak in result["memory_mb"].items()))
    print(json.dumps(result))


if __name__ == "__main__":
    main()
