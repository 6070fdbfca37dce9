"""Soundfonts whose filters follow velocity and key, heard: louder notes sound louder, higher ones brighter."""

import io
from pathlib import Path

import midirenderer
import mido
import numpy as np
import pytest
import soundfile
from small_sf2 import small_sf2
from strategies import notes_of

from diffbgm.music.audio import default_soundfont, loudness, render, render_bytes
from diffbgm.music.midi import sounds_in
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.modulators import FILTER, KEY, VELOCITIES, VELOCITY
from diffbgm.music.notes import Notes
from diffbgm.music.soundfont import small_soundfont

SHUT, OPEN = 3000, 13500  # cutoff in absolute cents: 46 Hz, and 20 kHz, which is no filter
LOUD = (30, 50, 70, 90, 120)


def held(pitch: int, velocity: int) -> bytes:
    """A MIDI file with one note of a second."""
    return midi_bytes([Track("a", 0, notes_of([(0, pitch, 8, velocity, 0)]), np.zeros(1))], 120)


@pytest.fixture
def by_velocity(tmp_path: Path) -> Path:
    """A soundfont as MuseScore's piano: from velocity 64 on the filter is shut, and opened by a modulator."""
    soft = ({VELOCITIES: 0 | 63 << 8, FILTER: OPEN}, [])
    loud = ({VELOCITIES: 64 | 127 << 8, FILTER: SHUT}, [(VELOCITY, FILTER, 2 * (OPEN - SHUT))])
    (tmp_path / "velocity.sf2").write_bytes(small_sf2([soft, loud]))
    return tmp_path / "velocity.sf2"


@pytest.fixture
def by_key(tmp_path: Path) -> Path:
    """A soundfont whose filter opens from the lowest to the highest key."""
    (tmp_path / "key.sf2").write_bytes(small_sf2([({FILTER: 500}, [(KEY, FILTER, 20_000)])]))
    return tmp_path / "key.sf2"


def levels(font: Path, tmp_path: Path) -> list[list[float]]:
    """LUFS of each velocity of LOUD: with the programs named, and of a file from which they are read."""
    found = []
    for velocity in LOUD:
        (tmp_path / "a.mid").write_bytes(held(57, velocity))
        sounds = render_bytes(held(57, velocity), font, [0]), render(tmp_path / "a.mid", soundfont=font)
        found.append([loudness(sound[:48000], 48000) for sound in sounds])
    return np.array(found).T.tolist()


def test_louder_notes_sound_louder(by_velocity: Path, tmp_path: Path) -> None:
    named, read = levels(by_velocity, tmp_path)
    assert (np.diff(named) > 0.5).all()
    assert read == named
    # Without the modulators the same soundfont is softer from velocity 64 on: what is tested here is heard.
    raw = [plain(by_velocity, held(57, velocity)) for velocity in (50, 70)]
    assert raw[1] < raw[0] - 3


def test_higher_notes_are_brighter(by_key: Path) -> None:
    harmonics = []
    for pitch in (33, 81):
        sound = render_bytes(held(pitch, 100), by_key, [0])[4800:40000, 0]
        power = np.abs(np.fft.rfft(sound * np.hanning(len(sound)))) ** 2
        first = round(110 * 2 ** ((pitch - 45) / 12) * len(sound) / 48000)
        harmonics.append(power[7 * first : 9 * first].sum() / power[first // 2 : 3 * first // 2].sum())
    assert harmonics[1] > 8 * harmonics[0]


def test_a_swell_is_heard() -> None:
    notes = notes_of([(step, 60, 2, 80, 0) for step in range(0, 64, 2)])
    track = Track("a", 0, notes, np.zeros(len(notes)), swell=np.repeat([-1.0, 1.0], 8))
    sound = render_bytes(midi_bytes([track], 120))
    soft, loud = (loudness(part, 48000) for part in np.split(sound[: 8 * 48000], 2))
    assert loud - soft == pytest.approx(40 * np.log10(127 / 73), abs=1)  # General MIDI: 40 log10 of the controller


def plain(font: Path, midi: bytes) -> float:
    """LUFS of the first second as the renderer plays the file itself."""
    sound, rate = soundfile.read(io.BytesIO(midirenderer.render_wave_from(small_soundfont(font), midi)))
    return loudness(sound[:rate].astype(np.float32), rate)


def band() -> mido.MidiFile:
    """A flute that becomes a music box, a variation of another bank, and drums."""
    file = mido.MidiFile()
    for channel, setup in enumerate(([("p", 73)], [("b", 8), ("p", 24)])):
        track = mido.MidiTrack()
        for kind, value in setup:
            track.append(
                mido.Message("program_change", channel=channel, program=value)
                if kind == "p"
                else mido.Message("control_change", channel=channel, control=0, value=value)
            )
        track += [mido.Message("note_on", channel=channel, note=72), mido.Message("note_off", note=72, time=240)]
        file.tracks.append(track)
    file.tracks[0] += [mido.Message("program_change", program=10), mido.Message("note_on", note=76)]
    file.tracks.append(mido.MidiTrack([mido.Message("note_on", channel=9, note=38)]))
    return file


def test_a_file_with_drums_and_banks_sounds_as_with_the_whole_soundfont() -> None:
    buffer = io.BytesIO()
    band().save(file=buffer)
    midi = buffer.getvalue()
    assert sounds_in(midi) == {0, 10, 73, 24, 8 * 128, 8 * 128 + 24, 128 * 128}
    whole = midirenderer.render_wave_from(default_soundfont().read_bytes(), midi)
    sound, rate = soundfile.read(io.BytesIO(whole), dtype="float32")
    assert rate == 48000
    np.testing.assert_allclose(render_bytes(midi), sound, atol=1 / 32768)


def test_a_file_that_cannot_be_read_names_no_programs() -> None:
    assert sounds_in(b"not music") is None
    silent = midi_bytes([Track("a", 40, Notes.empty(), np.zeros(0))], 120)
    assert sounds_in(silent) == set()
    assert not render_bytes(silent).any()
