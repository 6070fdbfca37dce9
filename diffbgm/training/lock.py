"""A lock that allows one training per folder; a second one gets an error that names the running process."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.files import writing

NAME = ".lock"


@contextmanager
def only_one(out: Path) -> Iterator[None]:
    """Hold the lock out/.lock, which contains the process id. The system releases it however the process ends.

    Raises InputError if another process holds it or the file cannot be written.
    """
    path = out / NAME
    handle = _locked(path)
    try:
        with writing(path):
            os.ftruncate(handle, 0)
            os.write(handle, f"{os.getpid()}\n".encode())
        try:
            yield
        finally:
            path.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _locked(path: Path) -> int:
    """A handle of the locked file. Raises InputError if another process holds the lock.

    A holder removes the file just before it releases the lock. A process that had opened the file before would then
    lock a file without a name, while a third one creates and locks a new file; so the file is opened again.
    """
    while True:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            holder = os.read(handle, 20).decode(errors="replace").strip() or "?"
            os.close(handle)
            raise InputError(
                f"process {holder} is training in {path.parent}; wait for it or stop it, or give another out="
            ) from error
        try:
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        except FileNotFoundError:
            pass
        os.close(handle)
