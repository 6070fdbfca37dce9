"""Music for a folder of videos: `python sample.py videos=FOLDER out=FOLDER [seed=0 tempo=auto mix=replace ...]`.

Settings: configs/sample.yaml. A video that cannot be used is named on stderr and in summary.json; the others go on, and
the exit code is 1.
"""

import contextlib
import json
import platform
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

import diffbgm
from diffbgm.app.cli import compose, run
from diffbgm.app.entry import autocast_dtype, device_named, typed
from diffbgm.app.page import write_page
from diffbgm.errors import InputError
from diffbgm.files import atomic, writable_folder
from diffbgm.generation.composer import Composer, ComposeSettings
from diffbgm.generation.pipeline import Advance, Pipeline, Settings
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.video.features import Extractor
from diffbgm.video.folder import find_videos, output_names

VERSIONED = ("torch", "numpy", "av", "pretty_midi", "midirenderer", "safetensors", "scenedetect-headless")


def sample(cfg: DictConfig) -> int:
    """Make music for every video of cfg.videos; the exit code is 0 if all succeeded, 1 otherwise."""
    begin = time.perf_counter()
    out = Path(cfg.out)
    videos = find_videos(cfg.videos)
    if out.resolve() == videos[0].parent.resolve():
        raise InputError(f"out={out} is the folder of the videos, which would be overwritten; choose another folder")
    writable_folder(out)
    pipeline = build_pipeline(cfg)
    reports: list[dict[str, Any]] = []
    done, failed = [], []
    for video, name in zip(videos, output_names(videos, cfg.variations), strict=True):
        try:
            takes = pipeline.run(video, name, out, _Bars(video.name).stage)
            reports += takes
            done.append(name)
        except InputError as error:
            failed.append({"video": video.name, "error": str(error)})
            tqdm.write(f"error: {error}", file=sys.stderr)
    summary = {
        "ok": done,
        "failed": failed,
        "seconds": time.perf_counter() - begin,
    }
    with atomic(out / "summary.json") as temporary:
        temporary.write_text(json.dumps(summary, indent=1, ensure_ascii=False), encoding="utf-8")
    write_page(reports, failed, out / "index.html")
    print(f"{len(done)} of {len(videos)} videos have music; open {out / 'index.html'}")
    return 1 if failed else 0


def build_pipeline(cfg: DictConfig) -> Pipeline:
    """The pipeline that configs/sample.yaml describes, with its checkpoint loaded. InputError for what does not fit."""
    checkpoint = load_checkpoint(cfg.checkpoint)
    device = device_named(cfg.device)
    extractor = _extractor(cfg, checkpoint.config["features"]).to(device)
    extractor.prepare()
    composer = Composer(
        checkpoint,
        instantiate(cfg.sampler),
        typed(ComposeSettings, cfg.compose),
        device,
        autocast_dtype(cfg.precision, device),
        cfg.compile,
    )
    about = {
        "checkpoint": {"path": str(cfg.checkpoint), "sha256": checkpoint.sha256},
        "config": OmegaConf.to_container(cfg, resolve=True),
        "device": str(device),
        "versions": {"diffbgm": diffbgm.__version__, "python": platform.python_version()}
        | {name: version(name) for name in VERSIONED},
    }
    return Pipeline(composer, extractor, Path(cfg.cache), typed(Settings, cfg), about)


def _extractor(cfg: DictConfig, trained: dict[str, Any]) -> Extractor:
    """The extractor that the checkpoint was trained on, or the user's choice, if it fits."""
    chosen = cfg.get("features") or compose("sample", [f"features={trained['name']}"]).features
    extractor = instantiate(chosen)
    if (extractor.visual_width, extractor.language_width) != (trained["visual_width"], trained["language_width"]):
        raise InputError(
            f"{cfg.checkpoint} was trained on features={trained['name']}, to which the features asked for do not "
            "correspond; leave features= out or give another checkpoint="
        )
    return extractor


class _Bars:
    """A progress bar for each stage of a video."""

    def __init__(self, name: str) -> None:
        self.name = name if len(name) <= 24 else f"{name[:21]}..."

    @contextlib.contextmanager
    def stage(self, stage: str, total: int) -> Iterator[Advance]:
        """A bar that counts to `total`; advance(n) moves it on."""
        with tqdm(total=total, desc=f"{self.name:24s} {stage:9s}", leave=False, disable=None) as bar:
            yield lambda done: bar.update(done)


if __name__ == "__main__":
    sys.exit(run(sample, "sample"))
