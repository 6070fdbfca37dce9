"""A user's folder of MIDI files: nested, and with unusable files among them."""

from pathlib import Path

import mido
import numpy as np
import pytest

from diffbgm.datasets.cache import Cache
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.midi_folder import MidiFolder
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.errors import InputError
from diffbgm.music.midi import write_midi
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD

SONGS = GeneratedSongs(count=4, bars=12)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four good songs, two of them in a sub-folder."""
    root = tmp_path / "my midi"
    for name, file in zip(SONGS.songs(), ("a.mid", "b c.MIDI", "deeper/a.mid", "deeper/ü.mid"), strict=True):
        write_midi(SONGS.read(name).notes, root / file, tempo=97)
    return root


def in_meter(path: Path, numerator: int, denominator: int, bars: int) -> None:
    """A file with a time signature and a note on every bar line."""
    midi = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack()
    midi.tracks.append(track)
    track.append(mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=0))
    for _ in range(bars):
        track.append(mido.Message("note_on", note=60, velocity=80, time=0))
        track.append(mido.Message("note_off", note=60, velocity=0, time=480 * 4 * numerator // denominator))
    midi.save(path)


def test_files_are_found_and_lie_on_their_own_grid(folder: Path) -> None:
    source = MidiFolder(folder)
    assert list(source.songs()) == ["a.mid", "b c.MIDI", "deeper/a.mid", "deeper/ü.mid"]
    song, original = source.read("deeper/a.mid"), SONGS.read("0002")
    np.testing.assert_array_equal(song.notes.onset, original.notes.onset)
    np.testing.assert_array_equal(song.notes.pitch, original.notes.pitch)
    np.testing.assert_array_equal(song.starts, original.starts)


def test_other_meters_follow_the_time_signature(folder: Path) -> None:
    in_meter(folder / "four.mid", 4, 4, 10)
    in_meter(folder / "half.mid", 2, 2, 10)
    in_meter(folder / "waltz.mid", 3, 4, 20)
    in_meter(folder / "jig.mid", 6, 8, 20)
    source = MidiFolder(folder)
    for name in ("four.mid", "half.mid"):
        np.testing.assert_array_equal(source.read(name).starts, [0, 4, 8])
    for name in ("waltz.mid", "jig.mid"):
        with pytest.raises(InputError, match="bars of 3 beats; training needs eight consecutive bars of 4/4"):
            source.read(name)


def test_useless_files_are_skipped_with_reasons(folder: Path, tmp_path: Path) -> None:
    in_meter(folder / "waltz.mid", 3, 4, 20)
    in_meter(folder / "one bar.mid", 4, 4, 1)
    (folder / "text.mid").write_text("not music")
    (folder / "empty.mid").touch()
    whole = (folder / "a.mid").read_bytes()
    (folder / "deeper" / "cut.mid").write_bytes(whole[: len(whole) // 2])
    cache = Cache.open(prepare(MidiFolder(folder), tmp_path / "cache", workers=1))
    assert set(cache.skipped) == {"waltz.mid", "one bar.mid", "text.mid", "empty.mid", "deeper/cut.mid"}
    assert "eight full bars" in cache.skipped["one bar.mid"]
    assert "cannot be read as a MIDI file" in cache.skipped["text.mid"]
    assert "cannot be read as a MIDI file" in cache.skipped["deeper/cut.mid"]
    assert len(cache.songs) == 4
    assert {len(part) for part in cache.manifest["splits"].values()} == {1, 3}
    batch = SegmentLoader(cache, "train", 4).batch(0, 0)
    assert set(batch.songs) <= set(cache.songs)


def test_the_log_says_where_the_highest_line_becomes_the_lead(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="diffbgm.datasets.midi_folder")
    song = MidiFolder(folder).read("a.mid")
    assert set(song.notes.track) <= {LEAD, ACCOMPANIMENT}
    said = [record.getMessage() for record in caplog.records]
    assert said == [f"{folder / 'a.mid'} has no track named as the melody: the highest line becomes the lead"]
    caplog.clear()
    notes = song.notes
    parts = {name: notes.select(notes.track == part) for part, name in enumerate(("MELODY", "PIANO"))}
    tracks = [Track(name, 0, own, np.zeros(len(own))) for name, own in parts.items()]
    (folder / "named.mid").write_bytes(midi_bytes(tracks, 120))
    np.testing.assert_array_equal(MidiFolder(folder).read("named.mid").notes.track, notes.track)
    assert not caplog.records


def test_folders_without_music(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no folder"):
        MidiFolder(tmp_path / "nowhere").songs()
    (tmp_path / "notes.txt").write_text("no music here")
    with pytest.raises(InputError, match=r"has no \.mid files"):
        MidiFolder(tmp_path).songs()
    in_meter(tmp_path / "short.mid", 4, 4, 2)
    with pytest.raises(InputError, match="no song of midi_folder can be used for training .*eight full bars"):
        prepare(MidiFolder(tmp_path), tmp_path / "cache", workers=1)


def test_two_bars_of_2_4_are_read_as_one_of_4_4(tmp_path: Path) -> None:
    in_meter(tmp_path / "march.mid", 2, 4, bars=24)
    song = MidiFolder(tmp_path).read("march.mid")
    np.testing.assert_array_equal(np.diff(song.downbeats), 4)
    assert song.starts[0] == 0
    assert len(song.starts) >= 4
