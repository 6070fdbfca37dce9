"""Reading arrays, pickles and tensors that others made: plain values and numpy arrays come out, nothing is ever run.

A pickle is a program: it names functions and calls them. `plain_pickle.py` reads that program as data. Here are the
files around it: pickles, .npy and .npz with arrays of objects, and what torch.save wrote.
"""

import io
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch

from diffbgm.datasets.plain_pickle import LARGEST, Foreign, Refused, cells, flat_array, plain_dtype, read_pickle
from diffbgm.errors import InputError
from diffbgm.files import regular


def load_pickle(path: str | Path, trust: bool = False) -> Any:
    """What a pickle file holds. InputError where it is damaged or, unless trusted, asks for more than plain values."""
    return _opened(path, lambda file: _load(file, trust))


def load_npz(path: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, object arrays among them. InputError as in `load_pickle`."""

    def read(file: IO[bytes]) -> dict[str, np.ndarray]:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise Refused(f"unpacks to more than {LARGEST} bytes")
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
                raise Refused(f"unpacks to more than {LARGEST} bytes")
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
    except Refused as error:
        raise InputError(f"{path} {error}: it was refused unread; fetch it again") from error
    except Foreign as error:
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
    count = cells(shape)
    if not dtype.hasobject:
        if plain_dtype(dtype.str) != dtype or count * dtype.itemsize != size - file.tell():
            raise Refused(f"has an array of {dtype} that its length does not fit")
        return flat_array(file.read(count * dtype.itemsize), dtype).reshape(shape, order="F" if fortran else "C")
    loaded = _load(file, trust)
    if not isinstance(loaded, np.ndarray) or loaded.size != count:
        raise Refused("has an array of objects that its header does not fit")
    return loaded.reshape(shape)


def _load(file: IO[bytes], trust: bool) -> Any:
    if trust:
        return pickle.Unpickler(file).load()
    return read_pickle(file)
