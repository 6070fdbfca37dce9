"""Soundfonts cut down to a few instruments: what sounds stays the same, damage is one sentence."""

import struct
from pathlib import Path

import midirenderer
import numpy as np
import pytest
from small_sf2 import compressed, small_sf2
from strategies import notes_of

from diffbgm.errors import InputError
from diffbgm.music.audio import default_soundfont, render_bytes
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.modulators import bands
from diffbgm.music.riff import SAMPLE_HEADER
from diffbgm.music.soundfont import small_soundfont

FLUTE, MUSIC_BOX = 73, 10
VELOCITY_TO_FILTER = (0x502, 8, -2400)
PLAIN = [({}, [])]


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


def test_more_zones_than_a_file_can_number_keep_their_modulators(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    font = tmp_path / "font.sf2"
    font.write_bytes(small_soundfont(default_soundfont(), [MUSIC_BOX]))
    plain = render_bytes(tune(MUSIC_BOX), font)
    monkeypatch.setattr("diffbgm.music.soundfont.bands", lambda own, *_: [own] * 70_000)
    np.testing.assert_array_equal(render_bytes(tune(MUSIC_BOX), font, [MUSIC_BOX]), plain)


def test_a_few_bytes_do_not_become_billions_of_zones(tmp_path: Path) -> None:
    """Each of 3,000 zones would become 32 bands: the modulators stay as they are, at once."""
    (tmp_path / "many.sf2").write_bytes(small_sf2([({}, [VELOCITY_TO_FILTER])] * 3_000))
    calls = 0

    def counted(*given: object):
        nonlocal calls
        calls += 1
        return bands(*given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("diffbgm.music.soundfont.bands", counted)
        small = small_soundfont(tmp_path / "many.sf2", [0])
    assert calls < 2100, "it ends with the first zone that cannot be numbered"
    assert small.count(struct.pack("<HHhHH", *VELOCITY_TO_FILTER, 0, 0)) == 3_000


def test_compressed_samples_that_last_for_hours_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ogg Vorbis holds silence in next to nothing, so the limit holds while it is decoded."""
    monkeypatch.setattr("diffbgm.music.soundfont.MOST_BYTES", 20_000)
    (tmp_path / "long.sf3").write_bytes(compressed(small_sf2(PLAIN, length=200_000)))
    with pytest.raises(InputError, match="its instruments take more than 0 MB"):
        small_soundfont(tmp_path / "long.sf3", [0])


def test_a_compressed_sample_that_many_share_is_decoded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded = []
    monkeypatch.setattr("diffbgm.music.soundfont._vorbis", lambda data: decoded.append(data) or np.zeros(9, "<i2"))
    whole = compressed(small_sf2(PLAIN))
    at = whole.index(b"shdr")
    headers = np.frombuffer(whole[at + 8 :], SAMPLE_HEADER)
    shared = np.concatenate([headers[:1]] * 5 + [headers[1:]])
    shared["link"][:-1], shared["type"][:-1] = [1, 2, 3, 4, 0], headers["type"][0] | 2  # the left one of a pair
    body = whole[8:at] + b"shdr" + struct.pack("<I", shared.nbytes) + shared.tobytes()
    pdta = body.index(b"pdta") - 4
    grown = shared.nbytes - headers.nbytes
    length = struct.unpack("<I", body[pdta : pdta + 4])[0] + grown
    body = body[:pdta] + struct.pack("<I", length) + body[pdta + 4 :]
    (tmp_path / "shared.sf3").write_bytes(b"RIFF" + struct.pack("<I", len(body)) + body)
    small_soundfont(tmp_path / "shared.sf3", [0])
    assert len(decoded) == 1


def test_a_chunk_with_a_strange_name_is_named_on_one_line(tmp_path: Path) -> None:
    whole = bytearray(small_sf2(PLAIN))
    at = whole.index(b"LIST")
    whole[at : at + 8] = b"\n\x1b[A\xff\xff\xff\x7f"
    (tmp_path / "odd.sf2").write_bytes(bytes(whole))
    with pytest.raises(InputError) as caught:
        small_soundfont(tmp_path / "odd.sf2", [0])
    assert str(caught.value).isprintable()
