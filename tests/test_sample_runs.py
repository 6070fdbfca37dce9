"""A run over a folder: every video its own try, nothing made twice, nothing of the user's touched, and it goes on."""

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any, ClassVar

import pytest

from diffbgm.app import record, results, sample
from diffbgm.app.cli import run
from diffbgm.app.record import ENDINGS, Ledger, claimed, differences, read_report, reports_in, write_summary
from diffbgm.app.sample import FolderRun, index
from diffbgm.app.stop import Stopped, stoppable, unexpected
from diffbgm.errors import InputError
from diffbgm.files import json_bytes, staged
from diffbgm.video.folder import NamedVideo, find_sources

MADE = {"settings": {"seed": 0, "compose": {"guidance": 2}}, "checkpoint": "c" * 8, "version": "1"}


class Panic(BaseException):
    """What a Rust library raises: no Exception."""


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


def contents(top: Path) -> dict[str, bytes]:
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def test_other_settings_are_refused_and_nothing_is_mixed(tmp_path: Path, quick: list[str]) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4"), tmp_path / "out"
    go(videos, out, Pipeline())
    before = contents(out)
    with pytest.raises(InputError, match=r"a: settings.seed: 0 -> 3\); give another out=, or overwrite=true"):
        go(videos, out, Pipeline(), settings={"seed": 3, "compose": {"guidance": 2}})
    with pytest.raises(InputError, match="checkpoint: cccccccc -> other"):
        go(videos, out, Pipeline(), checkpoint="other")
    with pytest.raises(InputError, match="version: 1 -> 2"):
        go(videos, out, Pipeline(), version="2")
    assert contents(out) == before
    go(videos, out, Pipeline(), overwrite=True, version="2")
    assert read_report(out / "a.json")["made_from"]["version"] == "2"  # type: ignore[index]
    (videos / "a.mp4").write_text("another video")
    job = go(videos, out, Pipeline(), version="2")
    assert "for another video called a" in job.failed[0]["error"]


@pytest.mark.parametrize("ending", [*ENDINGS, "states.npz", "html"])
def test_a_file_that_no_json_of_ours_claims_is_never_replaced(tmp_path: Path, quick: list[str], ending: str) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4", "b.mp4"), folder(tmp_path / "out", f"a.{ending}")
    for overwrite in (False, True):
        job = go(videos, out, Pipeline(), overwrite)
        assert f"a.{ending} is not ours" in job.failed[0]["error"]
        assert (out / f"a.{ending}").read_text() == f"a.{ending}"
    assert quick == ["b", "b"]


@pytest.mark.parametrize(
    ("report", "endings"),
    [
        (None, []),
        ({}, [*ENDINGS, "states.npz"]),
        ({"stems": ["flute-lead", "../../x", 3]}, [*ENDINGS, "states.npz", "flute-lead.wav", "3.wav"]),
        ({"files": ["mid", "piano.wav", "../b.mid", "txt", "x/y.wav", "json"]}, ["mid", "piano.wav", "json"]),
        ({"files": "mid"}, [*ENDINGS, "states.npz"]),
    ],
)
def test_a_json_claims_only_what_a_result_can_have(report: dict[str, Any] | None, endings: list[str]) -> None:
    assert claimed(report) == endings


def with_stems(monkeypatch: pytest.MonkeyPatch, *stems: str) -> None:
    """Write real sets whose sound has these stems."""

    def make(music: str, staging: Any, stage: Any) -> dict[str, Any]:
        for ending in [*ENDINGS[:-1], *(f"{stem}.wav" for stem in stems)]:
            (staging / ending).write_text(music)
        return {"versions": {"diffbgm": "1"}}

    monkeypatch.setattr(results, "_write", make)


