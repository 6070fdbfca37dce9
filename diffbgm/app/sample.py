"""Music for a folder of videos: what `python sample.py` and `diffbgm sample` do."""

import contextlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.app.page import PAGES, write_page, write_single_pages
from diffbgm.app.results import write_takes
from diffbgm.errors import InputError
from diffbgm.files import atomic, writable_folder
from diffbgm.generation.loading import chosen_sampler
from diffbgm.generation.pipeline import Advance, Pipeline, check_wishes
from diffbgm.generation.settings import SampleSettings, sample_settings
from diffbgm.video.folder import find_videos, output_names


def sample(cfg: DictConfig) -> int:
    """Make music for every video of cfg.videos; the exit code is 0 if all succeeded, 1 otherwise."""
    begin = time.perf_counter()
    out = Path(cfg.out)
    if cfg.page not in PAGES:
        raise InputError(f"page={cfg.page} is unknown; give one of {', '.join(PAGES)}")
    videos = find_videos(cfg.videos)
    if out.resolve() == videos[0].parent.resolve():
        raise InputError(f"out={out} is the folder of the videos, which would be overwritten; choose another folder")
    writable_folder(out)
    pipeline, settings = build_pipeline(cfg)
    reports: list[dict[str, Any]] = []
    done, failed = [], []
    for video, name in zip(videos, output_names(videos, settings.variations), strict=True):
        stage = _Bars(video.name).stage
        try:
            [takes] = pipeline.make([video], settings, None, stage)
            reports += write_takes(takes, name, out, stage)
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
    if cfg.page == "single":
        for problem in write_single_pages(reports, out):
            print(f"error: {problem}", file=sys.stderr)
    print(f"{len(done)} of {len(videos)} videos have music; open {out / 'index.html'}")
    return 1 if failed else 0


def build_pipeline(cfg: DictConfig) -> tuple[Pipeline, SampleSettings]:
    """The pipeline and the settings that configs/sample.yaml describes. InputError for what does not fit."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = sample_settings(plain)
    check_wishes(settings)
    pipeline = Pipeline.from_pretrained(
        cfg.checkpoint,
        cfg.device,
        cfg.precision,
        extractor=None if cfg.get("features") is None else instantiate(cfg.features),
        cache=cfg.cache,
        compile=cfg.compile,
    )
    own = pipeline.composer.config.sampling.sampler
    pipeline.composer = pipeline.composer.asked(settings, chosen_sampler(plain["sampler"], own))
    pipeline.about["config"] = plain
    return pipeline, settings


class _Bars:
    """A progress bar for each stage of a video."""

    def __init__(self, name: str) -> None:
        self.name = name if len(name) <= 24 else f"{name[:21]}..."

    @contextlib.contextmanager
    def stage(self, stage: str, total: int) -> Iterator[Advance]:
        """A bar that counts to `total`; advance(n) moves it on."""
        with tqdm(total=total, desc=f"{self.name:24s} {stage:9s}", leave=False, disable=None) as bar:
            yield lambda done: bar.update(done)
