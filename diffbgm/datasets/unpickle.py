"""Reading arrays, pickles and tensors that others made: plain values and numpy arrays come out, nothing is ever run.

A pickle is a program: it names functions and calls them. `load_pickle` reads that program as data. It walks the
opcodes itself with a stack of its own, knows a short list of names (those with which numpy describes an array), and
builds each array in Python from a dtype on a fixed list and the bytes that follow, or, for an array of objects, from
the list that follows. No name of a file is looked up, so none of numpy's constructors, which trust their input, runs.
"""

import io
import pickle
import pickletools
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from diffbgm.errors import InputError
from diffbgm.files import regular

LARGEST = 2 << 30  # bytes of a file, or of what an archive unpacks to
MOST_VALUES = 20_000_000  # in one pickle, counted wherever they are reached from
DEEPEST = 100  # levels of lists in lists
DTYPES = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())
_NUMPY_MODULES = frozenset(
    f"numpy{part}" for part in ("", ".core.multiarray", "._core.multiarray", ".core.numeric", "._core.numeric")
)
_BUILTINS = frozenset(("builtins", "__builtin__"))


def load_pickle(path: str | Path, trust: bool = False) -> Any:
    """What a pickle file holds. InputError where it is damaged or, unless trusted, asks for more than plain values."""
    return _opened(path, lambda file: _load(file, trust))


