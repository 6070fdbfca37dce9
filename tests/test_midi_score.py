"""A performance as a MIDI file: read back with the reader and with mido."""

import io
from pathlib import Path

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import assert_same, notes_of, tables

from diffbgm.errors import InputError
from diffbgm.music.key import Key
from diffbgm.music.midi import read_midi
from diffbgm.music.midi_score import Marker, Track, midi_bytes
from diffbgm.music.notes import Notes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("midi")


def parsed(data: bytes) -> mido.MidiFile:
    return mido.MidiFile(file=io.BytesIO(data))


@settings(max_examples=40)
@given(notes=tables(), tempo=st.sampled_from([40.0, 97.5, 120.0, 240.0]), seed=st.integers(0, 9))
def test_notes_survive_the_file_however_they_are_delayed(folder: Path, notes: Notes, tempo: float, seed: int) -> None:
    limit = 0.3 * 60 / tempo / 4
    delay = np.random.default_rng(seed).uniform(-limit, limit, len(notes))
    delay = np.where(notes.onset == 0, np.abs(delay), delay)
    (folder / "a.mid").write_bytes(midi_bytes([Track("a", 0, notes, delay)], tempo))
    again = read_midi(folder / "a.mid", require_notes=False)
    expected = notes.without_overlaps()
    np.testing.assert_array_equal(again.notes.onset, expected.onset)
    np.testing.assert_array_equal(again.notes.pitch, expected.pitch)
    assert np.abs(again.notes.duration - expected.duration).max(initial=0) <= 1
    assert again.tempo == pytest.approx(tempo, rel=1e-4)


@settings(max_examples=40)
@given(notes=tables(), random=st.randoms(use_true_random=False))
def test_without_delays_notes_come_back_exactly_and_order_does_not_matter(folder: Path, notes: Notes, random) -> None:
    data = midi_bytes([Track("a", 0, notes, np.zeros(len(notes)))], 120)
    order = np.array(random.sample(range(len(notes)), len(notes)), int)
    assert midi_bytes([Track("a", 0, notes.select(order), np.zeros(len(notes)))], 120) == data
    (folder / "b.mid").write_bytes(data)
    assert_same(read_midi(folder / "b.mid", require_notes=False).notes, notes.without_overlaps())


def test_names_key_tempo_markers_and_controllers_are_there() -> None:
    note = notes_of([(0, 60, 4, 90, 0)])
    tracks = [
        Track("Flute (lead)", 73, note, np.zeros(1), pan=40, swell=np.array([0.0, 1.0, -1.0])),
        Track("Piano (accompaniment)", 0, note, np.zeros(1), volume=92, pedal=np.array([[0, 8]])),
    ]
    data = midi_bytes(tracks, 96, Key(9, True), [Marker(2.5, "cut 2"), Marker(1.25, "cut 1")], reverb=0.5)
    conductor, flute, piano = parsed(data).tracks
    assert [m.name for m in (flute, piano)] == ["Flute (lead)", "Piano (accompaniment)"]
    assert [m.key for m in conductor if m.type == "key_signature"] == ["Am"]
    assert [round(mido.tempo2bpm(m.tempo)) for m in conductor if m.type == "set_tempo"] == [96]
    ticks = np.cumsum([m.time for m in conductor])
    markers = [(int(tick), m.text) for tick, m in zip(ticks, conductor, strict=True) if m.type == "marker"]
    assert markers == [(960, "cut 1"), (1920, "cut 2")]  # 1.25 s are two beats of 480 ticks at 96 BPM
    control = {m.control: m.value for m in flute if m.type == "control_change" and m.time == 0}
    assert (control[7], control[10], control[91]) == (100, 40, 64)
    assert [m.value for m in flute if m.type == "control_change" and m.control == 11] == [100, 127, 73]
    assert [m.value for m in piano if m.type == "control_change" and m.control == 64] == [127, 0]
    assert [m.program for track in (flute, piano) for m in track if m.type == "program_change"] == [73, 0]


@pytest.mark.parametrize("tonic", range(12))
@pytest.mark.parametrize("minor", [False, True])
def test_every_key_can_be_written(tonic: int, minor: bool) -> None:
    parsed(midi_bytes([], 120, Key(tonic, minor)))


def test_no_track_plays_on_the_drum_channel() -> None:
    note = notes_of([(0, 60, 4, 90, 0)])
    tracks = [Track(str(number), 0, note, np.zeros(1)) for number in range(15)]
    channels = [m.channel for track in parsed(midi_bytes(tracks, 120)).tracks for m in track if m.type == "note_on"]
    assert channels == [*range(9), *range(10, 16)]
    with pytest.raises(InputError, match="16 tracks are more than a MIDI file has channels for"):
        midi_bytes([*tracks, tracks[0]], 120)


@pytest.mark.parametrize("tempo", [0.0, 1e6, float("nan")])
def test_a_tempo_no_file_can_hold_is_refused(tempo: float) -> None:
    with pytest.raises(InputError, match=r"the tempo is .* BPM"):
        midi_bytes([], tempo)
