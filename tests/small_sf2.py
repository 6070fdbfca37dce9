"""A soundfont of one instrument in a few kilobytes, as a test wants it, and the same with compressed samples."""

import io
import struct

import numpy as np
import soundfile

from diffbgm.music.riff import (
    BAG,
    GENERATOR,
    INSTRUMENT_HEADER,
    MODULATOR,
    PRESET,
    SAMPLE_HEADER,
    chunk,
)
from diffbgm.music.soundfont import COMPRESSED, INSTRUMENT, SAMPLE

RATE, LENGTH = 22050, 4410  # Hz, and values of the sample: 0.2 s that go round
LOOPED = {54: 1}  # generator sampleModes: the sample repeats while the note is held
Zone = tuple[dict[int, int], list[tuple[int, int, int]]]  # generators; modulators (source, target, amount)


def small_sf2(zones: list[Zone], length: int = LENGTH) -> bytes:
    """An .sf2 file whose program 0 plays one buzzing sample (every harmonic of 110 Hz) through these zones."""
    time = np.arange(length) / RATE
    wave = sum(np.sin(2 * np.pi * 110 * k * time) / k for k in range(1, 90))
    pcm = np.rint(12000 * wave / np.abs(wave).max()).astype("<i2")
    sample = np.zeros(2, SAMPLE_HEADER)
    sample[0] = (b"buzz", 0, length, 0, length, RATE, 45, 0, 0, 1)
    sample[1]["name"] = b"EOS"
    bags, gens, mods = [(0, 0)], [], []
    for generators, modulators in zones:
        gens += [(oper, amount & 0xFFFF) for oper, amount in {**generators, **LOOPED, SAMPLE: 0}.items()]
        mods += [(source, target, amount, 0, 0) for source, target, amount in modulators]
        bags.append((len(gens), len(mods)))
    tables = {
        "phdr": np.array([(b"buzz", 0, 0, 0, b""), (b"EOP", 0, 0, 1, b"")], PRESET).tobytes(),
        "pbag": np.array([(0, 0), (1, 0)], BAG).tobytes(),
        "pmod": bytes(MODULATOR.itemsize),
        "pgen": np.array([(INSTRUMENT, 0), (0, 0)], GENERATOR).tobytes(),
        "inst": np.array([(b"buzz", 0), (b"EOI", len(zones))], INSTRUMENT_HEADER).tobytes(),
        "ibag": np.array(bags, BAG).tobytes(),
        "imod": b"".join(struct.pack("<HHhHH", *row) for row in mods) + bytes(MODULATOR.itemsize),
        "igen": np.array([*gens, (0, 0)], GENERATOR).tobytes(),
        "shdr": sample.tobytes(),
    }
    info = chunk("ifil", struct.pack("<HH", 2, 1)) + chunk("isng", b"EMU8000\0") + chunk("INAM", b"buzz\0\0")
    lists = {
        b"INFO": info,
        b"sdta": chunk("smpl", pcm.tobytes() + bytes(2 * 46)),
        b"pdta": b"".join(chunk(name, table) for name, table in tables.items()),
    }
    return chunk("RIFF", b"sfbk" + b"".join(chunk("LIST", name + body) for name, body in lists.items()))


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
