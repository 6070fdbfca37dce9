"""Frames a second of each part of the feature extraction, and its memory over the length of a video.

    python -m benchmarks features [--networks] [--device cuda] [--memory]

Decoding, detectors and encoders are timed one by one on a demo video, then whole extractions, with the share of time
that they wait for decoded frames, and reading from the cache. --networks adds TransNetV2, CLIP, BLIP and BERT at their
full sizes with random weights (the time does not depend on them; a caption is as long as it may be). --memory adds the
peak of a process that extracts one and ten minutes of 720p.
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate

from benchmarks.harness import ROOT, Row, clock, parser, rate, seconds, show
from benchmarks.videos import DEMO, repeated
from diffbgm.app.cli import configure
from diffbgm.evaluation.report import mean_of
from diffbgm.video.captions import MiniLMEmbedder
from diffbgm.video.decode import decoded, probe
from diffbgm.video.extractors import ClipExtractor, watch
from diffbgm.video.features import cached, extract

VIDEO = DEMO / "bigbuckbunny.mp4"  # 1280 x 720, 25 frames a second
MEMORY_CODE = """
import resource, sys
from hydra.utils import instantiate
from diffbgm.app.cli import configure
from diffbgm.video.features import extract
extract(sys.argv[1], instantiate(configure("extract_features", ["videos=x", "out=y"]).features))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


Part = tuple[str, int, Callable[[], object]]  # its name, how many things one call works on, the call


def watching(path: Path, part: Any) -> Callable[[], None]:
    """The work of a detector or encoder on frames that are decoded and scaled already."""
    info = probe(path)
    taking = part.watch(info)
    items = [taking.take(frame) for frame in decoded(path)]

    def work() -> None:
        watcher = part.watch(info)
        for item in items:
            watcher.see(item)
        finish = watcher.cuts if hasattr(watcher, "cuts") else lambda: watcher.rows([])
        finish()

    return work


def parts(path: Path) -> list[Part]:
    """Decoding and the parts of `features=lite`."""
    lite = extractor("lite")
    frames = sum(1 for _ in decoded(path))
    size = probe(path).fit(90)
    return [
        ("decode", frames, lambda: sum(1 for _ in decoded(path))),
        ("decode and scale to 160 x 90", frames, lambda: [frame.rgb(size) for frame in decoded(path)]),
        ("AdaptiveShots", frames, watching(path, lite.shots)),
        ("LiteEncoder (a sample in three frames)", frames, watching(path, lite.encoder)),
        ("whole extraction, lite", frames, lambda: extract(path, lite)),
    ]


def networks(path: Path, clip: ClipExtractor) -> list[Part]:
    """The networks of `features=clip`, on pictures of the sizes they see."""
    side = clip.captioner._loaded[0].image_processor.size["height"]
    pictures = list(np.random.default_rng(0).integers(0, 256, (16, side, side, 3), dtype=np.uint8))
    words = ["a man rides a bicycle down a street in the rain"] * 64
    square = [picture[:224, :224] for picture in pictures] * 4
    clip.encoder.encode(square[:1])
    return [
        ("TransNetV2", sum(1 for _ in decoded(path)), watching(path, clip.shots)),
        ("CLIP ViT-B/32", len(square), lambda: clip.encoder.encode(square)),
        ("BLIP base, captions", len(pictures), lambda: clip.captioner.caption(pictures)),
        ("BERT base, captions", len(words), lambda: clip.embedder.embed(words)),
        ("whole extraction, clip", sum(1 for _ in decoded(path)), lambda: extract(path, clip)),
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


def waiting(path: Path, part: Any) -> float:
    """The share of its time that a whole extraction waits for decoded frames."""
    info = probe(path)
    passed = watch(path, [part.shots.watch(info), part.encoder.watch(info)])
    return passed.waited / passed.seconds


def memory_mb() -> dict[str, float]:
    """Peak resident memory of a process that extracts `features=lite` from one and ten minutes of 720p."""
    peaks = {}
    with tempfile.TemporaryDirectory() as folder:
        for length in (60, 600):
            path = repeated(VIDEO, Path(folder) / f"{length}.mp4", length)
            command = [sys.executable, "-c", MEMORY_CODE, str(path)]
            done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
            peaks[f"{length} s"] = round(float(done.stdout), 1)
    return peaks


def main() -> None:
    """Measure and print."""
    options = parser(__doc__)
    options.add_argument("--networks", action="store_true")
    options.add_argument("--memory", action="store_true")
    options.add_argument("--device", default="cpu")
    given = options.parse_args()
    lite, now = extractor("lite"), clock(given.wall)
    measured = parts(VIDEO) + (networks(VIDEO, random_clip(torch.device(given.device))) if given.networks else [])
    rows: list[Row] = [
        {"part": name, "per s": rate(seconds(work, given.repeats, now), count)} for name, count, work in measured
    ]
    with tempfile.TemporaryDirectory() as folder:
        reload = mean_of([1000 * value for value in seconds(lambda: cached(VIDEO, lite, folder), 20, now)])
    about: dict[str, Any] = {"device": given.device, "reload_ms": reload, "waiting": waiting(VIDEO, lite)}
    if given.memory:
        about["memory_mb"] = memory_mb()
    print(", ".join(f"{name} {value}" for name, value in about.items()) + "\n")
    show("features", rows, **about)
