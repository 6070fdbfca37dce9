"""Music for a folder of videos: `python sample.py` and `diffbgm sample`.

Videos are independent: a failure of one is reported, and the others are still done. Results that are already in `out`
are not made again, so that the same command resumes a run that was stopped.
"""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Event
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.app.page import PAGES, write_page, write_single_pages
from diffbgm.app.progress import FolderProgress, say
from diffbgm.app.record import Ledger, made_from, reports_in, write_summary
from diffbgm.app.results import write_takes
from diffbgm.app.shards import configured_shard, share
from diffbgm.app.stop import Stopped, stoppable, unexpected
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.files import writable_folder
from diffbgm.generation.loading import chosen_sampler
from diffbgm.generation.music import Music
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.progress import Stage, silence
from diffbgm.generation.settings import SampleSettings, sample_settings
from diffbgm.generation.takes import check_wishes
from diffbgm.video.features import content_hash
from diffbgm.video.folder import NamedVideo, find_sources

ENDS = (KeyboardInterrupt, SystemExit, GeneratorExit, Stopped)  # anything else ends one video at most
GPU_BATCH = 8  # videos composed together where batch=auto and there is a GPU


@dataclasses.dataclass(frozen=True)
class FolderSettings:
    """The settings of configs/sample.yaml that say what is done with a folder."""

    videos: str | tuple[str, ...] = field(length=(1, 4096), help="a folder (a tree), a glob, a .txt list, or files")
    out: str = field(length=(1, 4096), help="where NAME.mid, .wav, .mp4, .png and .json go")
    checkpoint: str = field(length=(1, 4096), help="a shipped name, a file, a folder or a hub id")
    cache: str = field(length=(1, 4096), help="features of videos seen before")
    overwrite: bool = field(False, help="make again what is in out already")
    batch: int | str = field("auto", low=1, high=1024, choices=("auto",), help="videos composed together")
    page: str = field("folder", choices=PAGES, help="single: beside index.html a page for each video")
    device: str = field("auto", length=(1, 64), help="auto, cpu, cuda, cuda:1 or mps")
    precision: str = field("auto", choices=("auto", "fp32", "bf16", "fp16"))
    compile: bool = field(False, help="by torch.compile")


@dataclasses.dataclass(frozen=True)
class IndexSettings:
    """The settings of configs/index.yaml."""

    out: str = field(length=(1, 4096), help="a folder with results")
    page: str = field("folder", choices=PAGES, help="single: beside index.html a page for each video")


def sample(cfg: DictConfig) -> int:
    """Make music for the videos of cfg.videos; the exit code is 0 if all succeeded, 1 if not, 128 + n on signal n."""
    begin = time.perf_counter()
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    folder = check(FolderSettings, {entry.name: plain[entry.name] for entry in dataclasses.fields(FolderSettings)})
    takes = sample_settings(plain).variations
    out = Path(folder.out)
    everything = find_sources(folder.videos, out, takes)
    folders = {(source.path.parent, (out / source.name).parent) for source in everything}
    if any(place.resolve() == results.resolve() for place, results in folders):
        raise InputError(f"out={out} is the folder of the videos, which would be overwritten; choose another folder")
    sources = share(everything, *(shard := configured_shard(plain)))
    for place in {out, *((out / source.name).parent for source in sources)}:
        writable_folder(place)
    pipeline, settings = build_pipeline(cfg)
    record = made_from(plain, pipeline.about["checkpoint"]["sha256"])
    read = [source.path for source in everything] + [
        plain[name] for name in ("melody", "keep", "soundfont") if plain[name]
    ]
    ledger = Ledger(out, [*read, folder.checkpoint], record, folder.overwrite)
    ledger.check(source.name for source in sources)
    batch = folder.batch if isinstance(folder.batch, int) else GPU_BATCH if "cuda" in pipeline.about["device"] else 1
    run = FolderRun(pipeline, settings, ledger, Path(folder.cache), beside="cuda" in pipeline.about["device"])
    code = 0
    try:
        with stoppable():
            run.videos(sources, batch)
    except (Stopped, KeyboardInterrupt) as error:
        code = error.code if isinstance(error, Stopped) else 130
        left = len(sources) - len(run.done) - len(run.failed)
        print(f"stopped: {left} of {len(sources)} videos are left; the same command goes on", file=sys.stderr)
    summary = write_summary(out, run.failed, [source.name for source in sources], time.perf_counter() - begin)
    part = "" if shard[1] == 1 else f" of shard {shard[0]} of {shard[1]}"
    if shard[1] == 1 or len(summary["ok"]) + len(summary["failed"]) >= len(everything):
        problem = index(out, summary, folder.page)
        code = code or problem
    say(f"{len(run.done)} of {len(sources)} videos{part} have music; open {_shown(out / 'index.html')}")
    return code or (1 if run.failed else 0)


