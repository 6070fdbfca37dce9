"""Reduce SoundFont files (.sf2, and .sf3 with its Ogg Vorbis samples) to the instruments that a piece needs.

The renderer reads the whole .sf2 for every piece and does not support .sf3. A piece needs a few of the 128 instruments,
so the file is mapped into memory, and their presets, instruments and samples are copied into a small .sf2, in which
compressed samples are decoded. Modulators, which the renderer does not support, become plain zones (modulators.py); a
font without modulators gives the same sound bit for bit (tests/test_soundfont.py). References out of the file are
refused or repaired, because the renderer would follow them into other memory.

Source: SoundFont Technical Specification 2.04 (Creative, 2006), section 7; .sf3 as MuseScore writes it: sample type bit
0x10, start and end in bytes, loop points from the start of the sample.
"""

import io
import struct
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import av
import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.modulators import Generators, Modulators, amounts_of, bands, generators, modulators_of
from diffbgm.music.riff import (
    BAG,
    GENERATOR,
    INSTRUMENT_HEADER,
    MODULATOR,
    PRESET,
    SAMPLE_HEADER,
    Table,
    chunk,
    head,
    read_tables,
)

INSTRUMENT, SAMPLE = 41, 53  # the last generator of a zone: what it plays
COMPRESSED = 0x10  # bit of a sample's type in .sf3
SILENCE = 46  # samples of silence that the specification wants after each sample
MOST_BYTES = 1 << 30  # of decoded samples
MOST_RECORDS = 65_535  # of a table, as references have 16 bits
FASTEST_RATE = 400_000  # Hz; a sample with a higher rate is damage
EDGES = ("start", "end", "loop_start", "loop_end")
OFFSETS = {  # generators that move an edge of a sample, and by how many values for each unit
    0: ("start", 1),
    1: ("end", 1),
    2: ("loop_start", 1),
    3: ("loop_end", 1),
    4: ("start", 32768),
    12: ("end", 32768),
    45: ("loop_start", 32768),
    50: ("loop_end", 32768),
}


def small_soundfont(path: str | Path, programs: Iterable[int] | None = None) -> bytes:
    """An .sf2 file with some programs of an .sf2 or .sf3 file; with None, everything including modulators.

    Programs are those of General MIDI (0..127) plus 128 for each further bank, as in `midi.sounds_in`. If the file
    lacks one of them, its first preset is copied too, which renderers then play instead. The result is cached in memory
    for the next piece with the same programs. Raises InputError for a file that is missing, damaged or too large.
    """
    path = Path(path)
    try:
        stat = path.stat()
    except OSError as error:
        raise InputError(f"there is no soundfont {path}; give an .sf2 file, or none for the built-in one") from error
    return _cached(path, stat.st_mtime_ns, stat.st_size, None if programs is None else tuple(sorted(set(programs))))


@lru_cache(maxsize=2)
def _cached(path: Path, _time: int, _size: int, programs: tuple[int, ...] | None) -> bytes:
    try:
        tables, samples = read_tables(path)
        return _Subset(tables, samples, programs).data()
    except (ValueError, IndexError, KeyError, struct.error, av.error.FFmpegError, OSError) as error:
        if isinstance(error, InputError):
            raise
        reason = str(error) or type(error).__name__
        raise InputError(
            f"{path} cannot be rendered ({reason}); give an .sf2 or .sf3 file, or none for the built-in one"
        ) from error


