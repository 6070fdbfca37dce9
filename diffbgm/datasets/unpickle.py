"""Reading pickles from elsewhere: only numpy arrays and plain Python values are built, and nothing is called.

A pickle names the functions that build its objects, and may name any function at all. Here a name outside a short list
is refused with an InputError, before anything of it is loaded.
"""

import io
import pickle
import zipfile
from pathlib import Path
from typing import IO, Any

import numpy as np

from diffbgm.errors import InputError

_BUILTINS = frozenset(
    "bool bytearray bytes complex dict float frozenset int list object range set slice str tuple".split()
)
_NUMPY = frozenset(
    "ndarray dtype _reconstruct scalar _frombuffer bool bool_ str_ int8 int16 int32 int64 uint8 uint16 uint32 uint64 "
    "float16 float32 float64".split()
)
_NUMPY_MODULES = frozenset(
    f"numpy{part}" for part in ("", ".core.multiarray", "._core.multiarray", ".core.numeric", "._core.numeric")
)


class _Plain(pickle.Unpickler):
    """An unpickler restricted to arrays and plain values."""

    def find_class(self, module: str, name: str) -> Any:
        plain = module in ("builtins", "__builtin__") and name in _BUILTINS
        if plain or (module in _NUMPY_MODULES and name in _NUMPY) or (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise InputError(f"asks for {module}.{name}")


def load_pickle(path: str | Path, trust: bool = False) -> Any:
    """What a pickle file holds. InputError where it is damaged or, unless trusted, asks for more than plain values."""
    try:
        with open(path, "rb") as file:
            return _load(file, trust)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    except Exception as error:  # a damaged pickle fails with any exception
        raise _refusal(path, error) from error


def load_npz(path: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, object arrays among them. InputError as in `load_pickle`."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {Path(name).stem: archive.read(name) for name in archive.namelist()}
        return {name: _array(io.BytesIO(content), trust) for name, content in members.items()}
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged archive or pickle fails with any exception
        raise _refusal(path, error) from error


def load_npy(path: str | Path, trust: bool = False) -> np.ndarray:
    """One array, of objects or not. InputError as in `load_pickle`."""
    try:
        with open(path, "rb") as file:
            return _array(file, trust)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Exception as error:  # a damaged array or pickle fails with any exception
        raise _refusal(path, error) from error


def _array(file: IO[bytes], trust: bool) -> np.ndarray:
    """One .npy member; an object array's pickle goes through the restricted unpickler."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    if not dtype.hasobject:
        file.seek(0)
        return np.lib.format.read_array(file, allow_pickle=False)
    return np.asarray(_load(file, trust)).reshape(shape)


def _load(file: IO[bytes], trust: bool) -> Any:
    return (pickle.Unpickler(file) if trust else _Plain(file)).load()


def _refusal(path: str | Path, error: Exception) -> InputError:
    if isinstance(error, InputError):
        return InputError(
            f"{path} {error}, which is no array or plain value: it was refused unread; "
            "data.trust_pickles=true loads it all the same, if you know who made it"
        )
    return InputError(f"{path} is damaged ({type(error).__name__}): fetch it again")
