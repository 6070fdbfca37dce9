"""Files are complete or absent."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from diffbgm import files
from diffbgm.errors import InputError
from diffbgm.files import (
    alive,
    atomic,
    json_bytes,
    mark,
    not_foreign,
    sha256,
    staged,
    sweep,
    writable_folder,
    write_json,
)


def test_a_file_appears_whole_and_in_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "new folder" / "a b.txt"
    for content in ("one", "two"):
        with atomic(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(content)
        assert path.read_text() == content
    assert [item.name for item in path.parent.iterdir()] == ["a b.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_files_are_as_readable_as_any_other_whatever_the_writer_does(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "private") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    for attempt in (lambda: writable_folder(tmp_path / "file"), lambda: atomic(tmp_path / "file" / "a").__enter__()):
        with pytest.raises(InputError, match="cannot write .*file.*; choose a folder that can be written"):
            attempt()


def test_staged_files_come_together_or_not_at_all(tmp_path):
    with staged(tmp_path, "a.b") as staging:
        (staging / "mid").write_text("1")
        (staging / "states.npz").write_text("2")
        assert not (tmp_path / "a.b.mid").exists()
    assert {item.name for item in tmp_path.iterdir()} == {"a.b.mid", "a.b.states.npz"}
    with pytest.raises(ZeroDivisionError), staged(tmp_path, "c") as staging:
        (staging / "mid").write_text("1")
        _ = 1 / 0
    assert {item.name for item in tmp_path.iterdir()} == {"a.b.mid", "a.b.states.npz"}


def test_a_set_replaces_its_own_old_files_and_no_others(tmp_path):
    for name in ("a.mid", "a.flute.wav", "a.piano.wav"):
        (tmp_path / name).write_text("old")
    with pytest.raises(InputError, match=r"a\.flute\.wav is not ours"), staged(tmp_path, "a", ["mid"]) as staging:
        (staging / "mid").write_text("new")
        (staging / "flute.wav").write_text("new")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    with staged(tmp_path, "a", ["mid", "flute.wav"]) as staging:
        (staging / "mid").write_text("new")
        assert staging.endings() == ["mid"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.mid": "new", "a.piano.wav": "old"}


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("content", ["mine", "", b"\xff\xfe", None])
def test_a_file_that_we_did_not_write_is_told(tmp_path, content):
    path = tmp_path / "a.jsonl"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    if content is None:
        not_foreign(path, lambda text: False)
        path.symlink_to("nowhere")
    with pytest.raises(InputError, match="a.jsonl is not ours, and would be replaced"):
        not_foreign(path, lambda text: text.startswith("{"))


def test_a_file_that_we_wrote_may_be_replaced(tmp_path):
    (tmp_path / "a").write_text("{}" * 10**5)
    not_foreign(tmp_path / "a", lambda text: text.startswith("{}"))


def dead() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_what_killed_processes_left_is_swept(tmp_path: Path) -> None:
    gone = mark().replace(f"-{os.getpid()}-", f"-{dead()}-")
    elsewhere = "000000" + gone[6:]
    old = "111111" + gone[6:]
    for left in (gone, mark(), elsewhere, old):
        (tmp_path / f".making.{left}").mkdir()
        (tmp_path / f".making.{left}" / "staged.wav").write_text("x")
        (tmp_path / f".log.{left}.jsonl").write_text("x")
    for path in (tmp_path / f".making.{old}", tmp_path / f".log.{old}.jsonl"):
        os.utime(path, (0, 0))
    (tmp_path / ".mine").write_text("the user's")
    (tmp_path / ".making.12").mkdir()
    writable_folder(tmp_path)
    kept = {".mine", ".making.12"} | {f".making.{m}" for m in (mark(), elsewhere)} | {f".log.{elsewhere}.jsonl"}
    found = {path.name for path in tmp_path.iterdir()}
    assert not [name for name in found if gone in name and not name.startswith((".making.000000", ".log.000000"))]
    assert not [name for name in found if old in name]
    assert {name for name in kept if str(os.getpid()) not in name} <= found
    assert len([name for name in found if f"-{os.getpid()}-" in name]) == 2
    assert alive(os.getpid())


OLD, NEW = {"json": "old json", "mid": "old mid", "wav": "old wav"}, {"json": "new", "mid": "new", "png": "new"}


def fill(out: Path, content: dict[str, str]) -> None:
    for ending, text in content.items():
        (out / f"a.{ending}").write_text(text)


def shown(out: Path) -> dict[str, str]:
    return {path.name.removeprefix("a."): path.read_text() for path in out.iterdir()}


@pytest.mark.parametrize("moves", range(7))
@pytest.mark.parametrize("there", [OLD, {}], ids=["over", "new"])
def test_a_move_that_fails_leaves_the_folder_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, there: dict[str, str]
) -> None:
    fill(tmp_path, there)
    real, count = os.replace, 0

    def replace(source: Any, target: Any) -> None:
        nonlocal count
        count += 1
        if count == moves + 1:
            raise OSError(28, "No space left on device")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    total = len(NEW) + len(there)
    if moves >= total:
        with staged(tmp_path, "a", there) as staging:
            for ending, text in NEW.items():
                (staging / ending).write_text(text)
        assert shown(tmp_path) == NEW
        return
    with (
        pytest.raises(InputError, match="No space left on device; choose a folder"),
        staged(tmp_path, "a", there) as staging,
    ):
        for ending, text in NEW.items():
            (staging / ending).write_text(text)
    assert shown(tmp_path) == there


@pytest.mark.parametrize("moves", range(7))
@pytest.mark.parametrize("there", [OLD, {}], ids=["over", "new"])
def test_a_move_that_is_killed_is_undone_by_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moves: int, there: dict[str, str]
) -> None:
    """Killed between two moves: neither the roll-back nor the tidying up takes place."""
    fill(tmp_path, there)
    gone = mark().replace(f"-{os.getpid()}-", f"-{dead()}-")
    real, count = os.replace, 0

    class Killed(BaseException):
        pass

    def replace(source: Any, target: Any) -> None:
        nonlocal count
        if count >= moves:
            raise Killed
        count += 1
        real(source, target)

    monkeypatch.setattr(files, "mark", lambda: gone)
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", replace)
        patch.setattr(files, "_move_back", lambda *_: None)
        patch.setattr(files.shutil, "rmtree", lambda *_, **__: None)
        total = len(NEW) + len(there)
        try:
            with staged(tmp_path, "a", there) as staging:
                for ending, text in NEW.items():
                    (staging / ending).write_text(text)
        except Killed:
            assert moves < total
    sweep(tmp_path)
    assert shown(tmp_path) == (there if moves < total else NEW)


ERRORS = [(28, "No space left on device"), (122, "Disk quota exceeded"), (13, "Permission denied")]
ERRORS += [(30, "Read-only file system"), (5, "Input/output error"), (36, "File name too long"), (27, "File too large")]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: error[1])
@pytest.mark.parametrize("call", ["touch", "write_bytes", "chmod", "mkdir", "replace", "inside"])
def test_whatever_the_system_says_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, error: tuple[int, str]
) -> None:
    (tmp_path / "a.json").write_text("old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(*error)

    if call == "replace":
        monkeypatch.setattr(os, "replace", fail)
    elif call != "inside":
        monkeypatch.setattr(Path, call, fail)
    with pytest.raises(InputError, match=f"{error[1]}; choose a folder") as caught:
        if call == "inside":
            with atomic(tmp_path / "a.json"):
                fail()
        else:
            write_json(tmp_path / "a.json", {"new": 1})
    monkeypatch.undo()
    assert "\n" not in str(caught.value)
    assert (tmp_path / "a.json").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_json_of_any_name() -> None:
    assert json_bytes({"ä": 1}).decode() == '{\n "ä": 1\n}'
    assert json.loads(json_bytes({"\udcff": "ä"})) == {"\udcff": "ä"}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.parametrize("size", ["16k", "64k", "200k"])
def test_a_disk_that_is_really_full(tmp_path: Path, size: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], capture_output=True
    ).returncode:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(InputError, match="No space left on device"), staged(disk, "a") as staging:
            (staging / "mid").write_bytes(b"x" * 1000)
            (staging / "wav").write_bytes(b"x" * 300_000)
        with pytest.raises(InputError, match="No space left on device"), atomic(disk / "a") as temporary:
            temporary.write_bytes(b"x" * 300_000)
        assert list(disk.iterdir()) == []
    finally:
        subprocess.run(["umount", "--lazy", str(disk)], check=True)