class _Subset:
    """Some presets of a soundfont and everything they refer to, renumbered."""

    def __init__(self, tables: dict[str, Table], samples: np.ndarray, programs: tuple[int, ...] | None) -> None:
        self.tables, self.samples = tables, samples
        self.sounds: dict[tuple[int, int, bool], np.ndarray] = {}  # by start, end, and whether it is compressed
        presets = tables["phdr"][:-1]
        chosen = np.arange(len(presets))
        if programs is not None:
            numbers = 128 * presets["bank"].astype(np.int64) + presets["program"]
            kept = np.isin(numbers, programs)
            if not kept.any() or not np.isin(programs, numbers).all():
                kept[np.lexsort((presets["program"], presets["bank"]))[:1]] = True
            chosen = chosen[kept]
        if not len(chosen):
            raise ValueError("it holds no instruments")
        self.presets = chosen
        self.parted = programs is not None  # in a copy of the whole file the modulators stay
        self.instruments = self._referred(chosen, "phdr", "pbag", "pgen", INSTRUMENT)
        used = self._referred(self.instruments, "inst", "ibag", "igen", SAMPLE)
        if not len(used):
            raise ValueError("it holds no sound for these instruments")
        links = tables["shdr"]["link"][used].astype(np.int64)
        stereo = (tables["shdr"]["type"][used] & 0x6) > 0  # left or right of a pair
        self.used = np.union1d(used, links[stereo & (links < len(tables["shdr"]) - 1)])

    def data(self) -> bytes:
        """The whole file."""
        headers, sounds = self._samples()
        try:
            pdta = self._all_zones()
        except OverflowError:  # more zones than a file can number: the modulators stay as they are
            self.parted = False
            pdta = self._all_zones()
        pdta += chunk("shdr", headers.tobytes())
        info = chunk("ifil", struct.pack("<HH", 2, 1)) + chunk("isng", b"EMU8000\0") + chunk("INAM", b"subset\0\0")
        size = sum(sound.nbytes for sound in sounds)  # even, so that no chunk below needs a byte of padding
        pieces: list[bytes | memoryview] = [
            b"sfbk" + chunk("LIST", b"INFO" + info),
            *(head("LIST", size + 12), b"sdta", head("smpl", size)),
            *(sound.data for sound in sounds),
            chunk("LIST", b"pdta" + pdta),
        ]
        whole = sum(memoryview(piece).nbytes for piece in pieces)
        return b"".join([head("RIFF", whole), *pieces])  # joined once, as the samples may take 100 MB

    def _all_zones(self) -> bytes:
        presets = self._zones(self.presets, "p", PRESET, INSTRUMENT, self.instruments)
        return presets + self._zones(self.instruments, "i", INSTRUMENT_HEADER, SAMPLE, self.used)

    def _range(self, owner: int, headers: str) -> range:
        """The zones of a preset or an instrument."""
        bag = self.tables[headers]["bag"]
        return range(int(bag[owner]), int(bag[owner + 1]))

    def _referred(self, owners: np.ndarray, headers: str, bags: str, generators: str, kind: int) -> np.ndarray:
        """Sorted numbers of what the zones of some presets or instruments play."""
        bag, gen = self.tables[bags]["gen"], self.tables[generators]
        found = set()
        for owner in owners.tolist():
            for zone in self._range(owner, headers):
                part = gen[bag[zone] : bag[zone + 1]]
                found |= set(part["amount"][part["oper"] == kind].tolist())
        return np.array(sorted(found), np.int64)

    def _zones(self, owners: np.ndarray, letter: str, header: np.dtype, kind: int, numbers: np.ndarray) -> bytes:
        """The four tables of presets ("p") or instruments ("i"), whose references become positions in `numbers`."""
        names = {"p": "phdr", "i": "inst"}
        tables = self.tables
        heads = np.zeros(len(owners) + 1, header)
        heads[:-1] = tables[names[letter]][owners]
        heads[-1]["name"] = b"EOP" if letter == "p" else b"EOI"
        bags, gens, mods = [(0, 0)], [], []
        for place, owner in enumerate(owners.tolist()):
            heads[place]["bag"] = len(bags) - 1
            sound = letter == "p" or self._offsets_fit(owner)
            above: tuple[Generators, Modulators] = ({}, {})  # of the global zone: a first zone that plays nothing
            for zone in self._range(owner, names[letter]):
                first, last = tables[f"{letter}bag"][zone], tables[f"{letter}bag"][zone + 1]
                part = tables[f"{letter}gen"][first["gen"] : last["gen"]]
                part = part.copy() if sound else part[~np.isin(part["oper"], list(OFFSETS))]
                target = part["oper"] == kind
                part["amount"][target] = np.searchsorted(numbers, part["amount"][target])
                raw = tables[f"{letter}mod"][first["mod"] : last["mod"]]
                if not self.parted:
                    gens.append(part)
                    mods.append(raw)
                    bags.append((bags[-1][0] + len(part), bags[-1][1] + len(raw)))
                    continue
                own, moved = amounts_of(part), modulators_of(raw)
                if kind not in own and zone == self._range(owner, names[letter])[0]:
                    above = own, moved
                for band in bands(own, above[0], above[1] | moved) if kind in own else [own]:
                    gens.append(generators(band))
                    bags.append((bags[-1][0] + len(band), 0))
                    if max(len(bags) - 1, bags[-1][0]) > MOST_RECORDS:  # now, not when there are millions
                        raise OverflowError
        heads[-1]["bag"] = len(bags) - 1
        end_gen, end_mod = np.zeros(1, GENERATOR), np.zeros(1, MODULATOR)
        return (
            chunk(names[letter], heads.tobytes())
            + chunk(f"{letter}bag", np.array(bags, BAG).tobytes())
            + chunk(f"{letter}mod", np.concatenate([*mods, end_mod]).tobytes())
            + chunk(f"{letter}gen", np.concatenate([*gens, end_gen]).tobytes())
        )

    def _offsets_fit(self, instrument: int) -> bool:
        """Whether no zone of an instrument moves the ends or the loop of its sample out of it."""
        tables = self.tables
        inherited = dict.fromkeys(OFFSETS, 0)
        for zone in self._range(instrument, "inst"):
            part = tables["igen"][tables["ibag"]["gen"][zone] : tables["ibag"]["gen"][zone + 1]]
            amounts = amounts_of(part)
            own = {oper: amounts.get(oper, value) for oper, value in inherited.items()}
            moved = {edge: sum(own[o] * scale for o, (e, scale) in OFFSETS.items() if e == edge) for edge in EDGES}
            if SAMPLE not in amounts:
                inherited = own
                continue
            length, loop = self._extent(amounts[SAMPLE] & 0xFFFF)
            start, end = moved["start"], length + moved["end"]
            loop_start, loop_end = loop[0] + moved["loop_start"], loop[1] + moved["loop_end"]
            if not (0 <= start < end <= length and 0 <= loop_start < loop_end <= length):
                return False
        return True

    def _extent(self, number: int) -> tuple[int, tuple[int, int]]:
        """The length of a sample and its loop, from its start; the whole sample where the file's loop does not fit."""
        header, length = self.tables["shdr"][number], len(self._sound(number))
        base = 0 if header["type"] & COMPRESSED else int(header["start"])
        loop = int(header["loop_start"]) - base, int(header["loop_end"]) - base
        return length, loop if 0 <= loop[0] < loop[1] <= length else (0, length)

    def _samples(self) -> tuple[Table, list[np.ndarray]]:
        """Headers of the samples that are kept and, piece by piece, their 16-bit sound."""
        headers = np.zeros(len(self.used) + 1, SAMPLE_HEADER)
        headers[-1]["name"] = b"EOS"
        pieces: list[np.ndarray] = []
        at = 0
        for place, number in enumerate(self.used.tolist()):
            old, sound = self.tables["shdr"][number], self._sound(number)
            if not 0 < old["rate"] <= FASTEST_RATE:
                raise ValueError(f"a sample has a rate of {old['rate']} Hz")
            _, loop = self._extent(number)
            new = old.copy()
            new["start"], new["end"] = at, at + len(sound)
            new["loop_start"], new["loop_end"] = at + loop[0], at + loop[1]
            new["type"] = int(old["type"]) & ~COMPRESSED
            kept = old["link"] in self.used
            new["link"] = np.searchsorted(self.used, old["link"]) if kept else 0
            headers[place] = new
            pieces += [sound, np.zeros(SILENCE, np.int16)]
            at += len(sound) + SILENCE
            _check_size(2 * at)
        return headers, pieces

    def _sound(self, number: int) -> np.ndarray:
        """The sound (n,) int16 of one sample, at least one value long."""
        header = self.tables["shdr"][:-1][number]
        start, end, compressed = int(header["start"]), int(header["end"]), bool(header["type"] & COMPRESSED)
        if (place := (start, end, compressed)) in self.sounds:  # many samples may share one
            return self.sounds[place]
        if not start <= end <= len(self.samples) // (1 if compressed else 2):
            raise ValueError("a sample lies outside the file")
        if compressed:
            sound = _vorbis(self.samples[start:end].tobytes())
        else:
            sound = np.frombuffer(self.samples[2 * start : 2 * end], "<i2")
        self.sounds[place] = sound if len(sound) else np.zeros(1, "<i2")
        return self.sounds[place]


def _vorbis(data: bytes) -> np.ndarray:
    """Decode one channel of Ogg Vorbis to int16 (n,). As a few kilobytes may hold hours, ValueError if too long."""
    pieces, size = [np.zeros(0, "<i2")], 0
    with av.open(io.BytesIO(data), "r", format="ogg") as container:
        for frame in container.decode(audio=0):
            sound = frame.to_ndarray()[0]
            pieces.append(np.clip(np.rint(sound * 32768), -32768, 32767).astype("<i2"))
            size += pieces[-1].nbytes
            _check_size(size)
    return np.concatenate(pieces)


def _check_size(size: int) -> None:
    """Raise ValueError for more than `MOST_BYTES` of samples."""
    if size > MOST_BYTES:
        raise ValueError(f"its instruments take more than {MOST_BYTES >> 20} MB")