def load_npz(path: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, object arrays among them. InputError as in `load_pickle`."""

    def read(file: IO[bytes]) -> dict[str, np.ndarray]:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise _Refused(f"unpacks to more than {LARGEST} bytes")
            members = {Path(name).stem: archive.read(name) for name in archive.namelist()}
        return {name: _array(io.BytesIO(content), len(content), trust) for name, content in members.items()}

    return _opened(path, read)


def load_npy(path: str | Path, trust: bool = False) -> np.ndarray:
    """One array, of objects or not. InputError as in `load_pickle`."""
    return _opened(path, lambda file: _array(file, Path(path).stat().st_size, trust))


def load_torch(path: str | Path) -> Any:
    """What a file of torch.save holds: tensors in lists and dicts, read by torch's own restricted unpickler.

    InputError where it is damaged or holds more. Each tensor is at most as large as the file says it is: views that
    repeat memory, tensors without memory and archives that unpack to more than their size are refused.
    """
    size = regular(path, 16 * LARGEST).stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > size:
                    raise InputError(f"{path} unpacks to more than its size: it was refused unread; fetch it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of pickles that torch goes on to refuse
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = (
            f"it asks for {asked[1]}, which is not a tensor" if asked else "it holds more than tensors, or is damaged"
        )
        raise InputError(f"{path} is refused unread: {reason}; fetch it again") from error
    except Exception as error:  # a damaged file fails anywhere in torch's reader, with any exception
        raise InputError(
            f"{path} is refused unread: it is damaged, cut short or not a PyTorch file ({type(error).__name__}); "
            "fetch it again"
        ) from error
    for tensor in _tensors(content):
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not dense or tensor.numel() * tensor.element_size() > size:
            raise InputError(f"{path} holds a tensor that is larger than the file, or not dense: fetch it again")
    return content


def load_torch_arrays(path: str | Path) -> Any:
    """What torch.save or pickle wrote, where that was numpy arrays and plain values. InputError as in `load_pickle`."""

    def read(file: IO[bytes]) -> Any:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            return _load(file, trust=False)
        with zipfile.ZipFile(file) as archive:
            (program,) = [member for member in archive.infolist() if member.filename.rpartition("/")[2] == "data.pkl"]
            if program.file_size > LARGEST:
                raise _Refused(f"unpacks to more than {LARGEST} bytes")
            return _load(io.BytesIO(archive.read(program)), trust=False)

    return _opened(path, read)


def _tensors(content: Any, depth: int = 8) -> Iterator[torch.Tensor]:
    if isinstance(content, torch.Tensor):
        yield content
    elif depth and isinstance(content, dict | list | tuple):
        for item in content.values() if isinstance(content, dict) else content:
            yield from _tensors(item, depth - 1)


def _opened(path: str | Path, read: Callable[[IO[bytes]], Any]) -> Any:
    """`read` of an open file, its failures as one sentence."""
    regular(path, LARGEST)
    try:
        with open(path, "rb") as file:
            return read(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except _Refused as error:
        raise InputError(f"{path} {error}: it was refused unread; fetch it again") from error
    except _Foreign as error:
        raise InputError(
            f"{path} {error}, which is not an array or a plain value: it was refused unread; "
            "data.trust_pickles=true loads it all the same, if you know who made it"
        ) from error
    except Exception as error:  # a damaged file fails with any exception
        raise InputError(f"{path} is damaged ({type(error).__name__}): fetch it again") from error


def _array(file: IO[bytes], size: int, trust: bool) -> np.ndarray:
    """One .npy member of `size` bytes; the pickle of an object array is read as data."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    count = _count(shape)
    if not dtype.hasobject:
        if _dtype(dtype.str) != dtype or count * dtype.itemsize != size - file.tell():
            raise _Refused(f"has an array of {dtype} that its length does not fit")
        return _from_bytes(file.read(count * dtype.itemsize), dtype).reshape(shape, order="F" if fortran else "C")
    loaded = _load(file, trust)
    if not isinstance(loaded, np.ndarray) or loaded.size != count:
        raise _Refused("has an array of objects that its header does not fit")
    return loaded.reshape(shape)


def _load(file: IO[bytes], trust: bool) -> Any:
    if trust:
        return pickle.Unpickler(file).load()
    return _finished(_Reader().read(file))


class _Refused(Exception):
    """More than such a file can honestly hold."""


class _Foreign(Exception):
    """A name that is not on the list."""


@dataclass(frozen=True)
class _Name:
    """A name of the list, met in a pickle; what `REDUCE` makes of it is decided in `_called`."""

    name: str


@dataclass(eq=False)
class _Dtype:
    """numpy.dtype(code) as the file describes it; its state adds the byte order."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        order = "" if self.order in "|=" or self.code[:1] in "<>|=" else self.order
        return np.dtype(object) if self.code.lstrip("|") == "O8" else _dtype(order + self.code)


@dataclass(eq=False)
class _Array:
    """An array as the file describes it: empty until its state comes."""

    shape: tuple[int, ...] = (0,)
    dtype: _Dtype | None = None
    fortran: bool = False
    content: Any = field(default=b"")  # bytes, or the list of an array of objects


class _Mark:
    pass


def _named(module: Any, name: Any) -> _Name:
    if module in _BUILTINS and name in ("bytes", "bytearray", "set", "frozenset", "complex"):
        return _Name(str(name))
    if module in _NUMPY_MODULES and name in ("ndarray", "dtype", "_reconstruct", "scalar", "_frombuffer"):
        return _Name(str(name))
    if (module, name) == ("_codecs", "encode"):
        return _Name("encode")
    # As escapes, so that what a file says cannot break the sentence or write to the terminal.
    asked = ".".join(str(part)[:60].encode("unicode_escape").decode() for part in (module, name))
    raise _Foreign(f"asks for {asked}")


def _called(name: Any, arguments: Any) -> Any:
    """What a name of the list stands for with these arguments. ValueError for arguments that numpy does not write."""
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise ValueError("this is not a call that arrays are made with")
    match name.name, arguments:
        case "encode", (str(text), "latin1" | "latin-1"):
            return text.encode("latin-1")
        case (("bytes" | "bytearray"), ()):
            return b""
        case (("bytes" | "bytearray"), (bytes(content),)):
            return content
        case "bytearray", (str(text), "latin-1"):
            return text.encode("latin-1")
        case "set", (list(items),):
            return set(items)
        case "frozenset", (list(items),):
            return frozenset(items)
        case "complex", (float(real), float(imaginary)):
            return complex(real, imaginary)
        case "dtype", (str(code), *_):
            return _Dtype(code)
        case "_reconstruct", (_Name("ndarray"), (0,), _):
            return _Array()
        case "scalar", (_Dtype() as dtype, bytes(content)):
            return _Array((), dtype, False, content)
        case "_frombuffer", (bytes(content), _Dtype() as dtype, tuple(shape), str(order)):
            return _Array(shape, dtype, order == "F", content)
    raise ValueError(f"{name.name} is not called like this")


def _given_state(target: Any, state: Any) -> None:
    """`BUILD`: the second half of an array or a dtype."""
    if isinstance(target, _Dtype) and isinstance(state, tuple) and len(state) >= 8:
        _, order, subdtype, names, fields = state[:5]
        if order not in ("<", ">", "|", "=") or (subdtype, names, fields) != (None, None, None):
            raise ValueError("only dtypes of one plain type are read")
        target.order = order
    elif isinstance(target, _Array) and target.dtype is None and isinstance(state, tuple) and len(state) == 5:
        _, shape, dtype, fortran, content = state
        if not isinstance(shape, tuple) or not isinstance(dtype, _Dtype):
            raise ValueError("this is not the state of an array")
        target.shape, target.dtype, target.fortran, target.content = shape, dtype, bool(fortran), content
    else:
        raise ValueError("only arrays and dtypes have a state")


class _Reader:
    """The opcodes of plain values, names on the list and their calls, on a stack of our own."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        """The object that the program leaves. Raises _Foreign, or any other exception for a damaged one."""
        for opcode, argument, _ in pickletools.genops(file):
            if opcode.name == "STOP":
                (value,) = self.stack
                return value
            self._step(opcode.name, argument)
        raise ValueError("the pickle has no end")

    def _step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _LITERALS:
            stack.append(bytes(argument) if isinstance(argument, bytearray) else argument)
        elif name in _EMPTY:
            stack.append(_EMPTY[name]())
        elif name in _FROM_MARK:
            stack.append(_FROM_MARK[name](self._to_mark()))
        elif name in _INTO:
            items = self._to_mark() if name.endswith("S") else [stack.pop() for _ in range(_INTO[name])][::-1]
            _add(stack[-1], items)
        elif name in ("TUPLE1", "TUPLE2", "TUPLE3"):
            count = int(name[-1])
            stack[-count:] = [tuple(stack[-count:])]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(self.memo[int(argument)])
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            self.memo[int(argument)] = stack[-1]
        elif name == "MEMOIZE":
            self.memo[len(self.memo)] = stack[-1]
        elif name == "MARK":
            stack.append(_Mark)
        elif name in ("POP", "POP_MARK"):
            stack.pop() if name == "POP" else self._to_mark()
        elif name == "GLOBAL":
            stack.append(_named(*argument.split(" ", 1)))
        elif name == "STACK_GLOBAL":
            attribute, module = stack.pop(), stack.pop()
            stack.append(_named(module, attribute))
        elif name == "REDUCE":
            arguments, called = stack.pop(), stack.pop()
            stack.append(_called(called, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _given_state(stack[-1], state)
        elif name not in ("PROTO", "FRAME"):
            raise _Foreign(f"uses {name}")

    def _to_mark(self) -> list[Any]:
        items = []
        while (item := self.stack.pop()) is not _Mark:
            items.append(item)
        return items[::-1]


def _add(target: Any, items: list[Any]) -> None:
    if type(target) is dict:
        target.update(zip(items[::2], items[1::2], strict=True))
    elif type(target) is set:
        target.update(items)
    elif type(target) is list:
        target.extend(items)
    else:
        raise ValueError("items can only be added to a list, a set or a dict")


_CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_LITERALS = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING BINBYTES "
    "SHORT_BINBYTES BINBYTES8 UNICODE BINUNICODE SHORT_BINUNICODE BINUNICODE8 BYTEARRAY8".split()
)
_EMPTY: dict[str, Callable[[], Any]] = {"EMPTY_LIST": list, "EMPTY_TUPLE": tuple, "EMPTY_DICT": dict, "EMPTY_SET": set}
_FROM_MARK: dict[str, Callable[[list[Any]], Any]] = {
    "LIST": list,
    "TUPLE": tuple,
    "FROZENSET": frozenset,
    "DICT": lambda items: dict(zip(items[::2], items[1::2], strict=True)),
}
_INTO = {"APPEND": 1, "APPENDS": 0, "SETITEM": 2, "SETITEMS": 0, "ADDITEMS": 0}


def _finished(value: Any) -> Any:
    """The value with its arrays made; walked as a tree, so that a small file cannot stand for a huge value."""
    budget = MOST_VALUES
    made: dict[int, Any] = {}  # an array that is reached twice is made once

    def walk(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > DEEPEST:
            raise _Refused(f"holds more than {MOST_VALUES} values, or more than {DEEPEST} levels")
        if isinstance(value, list | tuple | set | frozenset):
            return type(value)([walk(item, depth + 1) for item in value])
        if isinstance(value, dict):
            return {walk(key, depth + 1): walk(item, depth + 1) for key, item in value.items()}
        if isinstance(value, _Array):
            if id(value) not in made:
                made[id(value)] = _made(value, lambda item: walk(item, depth + 1))
            return made[id(value)]
        if isinstance(value, _Name | _Dtype) or value is _Mark:
            raise ValueError("a name is not a value")
        return value

    return walk(value, 0)


def _made(array: _Array, walk: Callable[[Any], Any]) -> Any:
    """The numpy array, or the scalar, that was described."""
    if array.dtype is None:
        raise ValueError("an array without a state")
    dtype, count = array.dtype.numpy(), _count(array.shape)
    content = array.content.encode("latin-1") if isinstance(array.content, str) else array.content  # Python 2
    if dtype.hasobject:
        if not isinstance(content, list) or len(content) != count:
            raise ValueError("an array of objects needs a list as long as itself")
        flat = np.empty(count, object)
        for index, item in enumerate(content):
            flat[index] = walk(item)
    else:
        if not isinstance(content, bytes) or len(content) != count * dtype.itemsize:
            raise ValueError("an array needs as many bytes as its shape says")
        flat = _from_bytes(content, dtype)
    shaped = flat.reshape(array.shape, order="F" if array.fortran and not dtype.hasobject else "C")
    return shaped[()] if array.shape == () and not dtype.hasobject else shaped


def _from_bytes(content: bytes, dtype: np.dtype[Any]) -> np.ndarray:
    """A flat array. ValueError for truth values and characters that do not exist."""
    array = np.frombuffer(content, dtype).copy()
    if dtype.kind == "b" and len(array) and array.view(np.uint8).max() > 1:
        raise ValueError("a truth value is 0 or 1")
    if dtype.kind == "U" and len(array) and array.view(f"{dtype.byteorder}u4").max() > 0x10FFFF:
        raise ValueError("there is no such character")
    return array


def _count(shape: tuple[int, ...]) -> int:
    """Cells of an array of this shape. ValueError for what is not a shape."""
    count = 1
    for size in shape:
        if type(size) is not int or not 0 <= size <= LARGEST or len(shape) > 32:
            raise ValueError("not a shape")
        count *= size
    return count


def _dtype(code: str) -> np.dtype[Any]:
    """A dtype of the list, or text or bytes of a fixed length. ValueError for any other."""
    order, plain_code = (code[0], code[1:]) if code[:1] in ("<", ">", "|", "=") else ("", code)
    text = plain_code[:1] in ("U", "S") and plain_code[1:].isascii() and plain_code[1:].isdigit()
    if plain_code not in DTYPES and not (text and 0 < int(plain_code[1:]) <= 1 << 16):
        raise ValueError(f"dtype {code[:20]!r} is not read")
    return np.dtype(order + plain_code)
