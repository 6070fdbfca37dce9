"""What the app does, without its interface: uploads, takes and their page, within limits.

A studio serves several visitors at once. Each upload is checked before anything is computed. Each result is in a folder
of its own whose name cannot be guessed, and results that nobody has used for an hour are removed. The work for a
visitor who has left stops at its next step and leaves nothing behind.
"""

import html
import json
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from threading import Event, Lock
from typing import Any
from urllib.parse import quote

import numpy as np

from diffbgm.app.page import clock, page_html
from diffbgm.app.results import write_takes
from diffbgm.errors import InputError
from diffbgm.fields import check
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.settings import SampleSettings
from diffbgm.generation.takes import check_wishes
from diffbgm.video.decode import frame_count, lasts_longer, probe
from diffbgm.video.features import Advance, VideoFeatures

LIFETIME = 3600.0  # seconds that a result is kept after its last use
NAME = "music"  # of the files of a result
Tell = Callable[[float, str], None]  # tell(share done, what is being done)


class LeftError(InputError):
    """The visitor who asked for this work has left."""


@dataclass(frozen=True)
class Bounds:
    """What a visitor may ask for."""

    minutes: float = 10.0  # of video
    megabytes: float = 500.0  # of an upload
    side: int = 4096  # pixels
    takes: int = 4


class Studio:
    """A pipeline with a workplace. `close` removes the workplace."""

    def __init__(self, pipeline: Pipeline, bounds: Bounds | None = None) -> None:
        self.pipeline, self.bounds = pipeline, bounds or Bounds()
        self.place = Path(tempfile.mkdtemp(prefix="diffbgm-app-"))
        self.results = self.place / "results"  # each in a folder of its own; examples and features lie beside it
        self.results.mkdir()
        self._working: set[tuple[str, Event]] = set()  # visitor, and the end of a piece of work for them
        self._lock = Lock()

    def close(self) -> None:
        """Remove everything that was uploaded here or made."""
        shutil.rmtree(self.place, ignore_errors=True)

    @contextmanager
    def work_for(self, visitor: str, tell: Tell) -> Iterator[Tell]:
        """A `tell` for some work, which raises LeftError once the visitor has left."""
        left = Event()
        with self._lock:
            self._working.add((visitor, left))

        def heard(share: float, what: str) -> None:
            if left.is_set():
                raise LeftError("stopped, because the page was closed; compose again")
            tell(share, what)

        try:
            yield heard
        finally:
            with self._lock:
                self._working.discard((visitor, left))

    def leave(self, visitor: str) -> None:
        """Stop the work for a visitor. Finished results stay for their hour, in case the visitor comes back."""
        with self._lock:
            for name, left in self._working:
                if name == visitor:
                    left.set()

    def admit(self, video: str | Path | None) -> Path:
        """The upload. Raises InputError if it is not a video within the bounds."""
        if video is None:
            raise InputError("there is no video yet; drop one first")
        path, bounds = Path(video), self.bounds
        size = path.stat().st_size / 2**20 if path.is_file() else 0.0
        if size > bounds.megabytes:
            raise InputError(f"this file has {size:.0f} MB, and {bounds.megabytes:g} are the limit; give a smaller one")
        try:
            info = probe(path)
        except InputError as error:
            raise InputError(str(error).replace(str(path), path.name)) from error
        if max(info.width, info.height) > bounds.side:
            raise InputError(
                f"this video has {info.width} x {info.height} pixels, and {bounds.side} a side are the limit; "
                "scale it down"
            )
        if info.duration > 60 * bounds.minutes or lasts_longer(path, 60 * bounds.minutes):
            raise InputError(
                f"this video is longer than {bounds.minutes:g} minutes, the limit here; cut it, or use the command "
                "diffbgm sample, which has none"
            )
        return path

    def look(self, video: str | Path | None, tell: Tell) -> str:
        """What is read from a video as HTML: its shots, motion and light."""
        path = self.admit(video)
        with _stages(tell, LOOKING)("features", frame_count(path)) as advance:
            return looked_at(self.pipeline.features(path, advance))

    def compose(self, video: str | Path | None, wishes: Mapping[str, Any], tell: Tell) -> Path:
        """Make takes for a video; returns their folder. `wishes`: settings by name, None or "" for the default."""
        path = self.admit(video)
        given = {name: value for name, value in wishes.items() if value not in (None, "")}
        settings = check(SampleSettings, given)
        if settings.variations > self.bounds.takes:
            raise InputError(f"{settings.variations} takes are more than {self.bounds.takes}, the limit; ask for fewer")
        check_wishes(settings)
        self.sweep()
        stage = _stages(tell)
        [takes] = self.pipeline.make([path], settings, None, stage)
        folder = self.results / secrets.token_hex(16)
        folder.mkdir()
        try:
            write_takes(takes, NAME, folder, stage)
            shutil.copyfile(path, folder / f"upload{path.suffix}")
            (folder / "wishes.json").write_text(json.dumps(given))
        except BaseException:
            shutil.rmtree(folder, ignore_errors=True)
            raise
        return folder

    def redo(self, folder: Path, take: int, first: int, last: int, tell: Tell) -> Path:
        """Keep bars `first` to `last` of a take (1, 2, ...), compose the rest with the next seed; a new folder."""
        folder = self.own(folder)
        reports = read_reports(folder)
        if not 1 <= take <= len(reports):
            raise InputError(f"there is no take {take}; choose 1 to {len(reports)}")
        report = reports[take - 1]
        wishes = json.loads((folder / "wishes.json").read_text()) | {
            "seed": report["seed"] + 1,
            "tempo": report["tempo"],
            "keep": str(folder / f"{report['name']}.mid"),
            "keep_bars": [int(first), int(last)],
            "melody": None,
        }
        upload = next(folder.glob("upload.*"))
        return self.compose(upload, wishes, tell)

    def own(self, folder: Path) -> Path:
        """The folder. Raises InputError if it is not a result of this studio, or no longer there."""
        folder = Path(folder)
        if folder.parent != self.results or not folder.is_dir():
            raise InputError("this result is no longer there; compose again")
        os.utime(folder)
        return folder

    def sweep(self, now: float | None = None) -> None:
        """Remove the results that nobody has used for `LIFETIME`."""
        now = time.time() if now is None else now
        for folder in self.results.iterdir():
            if now - folder.stat().st_mtime > LIFETIME:
                shutil.rmtree(folder, ignore_errors=True)


