"""Pickles, arrays and tensors are read as data: numpy's files are restored, and no code in a file is run."""

import io
import pickle
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from diffbgm.datasets.unpickle import load_npy, load_npz, load_pickle, load_torch
from diffbgm.errors import InputError

DTYPES = "b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8 >i4 >f8 >U2 U3 S4 O".split()


def held(path: Path, content: bytes) -> str:
    """Why a pickle is refused."""
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_pickle(path)
    return str(caught.value)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_arrays_of_every_listed_type_come_back(tmp_path: Path, protocol: int) -> None:
    for code in DTYPES:
        for shape in ((3,), (2, 3), (0,), (2, 0), ()):
            array = np.asarray((np.arange(np.prod(shape, dtype=int)).reshape(shape) % 2), code)
            for given in (array, np.asfortranarray(array)):
                (tmp_path / "a.pickle").write_bytes(pickle.dumps({"x": [given, given]}, protocol=protocol))
                first, second = load_pickle(tmp_path / "a.pickle")["x"]
                assert first is second or shape == ()
                np.testing.assert_array_equal(first, given)
                assert np.asarray(first).dtype == (given.dtype if shape else given[()].dtype if code != "O" else object)
            np.save(tmp_path / "a.npy", array)
            np.testing.assert_array_equal(load_npy(tmp_path / "a.npy"), array)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(tmp_path: Path, protocol: int) -> None:
    value = {"a": [1, -(2**70), 2.5, "ä", b"\xff", None, True, False, (), (1,), (1, 2, 3, 4)], 3: {1, 2}, "": {}}
    value |= {"frozen": frozenset({1}), "bytes": bytearray(b"x"), "complex": 1 + 2j, "scalar": np.float32(2), "b": b""}
    (tmp_path / "a.pickle").write_bytes(pickle.dumps(value, protocol=protocol))
    assert load_pickle(tmp_path / "a.pickle") == value


