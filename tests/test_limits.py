"""Small files that expand to a lot of data, silent damage, and two processes that write to one place."""

import csv
import fcntl
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import mido
import numpy as np
import pytest
import torch

from diffbgm import files
from diffbgm.datasets import cache as data_cache
from diffbgm.datasets.cache import ARRAYS, Cache
from diffbgm.errors import InputError
from diffbgm.evaluation import measure
from diffbgm.evaluation.measure import measure_song
from diffbgm.evaluation.report import _write_csv
from diffbgm.evaluation.songs import SongFile
from diffbgm.files import alive, atomic, json_bytes, mark, staged, sweep, writable_folder, write_json
from diffbgm.music.midi import read_midi
from diffbgm.training import state as states
from diffbgm.training.lock import only_one
from diffbgm.training.optimize import build_optimizer
from diffbgm.video import decode


def midi(path: Path, resolution: int, *messages: mido.messages.BaseMessage) -> Path:
    file = mido.MidiFile(ticks_per_beat=resolution)
    track = mido.MidiTrack(messages)
    file.tracks.append(track)
    file.save(path)
    return path


def note(wait: int = 0) -> list[mido.Message]:
    return [mido.Message("note_on", note=60, velocity=80, time=wait), mido.Message("note_off", note=60, time=1)]


@pytest.mark.parametrize(
    ("resolution", "messages", "said"),
    [
        (1, [*note(), *note(9_000_000)], "hours, more than 4; cut it in pieces"),
        (1, [mido.MetaMessage("set_tempo", tempo=60_000), *note(), *note(60_000)], "beats, more than 50000"),
        (480, [*note(), *note(200_000_000)], "cannot be read as a MIDI file"),
        (480, [*[mido.MetaMessage("time_signature", numerator=3, time=1)] * 5000, *note()], "5000 times, more than"),
        (
            480,
            [*[mido.MetaMessage("set_tempo", tempo=500_000 + k, time=1) for k in range(5000)], *note()],
            "times, more",
        ),
    ],
)
def test_midi_files_that_ask_for_too_much(
    tmp_path: Path, resolution: int, messages: list[mido.messages.BaseMessage], said: str
) -> None:
    with pytest.raises(InputError, match=said):
        read_midi(midi(tmp_path / "a.mid", resolution, *messages))


def test_large_midi_files_and_pipes(tmp_path: Path) -> None:
    with open(tmp_path / "a.mid", "wb") as file:
        file.truncate(5 << 20)
    with pytest.raises(InputError, match="more than the"):
        read_midi(tmp_path / "a.mid")
    os.mkfifo(tmp_path / "b.mid")
    with pytest.raises(InputError, match="no MIDI file"):
        read_midi(tmp_path / "b.mid")


def test_a_long_song_has_no_structure_and_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "fitness_of_midi", lambda *_: pytest.fail("it was computed"))
    row = measure_song(SongFile("a", midi(tmp_path / "a.mid", 4, *note(), *note(8000))), ["structure"])
    assert set(row.values.values()) == {None}
    assert set(row.reasons.values()) == {"longer than 15 minutes"}


def test_no_cell_is_a_formula(tmp_path: Path) -> None:
    _write_csv(
        [["song", "x"], ["=cmd|' /C calc'!A0", -1.5], ["+1", 2], ["@x", 3], ["-y", 4], ["\tz", 5]], tmp_path / "a.csv"
    )
    rows = list(csv.reader(io.StringIO((tmp_path / "a.csv").read_text())))
    assert [row[0] for row in rows] == ["song", "'=cmd|' /C calc'!A0", "'+1", "'@x", "'-y", "'\tz"]
    assert rows[1][1] == "-1.5", "numbers stay numbers"


@pytest.mark.parametrize("size", [(65535, 1), (16384, 2), (1, 65535), (20000, 20000)])
def test_pictures_that_would_take_all_memory(size: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=f"pictures of {size[0]} x {size[1]} pixels"):
        decode._check_size("a.mp4", *size)
    decode._check_size("a.mp4", 7680, 4320)
    decode._check_size("a.mp4", 16, 16)


class Picture:
    """The attributes of a decoded frame that `decoded` uses."""

    width, height, duration, time_base = 64, 48, None, None

    def __init__(self, time: float) -> None:
        self.time = time


@pytest.mark.parametrize("times", [[0.0, 360_000.0], [0.0, 0.1, 4000.0], [float(k * 1800) for k in range(30)]])
def test_times_that_jump_are_damage(times: list[float], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Opened:
        def __enter__(self) -> "Opened":
            return self

        def __exit__(self, *_: object) -> None:
            pass

    stream = type("Stream", (), {"average_rate": 25})
    monkeypatch.setattr(decode, "_open", lambda _: Opened())
    monkeypatch.setattr(decode, "_picture_stream", lambda *_: stream)
    monkeypatch.setattr(decode, "_pictures", lambda *_: iter(map(Picture, times)))
    with pytest.raises(InputError, match="its times are damaged"):
        list(decode.decoded(tmp_path / "a.mp4"))


def test_videos_that_are_no_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    for path, said in (
        (tmp_path / "pipe.mp4", "is not a file"),
        (tmp_path / "\udcff.mp4", "not UTF-8"),
        (tmp_path, "not a file"),
    ):
        with pytest.raises(InputError, match=said):
            decode.probe(path)


def flip(path: Path, at: float) -> None:
    content = bytearray(path.read_bytes())
    content[int(at * len(content))] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("at", [0.5, 0.75, 0.999])
def test_a_byte_of_a_training_state(tmp_path: Path, at: float) -> None:
    def state(seed: int) -> states.RunState:
        torch.manual_seed(seed)
        network, average = torch.nn.Linear(300, 9), torch.nn.Linear(300, 9)
        optimizer = build_optimizer(network, "adamw", 0.1, (0.9, 0.99), 0.01, ())
        network(torch.ones(1, 300)).sum().backward()
        optimizer.step()
        return states.RunState(network, average, optimizer)

    path = states.save_state(tmp_path, 3, state(0), {"model": 1}, best=0.5)
    assert states.load_state(path, state(1))["step"] == 3
    flip(path, at)
    with pytest.raises(InputError, match="is damaged: its content does not match its checksum; delete its folder"):
        states.load_state(path, state(1))


@pytest.mark.parametrize("name", ["onset", "visual", "segment_notes"])
def test_a_byte_of_the_data_cache(tmp_path: Path, name: str) -> None:
    arrays = {array: np.arange(2 * 50).reshape(50, 2) for array in ARRAYS}
    data_cache.write(tmp_path / "data", {"songs": [], "skipped": {}}, arrays)
    assert Cache.open(tmp_path / "data").songs == []
    flip(tmp_path / "data" / f"{name}.npy", 0.9)
    with pytest.raises(InputError, match="not a complete data cache"):
        Cache.open(tmp_path / "data")


def test_one_training_in_a_folder(tmp_path: Path) -> None:
    with only_one(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(InputError, match=f"process {os.getpid()} is training in"), only_one(tmp_path / "run"):
            pass
    with only_one(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / ".lock").write_text("1\n")  # of a process that was killed: the system has let go of it
    with only_one(tmp_path / "run"):
        pass


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_a_lock_file_that_its_holder_removes_while_another_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The holder ends between the open and the flock of another process, which then locks a deleted file."""
    path, flock = tmp_path / ".lock", fcntl.flock
    path.write_text("1\n")

    def ended_before(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        if again:
            path.write_text("2\n")
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", ended_before)
    with only_one(tmp_path):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(InputError, match="is training in"), only_one(tmp_path):
            pass
    assert not path.exists()


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