def read_reports(folder: Path) -> list[dict[str, Any]]:
    """What the json of each take in a result's folder holds, the best take first."""
    names = [NAME, *(f"{NAME}.take{number}" for number in range(2, 100))]
    return [json.loads(path.read_text()) for name in names if (path := folder / f"{name}.json").is_file()]


def downloads(folder: Path) -> list[str]:
    """The files of a result that a visitor may keep."""
    return [str(path) for path in sorted(folder.iterdir()) if path.name.startswith(NAME) and path.suffix != ".json"]


def framed(folder: Path, base: str) -> str:
    """The page of a result in a frame; its files are found below the address `base`."""
    reports = [report | {"video": Path(report["video"]).name} for report in read_reports(folder)]
    text = page_html(reports, folder, f"{base}{quote(str(folder))}/", Path("my_music"))
    return f'<iframe title="Takes" style="width:100%;height:60rem;border:0" srcdoc="{html.escape(text)}"></iframe>'


def looked_at(features: VideoFeatures) -> str:
    """A video's shots with their captions, and its motion and light, as HTML."""
    rows = "".join(
        f"<tr><td>{clock(start)}</td><td>{stop - start:.1f}&nbsp;s</td><td>{html.escape(caption)}</td></tr>"
        for (start, stop), caption in zip(features.shots[:100], features.captions[:100], strict=False)
    )
    curves = "".join(
        _curve(name, features.visual[:, features.columns.index(column)])
        for name, column in (("motion", "motion"), ("light", "brightness"))
        if column in features.columns
    )
    count = len(features.shots)
    shots = f"{count} shot{'' if count == 1 else 's'} in {features.duration:.1f} s"
    return f"<p>{shots}</p>{curves}<table><tr><th>from</th><th>for</th><th>what was read</th></tr>{rows}</table>"


def _curve(name: str, values: np.ndarray, width: int = 600, height: int = 48) -> str:
    """A curve as wide as the page, from 0 to its greatest value."""
    top = float(values.max()) or 1.0
    step = max(1, len(values) // width)
    shown = values[::step] / top
    x = np.linspace(0, width, len(shown))
    points = " ".join(f"{a:.1f},{height - 2 - b * (height - 4):.1f}" for a, b in zip(x, shown, strict=True))
    return (
        f'<figure style="margin:.5rem 0"><figcaption>{name}</figcaption><svg role="img" aria-label="{name} over time" '
        f'viewBox="0 0 {width} {height}" preserveAspectRatio="none" style="width:100%;height:{height}px">'
        f'<polyline points="{points}" fill="none" stroke="currentColor" stroke-width="1.5"/></svg></figure>'
    )


LOOKING = {"features": (0.0, 1.0)}  # first share and length of each stage
COMPOSING = {"features": (0.0, 0.3), "compose": (0.3, 0.5), "sound": (0.8, 0.08), "mux": (0.88, 0.08)}


def _stages(tell: Tell, shares: Mapping[str, tuple[float, float]] = COMPOSING) -> Callable[[str, int], Any]:
    """Progress of a pipeline's stages as one share that never falls, even if stages are repeated for several takes."""
    words = {"features": "looking", "compose": "composing", "sound": "rendering", "mux": "putting it under the video"}
    reached = 0.0

    def reach(share: float, name: str) -> None:
        nonlocal reached
        reached = max(reached, min(share, 1.0))
        tell(reached, words.get(name, "drawing"))

    @contextmanager
    def stage(name: str, total: int) -> Iterator[Advance]:
        begin, length = shares.get(name, (0.96, 0.04))
        done = 0

        def advance(more: int) -> None:
            nonlocal done
            done += more
            reach(begin + length * min(done / max(total, 1), 1.0), name)

        reach(begin, name)
        yield advance

    return stage


def known_wishes() -> set[str]:
    """The names of all settings."""
    return {field.name for field in fields(SampleSettings)}