def index_folder(cfg: DictConfig) -> int:
    """Rewrite summary.json and the page from the results in cfg.out."""
    check(IndexSettings, {"out": cfg.out, "page": cfg.page})
    out = Path(cfg.out)
    if not out.is_dir():
        raise InputError(f"there is no folder {out}; give out=FOLDER with results in it")
    Ledger(out, [], {}, overwrite=True).check([])
    summary = write_summary(writable_folder(out), [], [], 0.0)
    code = index(out, summary, cfg.page)
    say(f"{len(summary['ok'])} videos have music; open {_shown(out / 'index.html')}")
    return code or (1 if summary["failed"] else 0)


def index(out: Path, summary: dict[str, Any], page: str = "folder") -> int:
    """Write the page of the results in `out`; returns 1 if a page cannot be made, which is reported, else 0."""
    try:
        reports = list(reports_in(out))
        write_page(reports, summary["failed"], out / "index.html")
        problems = write_single_pages(reports, out) if page == "single" else []
    except InputError as error:
        problems = [str(error)]
    except Exception as error:
        problems = [unexpected(error, "the page")]
    for problem in problems:
        print(f"error: {_shown(problem)}", file=sys.stderr)
    return 1 if problems else 0


class FolderRun:
    """The videos of one process, one after another or several together."""

    def __init__(
        self, pipeline: Pipeline, settings: SampleSettings, ledger: Ledger, cache: Path, beside: bool = False
    ) -> None:
        """`beside`: while one video is composed (on a GPU), a thread reads the next one and another writes the last."""
        self.pipeline, self.settings, self.ledger, self.cache = pipeline, settings, ledger, cache
        self.writer = ThreadPoolExecutor(1) if beside else None
        self.reader = ThreadPoolExecutor(1) if beside else None
        self.ended = Event()
        self.being_written: tuple[NamedVideo, Future[None]] | None = None
        self.done: list[str] = []
        self.failed: list[dict[str, str]] = []
        self.progress = FolderProgress(0)

    def videos(self, sources: Sequence[NamedVideo], batch: int) -> None:
        """Make the results that are missing."""
        self.progress = FolderProgress(len(sources))
        empty = contextlib.nullcontext()
        with contextlib.closing(self.progress), self.writer or empty, self.reader or empty:
            try:
                for waiting in self._read_ahead(self._to_make(sources, batch)):
                    self._together(waiting)
            finally:
                self.ended.set()
                self._settle()

    def _to_make(self, sources: Sequence[NamedVideo], batch: int) -> Iterator[Sequence[tuple[NamedVideo, str]]]:
        """The videos without a finished result and the hashes of their files, `batch` at a time."""
        waiting: list[tuple[NamedVideo, str]] = []
        for source in sources:
            with self._own_try(source):
                digest = content_hash(source.path, self.cache)
                if self.ledger.finished(source.name, self.settings.variations, digest):
                    self.done.append(source.name)
                    continue
                waiting.append((source, digest))
            if len(waiting) >= batch:
                yield waiting
                waiting = []
        if waiting:
            yield waiting

    def _read_ahead(
        self, batches: Iterator[Sequence[tuple[NamedVideo, str]]]
    ) -> Iterator[Sequence[tuple[NamedVideo, str]]]:
        """The same batches, each after its features are in the cache; the next one is read in the meantime."""
        if self.reader is None:
            yield from batches
            return
        before: tuple[Sequence[tuple[NamedVideo, str]], Future[None]] | None = None
        for waiting in batches:
            reading = self.reader.submit(self._read, waiting)
            if before is not None:
                before[1].result()
                yield before[0]
            before = waiting, reading
        if before is not None:
            before[1].result()
            yield before[0]

    def _read(self, waiting: Sequence[tuple[NamedVideo, str]]) -> None:
        """Put the features of these videos into the cache. A failure is ignored here, and reported later."""

        def advance(_: int) -> None:
            if self.ended.is_set():
                raise InterruptedError

        for source, _ in waiting:
            with contextlib.suppress(BaseException):
                self.pipeline.features(source.path, advance)

    def _together(self, waiting: Sequence[tuple[NamedVideo, str]]) -> None:
        """Compose for several videos at once; if that fails, for each of them alone."""
        composed: list[list[Music]] | None = None
        if len(waiting) > 1:
            stage = self.progress.stages(f"{len(waiting)} videos")
            try:
                composed = self.pipeline.make([source.path for source, _ in waiting], self.settings, None, stage)
            except ENDS:
                raise
            except BaseException:  # composing each alone shows which one failed
                composed = None
        for number, (source, digest) in enumerate(waiting):
            with self._own_try(source):
                stage = self.progress.stages(_shown(source.path.name))
                takes = (
                    composed[number] if composed else self.pipeline.make([source.path], self.settings, None, stage)[0]
                )
                if self.writer is None:
                    self._write(takes, source, digest, stage)
                    self.done.append(source.name)
                else:
                    self._settle()
                    self.being_written = source, self.writer.submit(self._write, takes, source, digest, silence)

    def _write(self, takes: Sequence[Music], source: NamedVideo, digest: str, stage: Stage) -> None:
        write_takes(takes, source.name, self.ledger.out, stage, self.ledger.made_from | {"video": digest})
        self.ledger.forget(source.name, self.settings.variations)

    def _settle(self) -> None:
        """Wait until the files of the video that is being written are there, or it has failed."""
        if self.being_written is not None:
            source, written = self.being_written
            with self._own_try(source):
                written.result()
                self.done.append(source.name)
            self.being_written = None

    @contextlib.contextmanager
    def _own_try(self, source: NamedVideo) -> Iterator[None]:
        """Count any failure inside as one of this video alone; only the user and signals end the run."""
        try:
            yield
            self.progress.reach(len(self.done) + len(self.failed))
            return
        except ENDS:
            raise
        except InputError as error:
            sentence = str(error)
        except BaseException as error:  # a panic in a Rust library is not an Exception
            sentence = unexpected(error, str(source.path))
        sentence, video = _shown(sentence), _shown(source.path.name)
        self.failed.append({"video": video, "error": sentence, "name": source.name})
        self.progress.reach(len(self.done) + len(self.failed))
        tqdm.write(f"error: {sentence if video in sentence else f'{video}: {sentence}'}", file=sys.stderr)


def build_pipeline(cfg: DictConfig) -> tuple[Pipeline, SampleSettings]:
    """The pipeline and the settings of a composed configs/sample.yaml. Raises InputError if something does not fit."""
    plain: Any = OmegaConf.to_container(cfg, resolve=True)
    settings = sample_settings(plain)
    check_wishes(settings)
    pipeline = Pipeline.from_pretrained(
        cfg.checkpoint,
        cfg.device,
        cfg.precision,
        extractor=None if cfg.get("features") is None else instantiate(cfg.features),
        cache=str(cfg.cache),
        compile=cfg.compile,
    )
    own = pipeline.composer.config.sampling.sampler
    pipeline.composer = pipeline.composer.asked(settings, chosen_sampler(plain["sampler"], own))
    pipeline.about["config"] = plain
    return pipeline, settings


def _shown(text: object) -> str:
    """Text that can be written to any terminal and any UTF-8 file."""
    return str(text).encode(errors="backslashreplace").decode()
