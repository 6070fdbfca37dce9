"""Soundfonts cut down to a few instruments: what sounds stays the same, damage is one sentence."""

import io
import struct
from pathlib import Path

import midirenderer
import numpy as np
import pytest
import soundfile
from strategies import notes_of

from diffbgm.errors import InputError
from diffbgm.music.audio import default_soundfont, render_bytes
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.soundfont import COMPRESSED, SAMPLE_HEADER, small_soundfont

FLUTE, MUSIC_BOX = 73, 10


def tune(program: int) -> bytes:
    """Two short notes on one instrument."""
    notes = notes_of([(0, 69, 2, 100, 0), (2, 76, 2, 60, 0)])
    return midi_bytes([Track("a", program, notes, np.zeros(2))], 240)


@pytest.mark.parametrize("program", [0, FLUTE])
def test_a_cut_soundfont_sounds_the_same_to_the_last_bit(program: int) -> None:
    whole = midirenderer.render_wave_from(default_soundfont().read_bytes(), tune(program))
    small = small_soundfont(default_soundfont(), [program, MUSIC_BOX])
    assert len(small) < default_soundfont().stat().st_size / 3
    assert midirenderer.render_wave_from(small, tune(program)) == whole


def test_a_program_that_the_file_lacks_is_played_by_another(tmp_path: Path) -> None:
    (tmp_path / "flute.sf2").write_bytes(small_soundfont(default_soundfont(), [FLUTE]))
    np.testing.assert_array_equal(
        render_bytes(tune(MUSIC_BOX), tmp_path / "flute.sf2", [MUSIC_BOX]), render_bytes(tune(FLUTE), None, [FLUTE])
    )


def test_compressed_samples_are_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.sf3").write_bytes(compressed(small_soundfont(default_soundfont(), [MUSIC_BOX])))
    loud, plain = render_bytes(tune(MUSIC_BOX), tmp_path / "a.sf3"), render_bytes(tune(MUSIC_BOX), None, [MUSIC_BOX])
    n = min(len(loud), len(plain))
    assert np.corrcoef(loud[:n, 0], plain[:n, 0])[0, 1] > 0.98


@pytest.mark.parametrize("share", [0.0, 0.00001, 0.5, 0.97, 0.9999])
def test_a_file_that_was_cut_off_is_named(tmp_path: Path, share: float) -> None:
    whole = small_soundfont(default_soundfont(), [MUSIC_BOX])
    (tmp_path / "cut.sf2").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(InputError, match=r"cut\.sf2 cannot be rendered .*give an \.sf2 or \.sf3 file"):
        render_bytes(tune(MUSIC_BOX), tmp_path / "cut.sf2", [MUSIC_BOX])


def test_no_damage_to_the_tables_raises_anything_but_input_error(tmp_path: Path) -> None:
    whole = small_soundfont(default_soundfont(), [MUSIC_BOX])
    rng = np.random.default_rng(0)
    tables = whole.index(b"phdr")
    for number in range(40):
        broken = bytearray(whole)
        for at in rng.integers(tables, len(whole), 8):
            broken[at] = int(rng.integers(256))
        path = tmp_path / f"{number}.sf2"
        path.write_bytes(bytes(broken))
        try:
            render_bytes(tune(MUSIC_BOX), path, [MUSIC_BOX])
        except InputError as error:
            assert str(path) in str(error)  # noqa: PT017


def compressed(whole: bytes) -> bytes:
    """An .sf2 file as MuseScore would write it as .sf3: every sample as Ogg Vorbis."""
    at = whole.index(b"shdr")
    size = struct.unpack("<I", whole[at + 4 : at + 8])[0]
    headers = np.frombuffer(whole[at + 8 : at + 8 + size], SAMPLE_HEADER).copy()
    smpl = whole.index(b"smpl")
    pcm = np.frombuffer(whole[smpl + 8 : smpl + 8 + struct.unpack("<I", whole[smpl + 4 : smpl + 8])[0]], "<i2")
    sounds, place = b"", 0
    for header in headers[:-1]:
        data = vorbis(pcm[header["start"] : header["end"]], int(header["rate"]))
        header["loop_start"] -= header["start"]
        header["loop_end"] -= header["start"]
        header["start"], header["end"], header["type"] = place, place + len(data), header["type"] | COMPRESSED
        sounds += data
        place += len(data)
    sounds += b"\0" * (len(sounds) % 2)
    info = whole[12 : whole.index(b"sdta") - 8]
    sdta = b"sdta" + b"smpl" + struct.pack("<I", len(sounds)) + sounds
    pdta = whole[whole.index(b"pdta") : at + 8] + headers.tobytes()
    body = b"sfbk" + info
    for part in (sdta, pdta):
        body += b"LIST" + struct.pack("<I", len(part)) + part
    return b"RIFF" + struct.pack("<I", len(body)) + body


def vorbis(sound: np.ndarray, rate: int) -> bytes:
    """One channel of sound (n,) int16 as Ogg Vorbis."""
    buffer = io.BytesIO()
    soundfile.write(buffer, sound, rate, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def test_more_zones_than_a_file_can_number_keep_their_modulators(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    font = tmp_path / "font.sf2"
    font.write_bytes(small_soundfont(default_soundfont(), [MUSIC_BOX]))
    plain = render_bytes(tune(MUSIC_BOX), font)
    monkeypatch.setattr("diffbgm.music.soundfont.bands", lambda own, *_: [own] * 70_000)
    np.testing.assert_array_equal(render_bytes(tune(MUSIC_BOX), font, [MUSIC_BOX]), plain)
