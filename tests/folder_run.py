"""Shared by tests of runs over a folder, in which composing is replaced by writing small files."""

import os
from pathlib import Path
from typing import Any

import pytest

from diffbgm.app import sample
from diffbgm.app.record import ENDINGS, Ledger, claimed, read_report
from diffbgm.app.sample import FolderRun
from diffbgm.files import json_bytes, staged
from diffbgm.video.folder import find_sources

MADE = {"settings": {"seed": 0, "compose": {"guidance": 2}}, "checkpoint": "c" * 8, "version": "1"}


class Settings:
    variations = 1


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Composing replaced by writing small files; returns the names that were made."""
    made: list[str] = []

    def write(takes: Any, name: str, out: Path, stage: Any, made_from: dict[str, Any]) -> None:
        with staged(out, name, claimed(read_report(out / f"{name}.json"))) as staging:
            for ending in ENDINGS[:-1]:
                (staging / ending).write_bytes(os.fsencode(f"{name}.{ending}"))
            report = {"name": name, "versions": {"diffbgm": "1"}, "made_from": made_from}
            (staging / "json").write_bytes(json_bytes(report))
        made.append(name)

    monkeypatch.setattr(sample, "write_takes", write)
    return made


class Pipeline:
    """make() does to a video what its name says."""

    def __init__(self, faults: dict[str, BaseException] | None = None) -> None:
        self.faults = faults or {}
        self.calls: list[int] = []

    def make(self, videos: list[Path], *_: object) -> list[list[str]]:
        self.calls.append(len(videos))
        for video in videos:
            if video.stem in self.faults:
                raise self.faults[video.stem]
        return [["a take"]] * len(videos)


def folder(top: Path, *names: str) -> Path:
    for name in names:
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_text(name)
    return top


def go(
    videos: Path,
    out: Path,
    pipeline: Pipeline,
    overwrite: bool = False,
    batch: int = 1,
    beside: bool = False,
    **made: Any,
) -> FolderRun:
    out.mkdir(exist_ok=True)
    sources = find_sources(videos, out)
    ledger = Ledger(out, [source.path for source in sources], MADE | made, overwrite)
    ledger.check(source.name for source in sources)
    job = FolderRun(pipeline, Settings(), ledger, out.with_name("cache"), beside)  # type: ignore[arg-type]
    job.videos(sources, batch)
    return job


def contents(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}
