"""Small files that expand to a lot of data, and silent damage."""

import csv
import io
import os
from pathlib import Path

import mido
import numpy as np
import pytest
import torch

from diffbgm.datasets import cache as data_cache
from diffbgm.datasets.cache import ARRAYS, Cache
from diffbgm.errors import InputError
from diffbgm.evaluation import measure
from diffbgm.evaluation.measure import measure_song
from diffbgm.evaluation.report import _write_csv
from diffbgm.evaluation.songs import SongFile
from diffbgm.music.midi import read_midi
from diffbgm.training import state as states
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
