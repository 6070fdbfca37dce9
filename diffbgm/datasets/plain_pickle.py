"""Read a pickle as data: its opcodes are interpreted here with a short list of known names, and nothing is called.

`read_pickle` interprets the program with its own stack. It knows the names with which numpy describes an array, and
builds each array in Python from a dtype on a fixed list and the bytes in the file or, for an array of objects, from a
list. No name in the file is ever looked up, so numpy's constructors, which trust their input, never run.
"""

import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import IO, Any

import numpy as np

LARGEST = 2 << 30  # bytes of a file, or of an unpacked archive
MOST_VALUES = 20_000_000  # in one pickle; a value that is referred to twice counts twice
DEEPEST = 100  # levels of nested containers
DTYPES = frozenset("b1 i1 i2 i4 i8 u1 u2 u4 u8 f2 f4 f8".split())
_NUMPY_MODULES = frozenset(
    f"numpy{part}" for part in ("", ".core.multiarray", "._core.multiarray", ".core.numeric", "._core.numeric")
)
_BUILTINS = frozenset(("builtins", "__builtin__"))


def read_pickle(file: IO[bytes]) -> Any:
    """The content of a pickle: plain values and numpy arrays.

    Raises Foreign for a pickle that needs any other name, Refused for one that is too large, and any other exception
    for a damaged one.
    """
    return _finished(_Reader().read(file))


class Refused(Exception):
    """The file claims more than a genuine file of its kind can hold."""


class Foreign(Exception):
    """The file uses a name that is not on the list."""


@dataclass(frozen=True)
class _Name:
    """A known name met in a pickle; `_called` decides what a `REDUCE` of it gives."""

    name: str


@dataclass(eq=False)
class _Dtype:
    """numpy.dtype(code) as described in the file; its state adds the byte order."""

    code: str
    order: str = "="

    def numpy(self) -> np.dtype[Any]:
        order = "" if self.order in "|=" or self.code[:1] in "<>|=" else self.order
        return np.dtype(object) if self.code.lstrip("|") == "O8" else plain_dtype(order + self.code)


@dataclass(eq=False)
class _Array:
    """An array as described in the file; empty until its state is read."""

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
    # Escaped, so that text from the file cannot break the message or control the terminal.
    asked = ".".join(str(part)[:60].encode("unicode_escape").decode() for part in (module, name))
    raise Foreign(f"asks for {asked}")


def _called(name: Any, arguments: Any) -> Any:
    """The result of calling a known name. Raises ValueError for arguments that numpy does not write."""
    if not isinstance(name, _Name) or not isinstance(arguments, tuple):
        raise ValueError("this call does not make an array")
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
    """`BUILD`: set the state of an array or a dtype."""
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
    """Interprets the opcodes for plain values, known names and their calls."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def read(self, file: IO[bytes]) -> Any:
        """The object that the program leaves on the stack. Raises Foreign, or any other exception if damaged."""
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
            raise Foreign(f"uses {name}")

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
    """The value with its arrays built. It is walked as a tree, so that a small file cannot expand to a huge value."""
    budget = MOST_VALUES
    made: dict[int, Any] = {}  # by id, so that an array with two references is built once

    def walk(value: Any, depth: int) -> Any:
        nonlocal budget
        budget -= 1
        if budget < 0 or depth > DEEPEST:
            raise Refused(f"holds more than {MOST_VALUES} values, or more than {DEEPEST} levels")
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
    """The numpy array or scalar that the file describes."""
    if array.dtype is None:
        raise ValueError("an array without a state")
    dtype, count = array.dtype.numpy(), cells(array.shape)
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
        flat = flat_array(content, dtype)
    shaped = flat.reshape(array.shape, order="F" if array.fortran and not dtype.hasobject else "C")
    return shaped[()] if array.shape == () and not dtype.hasobject else shaped


def flat_array(content: bytes, dtype: np.dtype[Any]) -> np.ndarray:
    """A flat array from bytes. Raises ValueError for invalid booleans and characters."""
    array = np.frombuffer(content, dtype).copy()
    if dtype.kind == "b" and len(array) and array.view(np.uint8).max() > 1:
        raise ValueError("a boolean is 0 or 1")
    if dtype.kind == "U" and len(array) and array.view(f"{dtype.byteorder}u4").max() > 0x10FFFF:
        raise ValueError("there is no such character")
    return array


def cells(shape: tuple[int, ...]) -> int:
    """The number of cells of an array of this shape. Raises ValueError if it is not a valid shape."""
    count = 1
    for size in shape:
        if type(size) is not int or not 0 <= size <= LARGEST or len(shape) > 32:
            raise ValueError("not a shape")
        count *= size
    return count


def plain_dtype(code: str) -> np.dtype[Any]:
    """A dtype on the list, or text or bytes of fixed length. Raises ValueError for any other."""
    order, plain_code = (code[0], code[1:]) if code[:1] in ("<", ">", "|", "=") else ("", code)
    text = plain_code[:1] in ("U", "S") and plain_code[1:].isascii() and plain_code[1:].isdigit()
    if plain_code not in DTYPES and not (text and 0 < int(plain_code[1:]) <= 1 << 16):
        raise ValueError(f"dtype {code[:20]!r} is not read")
    return np.dtype(order + plain_code)
