"""MIDI files in and out."""

import contextlib
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import assert_same, notes_of, tables

from diffbgm.errors import InputError
from diffbgm.music.midi import read_midi, write_midi
from diffbgm.music.notes import Notes

SCALE = notes_of([(4 * i, 60 + i, 4, 70 + i, 0) for i in range(8)])


def save(path: Path, *tracks: list[mido.Message | mido.MetaMessage], resolution: int = 480) -> Path:
    """A MIDI file of events with times in ticks since the event before."""
    file = mido.MidiFile(ticks_per_beat=resolution)
    file.tracks.extend(mido.MidiTrack(track) for track in tracks)
    file.save(path)
    return path


def note(pitch: int, wait: int, length: int, channel: int = 0) -> list[mido.Message]:
    on = mido.Message("note_on", note=pitch, velocity=64, time=wait, channel=channel)
    return [on, mido.Message("note_off", note=pitch, time=length, channel=channel)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("midi")


@given(tables(steps=100), st.sampled_from([60.0, 97.3, 120.0, 173.21]))
def test_notes_survive_the_file(folder: Path, notes: Notes, tempo: float) -> None:
    write_midi(notes, folder / "a.mid", tempo)
    score = read_midi(folder / "a.mid", require_notes=False)
    assert_same(score.notes, notes.without_overlaps())
    assert score.tempo == pytest.approx(tempo, rel=1e-5)
    assert set(score.meters) <= {4}
    np.testing.assert_allclose(score.beat_times, np.arange(len(score.beat_times)) * 60 / tempo, rtol=1e-5)


@given(st.randoms(use_true_random=False), tables(steps=64, tracks=3))
def test_the_bytes_depend_on_the_notes_and_not_on_their_order(folder: Path, random, notes: Notes) -> None:
    order = list(range(len(notes)))
    random.shuffle(order)
    write_midi(notes, folder / "one.mid")
    write_midi(notes.select(np.array(order, np.int64)), folder / "two.mid")
    assert (folder / "one.mid").read_bytes() == (folder / "two.mid").read_bytes()


def test_tracks_become_midi_tracks(tmp_path: Path) -> None:
    notes = notes_of([(0, 60, 16, 80, 0), (4, 60, 2, 90, 1), (8, 40, 4, 70, 2)])
    write_midi(notes, tmp_path / "a.mid")
    assert_same(read_midi(tmp_path / "a.mid").notes, notes)


def test_tempo_program_and_velocity_are_written(tmp_path: Path) -> None:
    write_midi(SCALE, tmp_path / "a.mid", tempo=90, program=48)
    messages = [message for track in mido.MidiFile(tmp_path / "a.mid").tracks for message in track]
    assert [m.tempo for m in messages if m.type == "set_tempo"] == [pytest.approx(60e6 / 90, abs=1)]
    assert [m.program for m in messages if m.type == "program_change"] == [48]
    played = [m.velocity for m in messages if m.type == "note_on" and m.velocity]
    assert played == [70, 71, 72, 73, 74, 75, 76, 77]


def test_an_empty_piece_is_a_valid_file(tmp_path: Path) -> None:
    write_midi(Notes.empty(), tmp_path / "a.mid")
    assert len(mido.MidiFile(tmp_path / "a.mid").tracks) == 2
    assert len(read_midi(tmp_path / "a.mid", require_notes=False).notes) == 0
    with pytest.raises(InputError, match=r"a\.mid has no notes"):
        read_midi(tmp_path / "a.mid")


@pytest.mark.parametrize("tempo", [0, -10, float("nan"), 1e9])
def test_a_tempo_no_file_can_hold_is_refused(tmp_path: Path, tempo: float) -> None:
    with pytest.raises(InputError, match="tempo"):
        write_midi(SCALE, tmp_path / "a.mid", tempo=tempo)
    assert not list(tmp_path.iterdir())


def test_a_program_no_file_can_hold_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="instrument is 128"):
        write_midi(SCALE, tmp_path / "a.mid", program=128)


def test_an_output_folder_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="taken"):
        write_midi(SCALE, tmp_path / "taken" / "a.mid")


def test_tempo_changes_inside_a_beat_keep_the_grid(tmp_path: Path) -> None:
    tempo = [
        mido.MetaMessage("set_tempo", tempo=t, time=wait) for t, wait in [(500000, 0), (300000, 700), (900000, 333)]
    ]
    path = save(tmp_path / "a.mid", tempo, [event for i in range(12) for event in note(60 + i, 0, 240)])
    score = read_midi(path)
    assert score.notes.onset.tolist() == [2 * i for i in range(12)]
    assert score.notes.duration.tolist() == [2] * 12
    # 700 ticks at 0.5 s a beat, 333 at 0.3 s, then 0.9 s: where beat 2 (tick 960) and beat 3 (tick 1440) fall
    assert score.beat_times[2] == pytest.approx(700 / 480 * 0.5 + 260 / 480 * 0.3)
    assert score.beat_times[3] == pytest.approx(700 / 480 * 0.5 + 333 / 480 * 0.3 + 407 / 480 * 0.9)


