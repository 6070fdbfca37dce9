"""Read arrays, pickles and tensors from untrusted files without running any of their code.

A pickle is a program: it names functions and calls them. `plain_pickle.py` reads that program as data. This module
reads the files around it: pickles, .npy and .npz files with arrays of objects, and files of torch.save.
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
    """The content of a pickle file. With `trust`, it is loaded by the standard unpickler, which can run code.

    Raises InputError if it is damaged or, unless trusted, holds more than plain values and arrays.
    """
    return _opened(path, lambda file: _load(file, trust))


def load_npz(path: str | Path, trust: bool = False) -> dict[str, np.ndarray]:
    """The arrays of an .npz by name, including object arrays. Raises InputError as `load_pickle` does."""

    def read(file: IO[bytes]) -> dict[str, np.ndarray]:
        with zipfile.ZipFile(file) as archive:
            if sum(member.file_size for member in archive.infolist()) > LARGEST:
                raise Refused(f"unpacks to more than {LARGEST} bytes")
            members = {Path(name).stem: archive.read(name) for name in archive.namelist()}
        return {name: _array(io.BytesIO(content), len(content), trust) for name, content in members.items()}

    return _opened(path, read)


def load_npy(path: str | Path, trust: bool = False) -> np.ndarray:
    """The array of an .npy, including object arrays. Raises InputError as `load_pickle` does."""
    return _opened(path, lambda file: _array(file, Path(path).stat().st_size, trust))


def load_torch(path: str | Path) -> Any:
    """The content of a torch.save file, tensors in lists and dicts, read by torch's restricted unpickler.

    Raises InputError if it is damaged or holds anything else, and for views that repeat memory, tensors without memory,
    and archives that unpack to more than their size.
    """
    size = regular(path, 16 * LARGEST).stat().st_size
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                if sum(member.file_size for member in archive.infolist()) > size:
                    raise InputError(f"{path} unpacks to more than its size: it was not loaded; fetch it again")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # torch warns of pickles that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except pickle.UnpicklingError as error:
        asked = re.search(r"GLOBAL (\S+)", str(error))
        reason = (
            f"it asks for {asked[1]}, which is not a tensor" if asked else "it holds more than tensors, or is damaged"
        )
        raise InputError(f"{path} was not loaded: {reason}; fetch it again") from error
    except Exception as error:  # a damaged file fails anywhere in torch's reader, with any exception
        raise InputError(
            f"{path} was not loaded: it is damaged, truncated or not a PyTorch file ({type(error).__name__}); "
            "fetch it again"
        ) from error
    for tensor in _tensors(content):
        dense = tensor.layout is torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
        if not dense or tensor.numel() * tensor.element_size() > size:
            raise InputError(f"{path} holds a tensor that is larger than the file, or not dense: fetch it again")
    return content


def load_torch_arrays(path: str | Path) -> Any:
    """Numpy arrays and plain values written by torch.save or pickle. Raises InputError as `load_pickle` does."""

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
    """Call `read` with the open file and turn every failure into an InputError of one sentence."""
    regular(path, LARGEST)
    try:
        with open(path, "rb") as file, warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # numpy warns of headers that Python 2 wrote
            return read(file)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    except Refused as error:
        raise InputError(f"{path} {error}: it was not loaded; fetch it again") from error
    except Foreign as error:
        raise InputError(
            f"{path} {error}, which is not an array or a plain value: it was not loaded; "
            "if you trust its author, data.trust_pickles=true loads it anyway"
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
