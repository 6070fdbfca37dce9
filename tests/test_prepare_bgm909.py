"""The released layout built from videos and POP909: what is written is what the loader reads."""

import json
from pathlib import Path

import numpy as np
import pytest
from bgm909_tree import write_song as write_released
from make_video import flat, write_video
from omegaconf import OmegaConf
from test_pop909 import write_song as write_pop909

from diffbgm.app.prepare_bgm909 import prepare_bgm909
from diffbgm.datasets.bgm909 import Bgm909, files_of
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.pop909 import Pop909
from diffbgm.datasets.release_layout import write_features, write_song
from diffbgm.music.notes import Notes
from diffbgm.video.features import VideoFeatures


def features(seconds: float = 10.0, rate: float = 2.0) -> VideoFeatures:
    """Two shots: sample k is a vector of k, the shots' captions are vectors of 1 and 2."""
    count = int(seconds * rate)
    return VideoFeatures(
        visual=np.repeat(np.arange(count, dtype=np.float32)[:, None], 512, axis=1),
        rate=rate,
        columns=(),
        language=np.repeat(np.array([[1.0], [2.0]], np.float32), 768, axis=1),
        shots=np.array([[0.0, 4.0], [4.0, seconds]]),
        captions=("one", "two"),
        duration=seconds,
        extractor="fixed",
    )


def rows(notes: Notes) -> list[tuple[int, ...]]:
    return sorted(zip(*(column.tolist() for column in vars(notes).values()), strict=True))


class FixedExtractor:
    """Gives the same features for every video."""

    id = "fixed"
    calls = 0

    def to(self, device: object) -> "FixedExtractor":
        return self

    def prepare(self) -> None:
        pass

    def extract(self, path: Path) -> VideoFeatures:
        FixedExtractor.calls += 1
        return features()


def test_a_song_comes_back_as_it_was_written(tmp_path: Path) -> None:
    song = GeneratedSongs(count=1, bars=10).read("0000")
    write_song(tmp_path, song, np.zeros((song.beats, 14), np.int64))
    write_features(tmp_path, song.id, features(), fps=25.0)
    back = Bgm909(tmp_path, "seeded").read(song.id)
    assert rows(back.notes) == rows(song.notes)
    np.testing.assert_array_equal(back.downbeats, song.downbeats)
    np.testing.assert_array_equal(back.starts, song.starts)
    assert back.video is not None
    beat = np.arange(40)
    np.testing.assert_array_equal(back.video.visual[back.video.visual_row][:, 0], beat * 20 // 40)
    np.testing.assert_array_equal(back.video.language[back.video.language_row][:, 0], np.where(beat < 16, 1, 2))
    np.testing.assert_array_equal(np.flatnonzero(back.video.cut), [16])


def test_the_rows_of_the_start_table_find_the_notes(tmp_path: Path) -> None:
    song = GeneratedSongs(count=1, bars=10).read("0000")
    arrays = np.load(write_song(tmp_path, song, np.zeros((song.beats, 14))), allow_pickle=True)
    for track, table in zip(arrays["notes"], arrays["start_table"], strict=True):
        for downbeat, row in table.items():
            assert all(note[0] < downbeat for note in track[:row])
            assert all(note[0] >= downbeat for note in track[row:])


def test_the_script_fills_a_folder_and_goes_on_where_it_was(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    for name in ("001", "002", "034", "holiday"):
        write_video(videos / f"{name}.mp4", [flat(100)] * 5)
    write_pop909(tmp_path / "POP909", "001", bars=12)
    write_pop909(tmp_path / "POP909", "002", bars=9)
    write_pop909(tmp_path / "POP909", "034", bars=12, beats_per_bar=3)
    config = OmegaConf.create(
        {
            "videos": str(videos),
            "pop909": str(tmp_path / "POP909"),
            "out": str(tmp_path / "bgm"),
            "cache": str(tmp_path / "features"),
            "device": "cpu",
            "features": {"_target_": "test_prepare_bgm909.FixedExtractor"},
        }
    )
    assert prepare_bgm909(config) == 1
    assert "2 of 4 songs" in capsys.readouterr().out
    failed = [json.loads(line) for line in (tmp_path / "bgm" / "failed.jsonl").read_text().splitlines()]
    assert [line["song"] for line in failed] == ["034", "holiday"]
    assert "in triple metre" in failed[0]["error"]
    assert "named after no POP909 song" in failed[1]["error"]
    source = Bgm909(tmp_path / "bgm", "seeded")
    assert list(source.songs()) == ["001", "002"]
    song, original = source.read("001"), Pop909(tmp_path / "POP909", "seeded").read("001")
    np.testing.assert_array_equal(song.notes.pitch, original.notes.pitch)
    arrays = np.load(files_of(tmp_path / "bgm", "001")[0], allow_pickle=True)
    assert arrays["chord"][0].tolist() == [6, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 1]  # Gb:maj7/5

    before = {path: path.stat().st_mtime_ns for path in files_of(tmp_path / "bgm", "001")}
    prepare_bgm909(config)
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_the_tree_of_the_other_tests_has_the_written_form(tmp_path: Path) -> None:
    """Files of the same names, with arrays of the same names and kinds."""
    song = GeneratedSongs(count=1, bars=10).read("0000")
    write_song(tmp_path / "ours", song, np.zeros((song.beats, 14), np.int64))
    write_features(tmp_path / "ours", song.id, features(), fps=25.0)
    write_released(tmp_path / "theirs", "0000")
    ours, theirs = (files_of(tmp_path / who, "0000") for who in ("ours", "theirs"))
    assert all(path.is_file() for path in (*ours, *theirs))
    one, two = (np.load(files[0], allow_pickle=True) for files in (ours, theirs))
    assert set(one.files) == set(two.files)
    assert {name: (one[name].dtype, one[name].ndim) for name in one.files} == {
        name: (two[name].dtype, two[name].ndim) for name in two.files
    }
