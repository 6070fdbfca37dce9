"""A run over a folder repeats no finished work and changes no file of the user."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from folder_run import Pipeline, Settings, contents, folder, go, quick

from diffbgm.app import record, results
from diffbgm.app.record import ENDINGS, claimed, differences, read_report, reports_in, write_summary
from diffbgm.errors import InputError
from diffbgm.video.folder import find_sources

__all__ = ["quick"]  # a fixture


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
        ({"files": ["original.m4a", "other.m4a"]}, ["original.m4a"]),
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


def test_differences_are_named() -> None:
    assert differences({"a": {"b": 1}, "c": 2}, {"a": {"b": 2}, "d": 3}) == [
        "a.b: 1 -> 2",
        "c: 2 -> None",
        "d: None -> 3",
    ]
    assert record.glob_escape("a[1]*?") == "a[[]1][*][?]"