class Called:
    """A pickle that calls a function with arguments."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.made = function, arguments

    def __reduce__(self) -> Any:
        return self.made


@pytest.mark.parametrize(
    "name",
    "builtins.eval builtins.list builtins.range builtins.getattr builtins.object builtins.slice os.system "
    "numpy.load numpy.fromfile numpy.memmap numpy.core.multiarray.fromfile numpy._core.multiarray.frombuffer "
    "numpy.core.multiarray.os.system operator.attrgetter functools.partial torch.load copyreg._reconstructor "
    "diffbgm.datasets.unpickle.load_pickle numpy.float64 numpy.core.records.fromrecords "
    "collections.OrderedDict".split(),
)
def test_other_names_are_refused(tmp_path: Path, name: str) -> None:
    module, _, attribute = name.rpartition(".")
    old = f"c{module}\n{attribute}\n.".encode()
    new = b"\x80\x04" + b"".join(b"\x8c" + bytes([len(s)]) + s.encode() for s in (module, attribute)) + b"\x93."
    for content in (old, new):
        assert "asks for" in held(tmp_path / "a.pickle", content)


def dtype_with(state: tuple[Any, ...], code: str = "O8") -> bytes:
    """An array of three objects whose dtype has another state, and whose memory the file gives."""
    pick = io.BytesIO()
    pickler = pickle._Pickler(pick, 2)

    class Dtype:
        def __reduce__(self) -> Any:
            return np.dtype, (code, False, True), state

    class Array:
        def __reduce__(self) -> Any:
            make = np._core.multiarray._reconstruct
            return make, (np.ndarray, (0,), b"b"), (1, (3,), Dtype(), False, b"A" * 24)

    pickler.dump(Array())
    return pick.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        dtype_with((3, "|", None, None, None, -1, -1, 0)),  # without the flag that the bytes are objects
        dtype_with((3, "|", None, None, None, -1, -1, 63)),
        dtype_with((3, "<", None, None, None, -1, -1, 63), "f8"),  # with the flag that the bytes are objects: numbers
        dtype_with((3, "|", ("O8", (3,)), None, None, 24, 1, 16), "V24"),
        dtype_with((3, "|", None, ("a",), {"a": (np.dtype("O"), 0)}, 8, 1, 16), "V8"),
        dtype_with((3, "|", None, None, None, 10**9, 1, 0), "U1"),
        dtype_with((3, "x", None, None, None, -1, -1, 0), "i8"),
        dtype_with((), "i8"),
        dtype_with((3, "|", None, None, None, -1, -1, 0), "U99999999999"),
        dtype_with((3, "|", None, None, None, -1, -1, 0), "M8[s]"),
    ],
)
def test_no_dtype_makes_pointers_of_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(content)
    try:
        loaded = load_pickle(path)
    except InputError:
        return
    assert loaded.dtype == np.dtype("f8")
    assert loaded.tobytes() == b"A" * 24


def reconstructed(shape: Any, code: str, content: Any) -> bytes:
    class Array:
        def __reduce__(self) -> Any:
            make = np._core.multiarray._reconstruct
            return make, (np.ndarray, (0,), b"b"), (1, shape, np.dtype(code), False, content)

    return pickle.dumps(Array(), 2)


@pytest.mark.parametrize(
    "content",
    [
        reconstructed((10**12,), "i8", b"A" * 8),
        reconstructed((2**62, 4), "i8", b""),
        reconstructed((-1,), "i8", b"A" * 8),
        reconstructed(("3",), "i8", b"A" * 24),
        reconstructed((1,) * 33, "i8", b"A" * 8),
        reconstructed((2,), "O", [1]),
        reconstructed((10**12,), "O", []),
        reconstructed((3,), "?", b"\x00\x01\x02"),
        reconstructed((1,), "U1", b"\xff\xff\xff\xff"),
        pickle.dumps(Called(np._core.multiarray.scalar, np.dtype("O"), b"A" * 8), 2),
        pickle.dumps(Called(np._core.multiarray.scalar, np.dtype("i8"), b"A" * 4), 2),
        pickle.dumps(Called(np._core.numeric._frombuffer, b"A" * 8, np.dtype("O"), (1,), "C"), 2),
        pickle.dumps(Called(np.ndarray, (1,), np.dtype("O"), b"A" * 8), 2),
        pickle.dumps(Called(np._core.multiarray._reconstruct, np.memmap, (0,), b"b"), 2),
        pickle.dumps(Called(bytes, 10**12), 2),
        pickle.dumps(Called(bytearray, 10**12), 2),
        pickle.dumps(Called(set, range(10**12)), 2),
        b"\x80\x04r\xff\xff\xff\x7f.",  # LONG_BINPUT with nothing on the stack
        b"\x80\x04Nr\xff\xff\xff\x7f0.",
        b"\x80\x05\x96" + struct.pack("<Q", 1 << 40) + b".",  # BYTEARRAY8
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 40) + b".",  # BINBYTES8
        b"\x80\x04\x8b" + struct.pack("<i", 2**31 - 1) + b".",  # LONG4
        b"\x80\x02U\x01x.",
        b"(((((.",
        b"cnumpy\ndtype\n.",
        b"cnumpy\ndtype\n}b.",  # a state for a name
        b"cnumpy\ndtype\n)\x81.",  # NEWOBJ
        b"P1\n.",
        b"\x82\x01.",  # EXT1
        b"I" + b"9" * 5000 + b"\n.",
        b"",
        b".",
        b"N",
    ],
)
def test_hostile_programs_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pickle"
    path.write_bytes(content)
    try:
        loaded = load_pickle(path)
    except InputError:
        return
    assert content.startswith((b"\x80\x02U", b"\x80\x04Nr")), loaded
    assert loaded in ("x", None)


def laughs(levels: int) -> bytes:
    """Nested lists that repeat the previous one ten times: 10^levels values in a hundred bytes."""
    value: list[Any] = [1]
    for _ in range(levels):
        value = [value] * 10
    return pickle.dumps(value)


def test_small_files_do_not_stand_for_huge_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("diffbgm.datasets.plain_pickle.MOST_VALUES", 10_000)
    assert "more than 10000 values" in held(tmp_path / "a.pickle", laughs(30))
    deep: list[Any] = []
    for _ in range(300):
        deep = [deep]
    assert "levels" in held(tmp_path / "a.pickle", pickle.dumps(deep))
    round_trip: list[Any] = []
    round_trip.append(round_trip)
    assert "levels" in held(tmp_path / "a.pickle", pickle.dumps(round_trip))
    monkeypatch.setattr("diffbgm.datasets.unpickle.LARGEST", 1 << 20)
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", bytes(2 << 20))
    with pytest.raises(InputError, match="unpacks to more than"):
        load_npz(tmp_path / "bomb.npz")
    (tmp_path / "large.npy").write_bytes(bytes(2 << 20))
    with pytest.raises(InputError, match="more than the"):
        load_npy(tmp_path / "large.npy")


@pytest.mark.parametrize("header", ["(1000000000000,)", "(-1,)", "(2,)", "(True,)", "(1.5,)"])
@pytest.mark.parametrize("descr", ["'<f8'", "'|O'", "'<M8[s]'", "[('a', '<f8')]", "'<f8, <f8'"])
def test_headers_that_lie(tmp_path: Path, header: str, descr: str) -> None:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {header}, }}".ljust(117) + "\n"
    content = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + bytes(8)
    (tmp_path / "a.npy").write_bytes(content)
    with pytest.raises(InputError):
        load_npy(tmp_path / "a.npy")


def test_tensors(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"a": [torch.eye(3)]}, path)
    assert torch.equal(load_torch(path)["a"][0], torch.eye(3))
    torch.save(torch.zeros(1).expand(10**12), path)
    with pytest.raises(InputError, match="larger than the file"):
        load_torch(path)
    torch.save(torch.eye(3).to_sparse(), path)
    with pytest.raises(InputError, match="not dense|damaged|more than a tensor"):
        load_torch(path)
    torch.save(torch.empty(10**12, device="meta"), path)
    with pytest.raises(InputError, match="not dense"):
        load_torch(path)
    torch.save(torch.zeros(1 << 16), path)
    with zipfile.ZipFile(path) as archive, zipfile.ZipFile(tmp_path / "b.pth", "w", zipfile.ZIP_DEFLATED) as packed:
        for name in archive.namelist():
            packed.writestr(name, archive.read(name))
    with pytest.raises(InputError, match="unpacks to more than its size"):
        load_torch(tmp_path / "b.pth")


def test_the_header_of_python_2_is_read_without_a_warning(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    buffer = io.BytesIO()
    np.save(buffer, np.eye(2))
    old = buffer.getvalue().replace(b"(2, 2), }  ", b"(2L, 2L), }")
    (tmp_path / "old.npy").write_bytes(old)
    assert b"2L" in old
    np.testing.assert_array_equal(load_npy(tmp_path / "old.npy"), np.eye(2))
    assert not list(recwarn)
