"""Read and write the chunks of a SoundFont file and its nine tables.

References from one table into another are checked on reading, so that soundfont.py can follow them.

Source: SoundFont Technical Specification 2.04 (Creative, 2006), sections 3 to 5 and 7.
"""

import os
import struct
from collections.abc import Iterable
from pathlib import Path

import numpy as np

_NAME = "S20"
PRESET = np.dtype([("name", _NAME), ("program", "<u2"), ("bank", "<u2"), ("bag", "<u2"), ("rest", "S12")])
BAG = np.dtype([("gen", "<u2"), ("mod", "<u2")])
GENERATOR = np.dtype([("oper", "<u2"), ("amount", "<u2")])
MODULATOR = np.dtype("V10")
INSTRUMENT_HEADER = np.dtype([("name", _NAME), ("bag", "<u2")])
SAMPLE_HEADER = np.dtype(
    [
        ("name", _NAME),
        *((field, "<u4") for field in ("start", "end", "loop_start", "loop_end", "rate")),
        ("pitch", "u1"),
        ("correction", "i1"),
        ("link", "<u2"),
        ("type", "<u2"),
    ]
)
TABLES = {
    "phdr": PRESET,
    "pbag": BAG,
    "pmod": MODULATOR,
    "pgen": GENERATOR,
    "inst": INSTRUMENT_HEADER,
    "ibag": BAG,
    "imod": MODULATOR,
    "igen": GENERATOR,
    "shdr": SAMPLE_HEADER,
}
REFERENCES = (  # a column of non-decreasing numbers, and the table that they refer to
    ("phdr", "bag", "pbag"),
    ("inst", "bag", "ibag"),
    ("pbag", "gen", "pgen"),
    ("pbag", "mod", "pmod"),
    ("ibag", "gen", "igen"),
    ("ibag", "mod", "imod"),
)
Table = np.ndarray  # records of one of the dtypes above


def read_tables(path: Path) -> tuple[dict[str, Table], np.ndarray]:
    """The nine tables of a soundfont by their chunk names, and its sample bytes (mapped, not read).

    Raises ValueError for a file that is not a soundfont or is damaged, and OSError if it cannot be read.
    """
    if os.path.getsize(path) < 12:
        raise ValueError("the file is too short")
    data = np.memmap(path, np.uint8, "r")
    if bytes(data[:4]) != b"RIFF" or bytes(data[8:12]) != b"sfbk":
        raise ValueError("it is not a RIFF file of type sfbk")
    chunks = {
        name: body for _, part in chunks_in(data[12:]) for name, body in (chunks_in(part[4:]) if len(part) >= 4 else ())
    }
    tables = {}
    for name, dtype in TABLES.items():
        if name not in chunks or len(chunks[name]) % dtype.itemsize or len(chunks[name]) < dtype.itemsize:
            raise ValueError(f"its table {name} is missing or damaged")
        tables[name] = np.frombuffer(chunks[name].tobytes(), dtype)
    if "smpl" not in chunks:
        raise ValueError("it holds no samples")
    for name, column, target in REFERENCES:
        numbers = tables[name][column].astype(np.int64)
        if (np.diff(numbers) < 0).any() or numbers[-1] >= len(tables[target]):
            raise ValueError(f"its table {name} is damaged")
    return tables, chunks["smpl"]


def chunks_in(data: np.ndarray) -> Iterable[tuple[str, np.ndarray]]:
    """(name, body) of each RIFF chunk. Raises ValueError for a body that extends beyond the end."""
    at = 0
    while at + 8 <= len(data):
        name, size = struct.unpack("<4sI", data[at : at + 8].tobytes())
        if at + 8 + size > len(data):
            raise ValueError(f"it ends inside the chunk {ascii(name.decode('latin-1'))[1:-1].strip()}")
        yield name.decode("latin-1"), data[at + 8 : at + 8 + size]
        at += 8 + size
        if size % 2 and at < len(data) and data[at] == 0:  # MuseScore's writer leaves the padding byte out
            at += 1


def chunk(name: str, body: bytes) -> bytes:
    """A RIFF chunk, padded to an even length."""
    return head(name, len(body)) + body + b"\0" * (len(body) % 2)


def head(name: str, size: int) -> bytes:
    """The head of a RIFF chunk whose body of `size` bytes follows."""
    return name.encode() + struct.pack("<I", size)
