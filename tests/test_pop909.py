"""POP909 read from small trees written here, and, where POP909_DIR points to the real one, its first song."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from diffbgm.app.cli import run
from diffbgm.app.prepare import prepare_data
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pop909 import Pop909, chord_row, read_beats
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.song import Song, segment_starts
from diffbgm.errors import InputError
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

TEMPO = 100.0  # 0.6 s a beat


def notes_of(rows: list[tuple[int, int, int]]) -> Notes:
    """Notes from (onset, pitch, duration)."""
    onset, pitch, duration = np.array(rows, np.int64).T
    return Notes(onset, pitch, duration, np.full(len(rows), 80), np.zeros(len(rows), np.int64))


def write_song(root: Path, name: str, bars: int = 12, beats_per_bar: int = 4, late: int = 0) -> Path:
    """A song folder with a chord on every bar and a note on every beat; `late` beats come before the first bar line."""
    folder = root / name
    folder.mkdir(parents=True)
    beats = late + bars * beats_per_bar
    rows = [(4 * beat, 60 + beat % 5, 2) for beat in range(beats)]
    rows += [(4 * beat, 36, 4 * beats_per_bar) for beat in range(late, beats, beats_per_bar)]
    write_midi(notes_of(rows), folder / f"{name}.mid", TEMPO)
    position = np.arange(beats) - late
    simple, double = (position % (beats_per_bar // 2 or 1) == 0, position % beats_per_bar == 0)
    if beats_per_bar == 3:
        simple, double = position % 3 == 0, position % 6 == 0
    flags = zip(np.arange(beats) * 60 / TEMPO, simple, double, strict=True)
    (folder / "beat_midi.txt").write_text("".join(f"{t} {float(a)} {float(b)}\n" for t, a, b in flags))
    seconds = beats * 60 / TEMPO
    (folder / "chord_midi.txt").write_text(f"0.0\t{seconds / 2}\tGb:maj7/5\n{seconds / 2}\t{seconds}\tN\n")
    (folder / "key_audio.txt").write_text(f"0.0\t{seconds}\tEb:min\n")
    return folder


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "POP909"
    for name in ("001", "002", "003", "004"):
        write_song(root, name, bars=12 + int(name))
    return root


def test_a_song_lies_on_the_grid_of_its_beat_file(tree: Path) -> None:
    song = Pop909(tree, "seeded").read("001")
    assert song.beats == 13 * 4
    on_beats = song.notes.select(song.notes.pitch >= 60)
    np.testing.assert_array_equal(on_beats.onset, np.arange(52) * 4)
    np.testing.assert_array_equal(on_beats.duration, 2)
    np.testing.assert_array_equal(song.downbeats, np.arange(0, 52, 4))
    np.testing.assert_array_equal(song.starts, np.arange(0, 24, 4))  # the last begins 8 bars before the end
    assert song.chords is not None
    np.testing.assert_array_equal(np.flatnonzero(song.chords[0]), [1, 5, 6, 10])  # Gb major seventh
    assert not song.chords[30:].any()
    assert song.mode is not None
    np.testing.assert_array_equal(song.mode, -1)


def test_uneven_beats_stretch_the_grid(tmp_path: Path) -> None:
    folder = write_song(tmp_path, "001", bars=9)
    times = np.arange(36) * 0.6
    times[18:] += (np.arange(18) + 1) * 0.6  # the second half at half the pace
    rows = [(f"{t} {float(k % 2 == 0)} {float(k % 4 == 0)}\n") for k, t in enumerate(times)]
    (folder / "beat_midi.txt").write_text("".join(rows))
    song = Pop909(tmp_path, "seeded").read("001")
    late = np.sort(song.notes.onset[(song.notes.pitch >= 60) & (song.notes.onset >= 72)])
    np.testing.assert_array_equal(np.diff(late), 2)  # a beat of the file is now half a beat


@pytest.mark.parametrize(
    ("name", "classes"),
    [
        ("C:maj", [0, 4, 7]),
        ("F#:min7/b3", [1, 4, 6, 9]),
        ("Cb:maj", [3, 6, 11]),
        ("Bb:sus4(b7)", [3, 5, 8, 10]),
        ("N", []),
    ],
)
def test_chord_labels(name: str, classes: list[int]) -> None:
    np.testing.assert_array_equal(np.flatnonzero(chord_row(name)[1:13]), classes)


def test_chord_rows_hold_root_and_bass() -> None:
    assert chord_row("Gb:maj7/5").tolist() == [6, 0, 1, 0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 1]
    assert chord_row("D:min").tolist()[::13] == [2, 2]
    assert not chord_row("N").any()


def test_segments_start_where_eight_full_bars_follow() -> None:
    regular = np.arange(0, 40, 4)
    np.testing.assert_array_equal(segment_starts(regular, 40), [0, 4, 8])
    np.testing.assert_array_equal(segment_starts(regular, 39), [0, 4])  # the last bar is short of a beat
    broken = np.concatenate([np.arange(0, 20, 4), np.arange(18, 60, 4)])  # a bar of two beats after the fourth
    np.testing.assert_array_equal(segment_starts(broken, 60), [18, 22, 26])
    assert len(segment_starts(np.zeros(0, np.int64), 40)) == 0
    assert len(segment_starts(np.array([0]), 4)) == 0


def test_bad_songs_are_skipped_with_their_reasons(tree: Path, tmp_path: Path) -> None:
    write_song(tree, "034", bars=20, beats_per_bar=3)
    write_song(tree, "035", bars=1)
    (write_song(tree, "036") / "036.mid").write_bytes(b"this is no MIDI file")
    (write_song(tree, "037") / "beat_midi.txt").unlink()
    (write_song(tree, "038") / "beat_midi.txt").write_text("0.0 1.0\n0.5 x y\n")
    (write_song(tree, "039") / "chord_midi.txt").write_text("")
    write_song(tree, "092")  # in triplets, by POP909's index
    cache = Cache.open(prepare(Pop909(tree, "seeded"), tmp_path / "cache", workers=1))
    expected = {
        "034": "in triple metre",
        "035": "no downbeat followed by eight full bars",
        "036": "cannot be read as a MIDI file",
        "037": "beat_midi.txt is missing",
        "038": "not a list of ascending beat times",
        "039": "chord_midi.txt is empty",
        "092": "three quavers to a beat",
    }
    assert set(cache.skipped) == set(expected)
    for song, reason in expected.items():
        assert reason in cache.skipped[song]
    report = (cache.path / "skipped.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in report] == sorted(expected)
    assert cache.songs == ["001", "002", "003", "004"]


def test_missing_root_half_an_archive_and_nothing_usable(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no POP909 songs"):
        Pop909(tmp_path / "nowhere").songs()
    with pytest.raises(InputError, match="names songs that are not in .*882 of 886.*unpack the whole archive"):
        Pop909(tree).songs()  # the published split names songs 005 to 909
    lists = tmp_path / "split"
    lists.mkdir()
    (lists / "train.txt").write_text("001\n007  # a stranger\n")
    (lists / "val.txt").write_text("002\n")
    with pytest.raises(InputError, match=r"names songs that are not in .* \(1 of 3: 007\)"):
        Pop909(tree, str(lists)).songs()
    with pytest.raises(InputError, match="cannot read the split list"):
        Pop909(tree, str(tmp_path / "no such split")).songs()
    only = tmp_path / "short"
    write_song(only, "001", bars=2)
    with pytest.raises(InputError, match="no song of pop909 can be used for training .*eight full bars"):
        prepare(Pop909(only, "seeded"), tmp_path / "cache", workers=1)
    assert not (tmp_path / "cache").exists()


def test_a_split_of_lists_is_followed(tree: Path, tmp_path: Path) -> None:
    lists = tmp_path / "split"
    lists.mkdir()
    (lists / "train.txt").write_text("# training\n001\n003\n")
    (lists / "val.txt").write_text("002\n")
    (lists / "excluded.txt").write_text("004  # out of tune\n")
    cache = Cache.open(prepare(Pop909(tree, str(lists)), tmp_path / "cache", workers=1))
    assert cache.manifest["splits"] == {"train": ["001", "003"], "val": ["002"]}
    assert cache.skipped == {"004": "out of tune"}
    songs = [cache.songs[k] for k in np.unique(cache.arrays["segment_song"][cache.segments("val")])]
    assert songs == ["002"]
    (lists / "val.txt").write_text("001\n")
    with pytest.raises(InputError, match="in both"):
        Pop909(tree, str(lists)).songs()


def test_the_cache_is_made_once_and_again_for_changed_files(tree: Path, tmp_path: Path) -> None:
    class Counted(Pop909):
        reads = 0

        def read(self, song: str) -> Song:
            Counted.reads += 1
            return super().read(song)

    first = prepare(Counted(tree, "seeded"), tmp_path / "cache", workers=1)
    assert Counted.reads == 4
    assert prepare(Counted(tree, "seeded"), tmp_path / "cache", workers=1) == first
    assert Counted.reads == 4
    with open(tree / "001" / "key_audio.txt", "a") as file:
        file.write("31.0\t32.0\tC:maj\n")
    assert prepare(Counted(tree, "seeded"), tmp_path / "cache", workers=1) != first
    assert prepare(Counted(tree, "seeded", split_seed=1), tmp_path / "cache", workers=1) != first
    assert not [path for path in (tmp_path / "cache").iterdir() if path.name.startswith(".")]
    assert json.loads((first / "manifest.json").read_text())["hash"].startswith(first.name.removeprefix("pop909-"))


def test_several_processes_give_the_same_cache(tmp_path: Path) -> None:
    root = tmp_path / "POP909"
    for k in range(1, 25):
        write_song(root, f"{k:03d}", bars=8 + k % 5)
    one = Cache.open(prepare(Pop909(root, "seeded"), tmp_path / "one", workers=1))
    two = Cache.open(prepare(Pop909(root, "seeded"), tmp_path / "two", workers=2))
    assert one.manifest == two.manifest
    for name, array in one.arrays.items():
        np.testing.assert_array_equal(array, two.arrays[name])


def test_shards_read_songs_and_the_last_one_makes_the_same_cache(tmp_path: Path, monkeypatch, capsys) -> None:
    for k in range(9):
        write_song(tmp_path / "POP909", f"{k:03}", bars=10 + k)
    write_song(tmp_path / "POP909", "020", bars=4)  # too short: a reason is kept for it
    given = [f"data.root={tmp_path}/POP909", "data.split=seeded", "data.workers=1"]
    assert run(prepare_data, "prepare", [*given, f"data.cache={tmp_path}/whole"]) == 0
    assert capsys.readouterr().out.count("9 songs") == 1
    read, inner = [], Pop909.read
    monkeypatch.setattr(Pop909, "read", lambda self, song: read.append(song) or inner(self, song))
    cache = f"data.cache={tmp_path}/parts"
    for shard in (0, 2, 0):
        assert run(prepare_data, "prepare", [*given, cache, "shards=3", f"shard={shard}"]) == 0
        assert "the last shard makes the cache" in capsys.readouterr().out
    (kept,) = (tmp_path / "parts").iterdir()
    damaged = next(kept.rglob("*.npz"))
    damaged.write_bytes(damaged.read_bytes()[:99])
    assert run(prepare_data, "prepare", [*given, cache, "shards=3", "shard=1"]) == 0
    assert capsys.readouterr().out.count("9 songs") == 1
    assert len(read) == 11  # each once, and the damaged one again
    (one,), (other,) = ((tmp_path / name).iterdir() for name in ("whole", "parts"))
    assert one.name == other.name
    assert {path.name: path.read_bytes() for path in one.iterdir()} == {
        path.name: path.read_bytes() for path in other.iterdir()
    }


@pytest.mark.skipif(not os.environ.get("POP909_DIR"), reason="POP909_DIR does not point to the real data")
def test_the_real_first_song() -> None:
    source = Pop909(os.environ["POP909_DIR"])
    assert len(source.songs()) == 909
    song = source.read("001")
    assert (len(song.notes), song.beats, len(song.starts)) == (1556, 292, 66)
    assert set(song.downbeats % 4) == {0}
    with pytest.raises(InputError, match="in triple metre"):
        source.read("034")
    times, _ = read_beats(Path(source.songs()["001"][1]))
    np.testing.assert_allclose(np.diff(times), 2 / 3, atol=1e-5)  # 90 beats a minute