def test_stems_are_part_of_the_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user's file in the place of a stem stays; stems of an earlier run go; a missing stem is made again."""
    videos, out = folder(tmp_path / "v", "a.mp4"), folder(tmp_path / "out", "a.flute.wav", "a.notes.wav")
    with_stems(monkeypatch, "flute", "piano")
    for overwrite in (False, True):
        assert "a.flute.wav is not ours" in go(videos, out, Pipeline(), overwrite).failed[0]["error"]
    assert contents(out) == {"a.flute.wav": b"a.flute.wav", "a.notes.wav": b"a.notes.wav"}
    (out / "a.flute.wav").unlink()
    assert go(videos, out, Pipeline()).done == ["a"]
    assert (out / "a.flute.wav").read_text() == "a take"
    (out / "a.piano.wav").unlink()
    go(videos, out, Pipeline())
    assert (out / "a.piano.wav").is_file(), "made again"
    with_stems(monkeypatch, "violin")
    go(videos, out, Pipeline(), overwrite=True)
    assert sorted(path.name for path in out.glob("a.*.wav")) == ["a.notes.wav", "a.violin.wav"]


def test_files_of_fewer_takes_and_old_pages_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4"), tmp_path / "out"
    with_stems(monkeypatch, "piano")

    class Twice(Settings):
        variations = 2

    with monkeypatch.context() as patch:
        patch.setattr(Pipeline, "make", lambda self, videos, *_: [["one", "two"]] * len(videos))
        patch.setitem(go.__globals__, "Settings", Twice)
        go(videos, out, Pipeline())
    assert (out / "a.take2.piano.wav").is_file()
    (out / "a.html").write_text('<meta name="generator" content="diffbgm">')
    go(videos, out, Pipeline(), overwrite=True)
    assert sorted(contents(out)) == sorted(f"a.{ending}" for ending in [*ENDINGS, "piano.wav"])
    (out / "a.html").write_text("the user's")
    go(videos, out, Pipeline(), overwrite=True)
    assert (out / "a.html").read_text() == "the user's"


@pytest.mark.parametrize("own", ["a.json", "index.html", "summary.json"])
@pytest.mark.parametrize("what", ["a pipe", "endless zeros"])
def test_what_never_ends_is_not_read_where_a_result_belongs(
    tmp_path: Path, quick: list[str], own: str, what: str
) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4"), tmp_path / "out"
    out.mkdir()
    if what == "a pipe":
        os.mkfifo(out / own)
    else:
        (out / own).symlink_to("/dev/zero")
    if own == "a.json":
        assert "a.json is not ours" in go(videos, out, Pipeline()).failed[0]["error"]
    else:
        with pytest.raises(InputError, match=f"{own} is not ours"):
            go(videos, out, Pipeline())
    assert quick == []


@pytest.mark.parametrize("own", ["index.html", "summary.json"])
def test_the_run_s_own_files_are_not_the_user_s(tmp_path: Path, quick: list[str], own: str) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4"), folder(tmp_path / "out", own)
    with pytest.raises(InputError, match=f"{own} is not ours"):
        go(videos, out, Pipeline(), overwrite=True)
    assert contents(out) == {own: own.encode()}


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_a_source_is_never_replaced_however_it_is_reached(
    tmp_path: Path, quick: list[str], link: Callable[[Path, Path], None]
) -> None:
    originals = folder(tmp_path / "V", "clip.mp4")
    (tmp_path / "p").mkdir()
    link(originals / "clip.mp4", tmp_path / "p" / "clip.mp4")
    job = go(tmp_path / "p", originals, Pipeline(), overwrite=True)
    assert "is the same file as" in job.failed[0]["error"]
    assert contents(originals) == {"clip.mp4": b"clip.mp4"}
    into_itself = go(originals, originals, Pipeline(), overwrite=True)
    assert len(into_itself.failed) == 1
    assert contents(originals) == {"clip.mp4": b"clip.mp4"}