def test_onset_and_end_go_to_the_nearest_step(tmp_path: Path) -> None:
    # a step is 120 ticks: onset 59 -> 0, end 59 + 240 = 299 -> 2; onset 360 - 50 -> 3, a grace note -> one step
    path = save(tmp_path / "a.mid", [*note(60, 59, 240), *note(62, 11, 10)])
    notes = read_midi(path).notes
    assert notes.onset.tolist() == [0, 3]
    assert notes.duration.tolist() == [2, 1]


def test_meters_and_bar_lines(tmp_path: Path) -> None:
    def meter(numerator: int, denominator: int, beats: int) -> mido.MetaMessage:
        return mido.MetaMessage("time_signature", numerator=numerator, denominator=denominator, time=480 * beats)

    path = save(tmp_path / "a.mid", [meter(3, 4, 0), meter(4, 4, 6), meter(7, 8, 4)], note(60, 0, 480 * 17))
    score = read_midi(path)
    assert score.downbeats.tolist() == [0, 3, 6, 10, 17]  # the second bar of 7/8 starts between beats 13 and 14
    assert score.meters.tolist() == [3, 3, 4, 3.5, 3.5]
    waltz = read_midi(save(tmp_path / "b.mid", [meter(3, 4, 0)], note(60, 0, 480 * 9)))
    assert set(waltz.meters) == {3}
    assert waltz.downbeats.tolist() == [0, 3, 6, 9]


def test_given_beats_replace_the_tempo_map(tmp_path: Path) -> None:
    path = save(tmp_path / "a.mid", [*note(60, 0, 480), *note(62, 0, 480), *note(64, 0, 480), *note(65, 960, 480)])
    beats = np.array([0.5, 1.0, 2.0])  # seconds; the file has a note every 0.5 s
    score = read_midi(path, beat_times=beats, downbeats=np.array([0, 2]))
    assert score.notes.pitch.tolist() == [62, 64, 65]  # the first note starts a beat before the grid
    assert score.notes.onset.tolist() == [0, 4, 10]  # 2.5 s is half a beat of 1 s past beat 2
    assert score.notes.duration.tolist() == [4, 2, 2]
    assert score.downbeats.tolist() == [0, 2]
    assert score.meters.tolist() == [2, 2]


def test_beats_that_do_not_increase_are_refused(tmp_path: Path) -> None:
    write_midi(SCALE, tmp_path / "a.mid")
    with pytest.raises(InputError, match="beats"):
        read_midi(tmp_path / "a.mid", beat_times=np.array([0.0, 1.0, 1.0]))


def test_drums_are_left_out_unless_asked_for(tmp_path: Path) -> None:
    melody = [mido.MetaMessage("track_name", name="MELODY"), *note(60, 0, 480)]
    drums = [mido.MetaMessage("track_name", name="DRUMS"), *note(36, 0, 480, channel=9)]
    both = save(tmp_path / "both.mid", drums, melody)
    assert read_midi(both).track_names == ("MELODY",)
    assert read_midi(both).notes.track.tolist() == [0]
    assert set(read_midi(both, drums=True).notes.pitch.tolist()) == {36, 60}
    with pytest.raises(InputError, match="only drums"):
        read_midi(save(tmp_path / "drums.mid", drums))


@pytest.mark.parametrize("content", [b"", b"hello", b"MThd\0\0\0\6\0\1\0\1\1\xe0MTrk\0\0\xff\xff\0\x90"])
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "kaputt.mid"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"kaputt\.mid"):
        read_midi(path)


def test_a_truncated_file_and_a_missing_one_are_named(tmp_path: Path) -> None:
    write_midi(SCALE, tmp_path / "a.mid")
    (tmp_path / "half.mid").write_bytes((tmp_path / "a.mid").read_bytes()[:-30])
    with pytest.raises(InputError, match=r"half\.mid cannot be read"):
        read_midi(tmp_path / "half.mid")
    with pytest.raises(InputError, match=r"no MIDI file .*none\.mid"):
        read_midi(tmp_path / "none.mid")


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_damage_raises_anything_but_input_error(folder: Path, noise: bytes, at: int) -> None:
    write_midi(SCALE, folder / "c.mid")
    data = (folder / "c.mid").read_bytes()
    (folder / "d.mid").write_bytes(data[:at] + noise + data[at + len(noise) :])
    with contextlib.suppress(InputError):
        score = read_midi(folder / "d.mid")
        assert (score.notes.duration >= 1).all()
        assert (score.notes.onset >= 0).all()


def test_odd_names_are_fine(tmp_path: Path) -> None:
    for name in ("-dash.mid", "mit Leerzeichen.mid", "音楽.mid"):
        write_midi(SCALE, tmp_path / name)
        assert_same(read_midi(tmp_path / name).notes, SCALE)
