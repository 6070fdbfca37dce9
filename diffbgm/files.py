"""Files that are either whole or absent: every writer of this project goes through `atomic`."""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from diffbgm.errors import InputError


def writable_folder(path: str | Path) -> Path:
    """The folder, made if need be. Raises InputError where it cannot be made or written."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{os.getpid()}.{secrets.token_hex(4)}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise InputError(f"cannot write in {path}: {error.strerror}; choose a folder that can be written") from error
    return path


def regular(path: str | Path, most: int) -> Path:
    """The path of a plain file of at most `most` bytes, so that reading it ends.

    InputError for what is missing, larger, or a folder, pipe, socket or device.
    """
    path = Path(path)
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise InputError(f"there is no file {path}; check the name") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {path}: {reason}; check the name and who may read it") from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise InputError(f"{path} is {kind}, not a file; give a file")
    if status.st_size > most:
        raise InputError(f"{path} has {status.st_size} bytes, more than the {most} that such a file can have")
    return path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it to `path` on success, remove it on failure.

    Raises InputError where the folder cannot be made or written.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.stem[:64]}.{os.getpid()}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.touch()
        mode = temporary.stat().st_mode
    except OSError as error:
        reason = error.strerror or error
        raise InputError(f"cannot write {path}: {reason}; choose a folder that can be written") from error
    try:
        yield temporary
        temporary.chmod(mode)  # some writers put a private file (0600) in its place
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Staging:
    """A hidden folder for the files of one name: `staging / "mid"` is where NAME.mid is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, suffix: str) -> Path:
        return self.folder / f"staged.{suffix}"


@contextmanager
def staged(out: str | Path, name: str) -> Iterator[Staging]:
    """Yield a `Staging`; move what was made in it to out/NAME.* together, or after an exception remove it all.

    Raises InputError where `out` cannot be written.
    """
    out = writable_folder(out)
    staging = Staging(out / f".making.{os.getpid()}.{secrets.token_hex(4)}")
    staging.folder.mkdir()
    try:
        yield staging
        for file in sorted(staging.folder.iterdir()):
            target = out / f"{name}.{file.name.removeprefix('staged.')}"
            if target.is_dir():
                raise InputError(f"{target} is a folder, where a result belongs; move it away or choose another out=")
        for file in sorted(staging.folder.iterdir()):
            os.replace(file, out / f"{name}.{file.name.removeprefix('staged.')}")
    finally:
        shutil.rmtree(staging.folder, ignore_errors=True)


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