def test_trees_lists_and_globs(tmp_path: Path, quick: list[str]) -> None:
    videos = folder(
        tmp_path / "v", "a.mp4", "one/a.mp4", "one/two/a.mov", "one/two/a.mp4", ".hidden/x.mp4", "one/n.txt"
    )
    out = videos / "music"
    assert go(videos, out, Pipeline()).done == ["a", "one/a", "one/two/a.mov", "one/two/a.mp4"]
    assert (out / "one" / "two" / "a.mov.json").is_file()
    assert go(videos, out, Pipeline()).done == quick, "what lies in out is no source"
    globbed = find_sources(f"{videos}/one/**/*.mp4")
    assert [source.name for source in globbed] == ["a", "two/a"]
    (tmp_path / "list.txt").write_text(f"# mine\nv/one/a.mp4\n{videos / 'a.mp4'}\nv/gone.mp4\n\n")
    assert [source.name for source in find_sources(tmp_path / "list.txt")] == ["a", "gone", "one/a"]
    assert [s.name for s in find_sources([str(videos / "one/a.mp4"), str(videos / "a.mp4")])] == ["a", "one/a"]
    for nothing in (f"{videos}/*.nothing", tmp_path / "nowhere"):
        with pytest.raises(InputError):
            find_sources(nothing)
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="a pipe or a device"):
        find_sources(tmp_path / "pipe.mp4")
    (tmp_path / "pipes.txt").write_text("pipe.mp4\n")  # reported when its turn comes, without waiting for a writer
    assert "pipe.mp4 is not a file" in go(tmp_path / "pipes.txt", out, Pipeline()).failed[0]["error"]


def test_names_of_any_bytes_and_lengths(tmp_path: Path, quick: list[str]) -> None:
    videos, out = tmp_path / "v", tmp_path / "out"
    videos.mkdir()
    for name in (
        b"\xff\xfe.mp4",
        b"x" * 250 + b".mp4",
        "ä".encode() * 125 + b".mp4",
        b"a'b $(c).mp4",
        b"-.mp4",
        b" .mp4",
    ):
        with open(os.path.join(os.fsencode(videos), name), "wb") as file:
            file.write(name)
    job = go(videos, out, Pipeline())
    assert len(job.done) == 6
    assert not job.failed
    summary = write_summary(out, [], job.done, 0.0)
    assert len(summary["ok"]) == 6
    assert json.loads((out / "summary.json").read_bytes())["ok"] == summary["ok"]
    assert go(videos, out, Pipeline()).done == job.done
    assert len(quick) == 6


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


def test_failures_of_other_shards_stay_until_they_succeed(tmp_path: Path, quick: list[str]) -> None:
    videos, out = folder(tmp_path / "v", "a.mp4", "b.mp4"), tmp_path / "out"
    go(videos, out, Pipeline({"b": InputError("bad")}))
    failed = [{"video": "b.mp4", "error": "bad", "name": "b"}]
    assert write_summary(out, failed, ["a", "b"], 1.0)["failed"] == failed
    other = [{"video": "c.mp4", "error": "worse", "name": "c"}]
    assert write_summary(out, other, ["c"], 1.0)["failed"] == failed + other
    go(videos, out, Pipeline())
    assert write_summary(out, [], ["b"], 1.0) == {"ok": ["a", "b"], "failed": other, "seconds": 1.0}
    (out / "foreign.json").write_text('{"name": "foreign"}')
    (out / "odd.json").write_text("[" * 5000)
    assert [report["name"] for report in reports_in(out)] == ["a", "b"]


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


@pytest.mark.parametrize(
    "setting",
    "shards=0 shards=2 shard=1 batch=0 batch=many overwrite=maybe page=none seed=-1 seed=1180591620717411303424 "
    "compose.rows=1000000000 compose.guidance=abc variations=0 device=[] videos=[] precision=fp8 lufs=nan".split(),
)
def test_settings_of_a_run_are_checked_before_any_work(tmp_path: Path, capsys: Any, setting: str) -> None:
    videos = folder(tmp_path / "v", "a.mp4")
    given = {"videos": str(videos), "out": str(tmp_path / "out")}
    key, _, value = setting.partition("=")
    given[key] = value
    assert run(sample.sample, "sample", [f"{name}={text}" for name, text in given.items()]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert key.partition(".")[2] in error or key in error
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_differences_are_named() -> None:
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 2}, "d": 3}) == [
        "a.b: 1 -> 2",
        "c: 2 -> None",
        "d: None -> 3",
    ]
    assert record.glob_escape("a[1]*?") == "a[[]1][*][?]"
