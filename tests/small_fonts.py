"""Soundfonts of a few hundred bytes, and soundfonts with compressed samples."""

import io
import struct

import numpy as np
import soundfile

from diffbgm.music.soundfont import (
    BAG,
    COMPRESSED,
    GENERATOR,
    INSTRUMENT,
    INSTRUMENT_HEADER,
    PRESET,
    SAMPLE,
    SAMPLE_HEADER,
)

PROGRAM = 10
KEYS, FILTER = 43, 8  # generators
VELOCITY_TO_FILTER = struct.pack("<HHhHH", 0x0502, FILTER, -2400, 0, 0)


def tiny_font(values: int = 400, zones: int = 1, modulators: int = 1) -> bytes:
    """An .sf2 with one preset, one instrument of `zones` zones that play one sample, and modulators for all of them."""
    sound = np.rint(8000 * np.sin(np.arange(values) / 8)).astype("<i2")
    tables = {
        "phdr": np.array([(b"p", PROGRAM, 0, 0, b""), (b"EOP", 0, 0, 1, b"")], PRESET).tobytes(),
        "pbag": np.array([(0, 0), (1, 0)], BAG).tobytes(),
        "pmod": bytes(10),
        "pgen": np.array([(INSTRUMENT, 0), (0, 0)], GENERATOR).tobytes(),
        "inst": np.array([(b"i", 0), (b"EOI", zones + 1)], INSTRUMENT_HEADER).tobytes(),
        "ibag": np.array([(0, 0), *((1 + 2 * k, modulators) for k in range(zones + 1))], BAG).tobytes(),
        "imod": VELOCITY_TO_FILTER * modulators + bytes(10),
        "igen": np.array([(FILTER, 6000), *[(KEYS, 127 << 8), (SAMPLE, 0)] * zones, (0, 0)], GENERATOR).tobytes(),
        "shdr": np.array(
            [(b"s", 0, values, 10, values - 10, 44100, 60, 0, 0, 1), (b"EOS", *[0] * 9)], SAMPLE_HEADER
        ).tobytes(),
    }
    info = b"INFO" + _chunk(b"ifil", struct.pack("<HH", 2, 1))
    parts = [info, b"sdta" + _chunk(b"smpl", sound.tobytes() + bytes(92))]
    parts.append(b"pdta" + b"".join(_chunk(name.encode(), body) for name, body in tables.items()))
    return _chunk(b"RIFF", b"sfbk" + b"".join(_chunk(b"LIST", part) for part in parts))


def _chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


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
