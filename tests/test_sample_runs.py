"""A run over a folder: a failing video does not stop it; what ends it, and what it leaves then."""

import json
import os
import signal
import time
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest
from folder_run import Pipeline, Settings, folder, go, quick

from diffbgm.app import sample
from diffbgm.app.cli import run
from diffbgm.app.sample import index
from diffbgm.app.stop import Stopped, stoppable, unexpected
from diffbgm.errors import InputError
from diffbgm.video.folder import NamedVideo

__all__ = ["quick"]  # a fixture


class Panic(BaseException):
    """Raised by Rust libraries; not a subclass of Exception."""


FAULTS = [
    InputError("no picture"),
    RuntimeError("inside PyAV"),
    MemoryError(),
    OSError(28, "No space left on device"),
    PermissionError(13, "Permission denied"),
    UnicodeEncodeError("utf-8", "\udcff", 0, 1, "surrogates not allowed"),
    OverflowError("too large"),
    RecursionError("too deep"),
    AssertionError(),
    KeyError("x"),
    StopIteration(),
    Panic("index out of bounds"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
@pytest.mark.parametrize("batch", [1, 3])
def test_one_video_never_ends_the_run(tmp_path: Path, quick: list[str], fault: BaseException, batch: int) -> None:
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    job = go(videos, tmp_path / "out", Pipeline({"b": fault}), batch=batch)
    assert job.done == quick == ["a", "c"]
    (failure,) = job.failed
    assert failure["video"] == "b.mp4"
    assert "\n" not in failure["error"]
    assert isinstance(fault, InputError | MemoryError | OSError) or "--debug" in failure["error"]


def test_every_error_names_its_video_once(tmp_path: Path, quick: list[str], capsys) -> None:
    """A form that is too long for one of many videos must say for which."""
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4")
    faults = {"a": InputError("form=ABC has 3 letters"), "b": InputError(f"{videos}/b.mp4 has no picture")}
    go(videos, tmp_path / "out", Pipeline(dict(faults)))
    assert capsys.readouterr().err.splitlines() == [
        "error: a.mp4: form=ABC has 3 letters",
        f"error: {videos}/b.mp4 has no picture",
    ]


def test_files_are_made_while_the_next_video_is_composed(tmp_path: Path, quick: list[str], monkeypatch) -> None:
    """Writing waits for the next video's composing to begin; a fault in it is that video's alone."""
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4", "d.mp4")
    begun = {stem: Event() for stem in "abcd"}
    write = sample.write_takes

    class Telling(Pipeline):
        def make(self, videos: list[Path], *rest: object) -> list[list[str]]:
            begun[videos[0].stem].set()
            return super().make(videos, *rest)

    def patient(takes: Any, name: str, *rest: Any) -> None:
        following = {"a": "b", "b": "d", "d": "d"}[name]
        assert begun[following].wait(5)
        if name == "b":
            raise Panic("index out of bounds")
        write(takes, name, *rest)

    monkeypatch.setattr(sample, "write_takes", patient)
    job = go(videos, tmp_path / "out", Telling({"c": RuntimeError("no picture")}), beside=True)
    assert job.done == quick == ["a", "d"]
    assert sorted(failure["name"] for failure in job.failed) == ["b", "c"]


def test_the_next_video_is_read_while_one_is_composed(tmp_path: Path, quick: list[str]) -> None:
    """Composing waits for the reading of the next video to begin; a video that cannot be read is its own failure."""
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    read = {stem: Event() for stem in "abc"}
    composed: list[str] = []

    class Reading(Pipeline):
        def features(self, video: Path, advance: Any) -> None:
            advance(1)
            read[video.stem].set()
            if video.stem == "b":
                raise InputError("no picture")

        def make(self, videos: list[Path], *rest: object) -> list[list[str]]:
            (stem,) = [video.stem for video in videos]
            composed.append(stem)
            assert read[{"a": "b", "b": "c", "c": "c"}[stem]].wait(5)
            return super().make(videos, *rest)

    job = go(videos, tmp_path / "out", Reading({"b": InputError("no picture")}), beside=True)
    assert job.done == quick == ["a", "c"]
    assert composed == ["a", "b", "c"]
    assert [failure["name"] for failure in job.failed] == ["b"]


def test_a_run_that_ends_does_not_wait_for_the_video_being_read(tmp_path: Path, quick: list[str]) -> None:
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4")
    begun, frames = Event(), []

    class Endless(Pipeline):
        def features(self, video: Path, advance: Any) -> None:
            while video.stem == "b":
                frames.append(1)
                begun.set()
                advance(1)

        def make(self, videos: list[Path], *rest: object) -> list[list[str]]:
            assert begun.wait(5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        go(videos, tmp_path / "out", Endless(), beside=True)
    assert frames


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), Stopped(signal.SIGTERM), SystemExit(3)])
def test_the_user_ends_the_run(tmp_path: Path, quick: list[str], fault: BaseException) -> None:
    videos = folder(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4")
    with pytest.raises(type(fault)):
        go(videos, tmp_path / "out", Pipeline({"b": fault}))
    assert quick == ["a"]
    assert go(videos, tmp_path / "out", Pipeline()).done == ["a", "b", "c"]
    assert quick == ["a", "b", "c"], "what was finished is not made again"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_signals_end_the_run_with_their_code(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with pytest.raises(Stopped) as caught, stoppable():
        os.kill(os.getpid(), number)
        for _ in range(10**6):
            pass
    assert caught.value.code == 128 + number
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_ended_writes_summary_and_page(
    tmp_path: Path, quick: list[str], monkeypatch: pytest.MonkeyPatch, capsys: Any, number: signal.Signals
) -> None:
    """The signal comes while the second of three videos is composed."""
    videos, out = folder(tmp_path / "v", "a.mp4", "b.mp4", "c.mp4"), tmp_path / "out"

    class Signalled(Pipeline):
        about: ClassVar = {"device": "cpu", "checkpoint": {"sha256": "c" * 8}}

        def make(self, videos: list[Path], *rest: object) -> list[list[str]]:
            if videos[0].stem == "b":
                os.kill(os.getpid(), number)
                time.sleep(5)
            return super().make(videos, *rest)

    shown: list[str] = []
    monkeypatch.setattr(sample, "build_pipeline", lambda cfg: (Signalled(), Settings()))
    monkeypatch.setattr(sample, "write_page", lambda reports, *_: shown.extend(r["name"] for r in reports))
    words = [f"videos={videos}", f"out={out}", f"cache={tmp_path / 'cache'}"]
    assert run(sample.sample, "sample", words) == 128 + number
    assert "stopped: 2 of 3 videos are left; the same command goes on" in capsys.readouterr().err
    assert json.loads((out / "summary.json").read_text())["ok"] == shown == quick == ["a"]


def test_debug_shows_where(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert unexpected(ValueError("two\nlines"), "a.mp4") == (
        "a.mp4 failed unexpectedly (ValueError: two lines); --debug shows where"
    )
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("DIFFBGM_DEBUG", "1")
    unexpected(ValueError("x"), "a.mp4")
    assert "ValueError: x" in capsys.readouterr().err


def test_shards_take_every_video_once(tmp_path: Path) -> None:
    sources = [NamedVideo(Path(f"{k}.mp4"), str(k)) for k in range(200)]
    from diffbgm.app.shards import own_shard, share

    parts = [share(sources, index, 7) for index in range(7)]
    assert sorted(s.name for part in parts for s in part) == sorted(s.name for s in sources)
    assert min(map(len, parts)) > 10
    assert own_shard(None, None, {}) == (0, 1)
    assert own_shard(64, 7, {"RANK": "1", "WORLD_SIZE": "2"}) == (7, 64)
    assert own_shard(None, None, {"RANK": "1", "WORLD_SIZE": "2"}) == (1, 2)
    array = {"SLURM_ARRAY_TASK_ID": "12", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "10"}
    assert own_shard(None, None, array) == (2, 4)
    assert own_shard(None, None, {"SLURM_PROCID": "0", "SLURM_NTASKS": "4"}) == (0, 1)
    assert own_shard(None, None, {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_STEP_ID": "0"}) == (3, 4)
    for shards, shard in ((None, 1), (4, None), (4, 4), (1, 1)):
        with pytest.raises(InputError, match="shard"):
            own_shard(shards, shard, {})


def test_the_index_is_made_from_what_lies_there(
    tmp_path: Path, quick: list[str], monkeypatch: Any, capsys: Any
) -> None:
    shown: list[str] = []
    monkeypatch.setattr(sample, "write_page", lambda reports, *_: shown.extend(r["name"] for r in reports))
    out = tmp_path / "out"
    for name in ("a", "b"):
        go(folder(tmp_path / name, f"{name}.mp4"), out, Pipeline())
    assert run(sample.index_folder, "index", [f"out={out}"]) == 0
    assert shown == json.loads((out / "summary.json").read_text())["ok"] == ["a", "b"]
    assert run(sample.index_folder, "index", [f"out={tmp_path / 'nowhere'}"]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_a_page_that_fails_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("no fonts")

    monkeypatch.setattr(sample, "write_page", broken)
    index(tmp_path, {"failed": []})
    assert "the page failed unexpectedly (RuntimeError: no fonts)" in capsys.readouterr().err
