"""Write files that are either complete or absent: all writers of this project use `atomic` or `staged`.

A temporary file is named after the process that writes it (`.NAME.HOST-PID-XXXXXXXX`), so that `sweep` can remove the
files of killed processes. System errors during writing become an InputError here.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import socket
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from diffbgm.errors import InputError

LARGEST_TEXT = 1 << 40  # bytes; larger files are not examined
BEGINNING = 1 << 16  # characters of a file that are examined
STALE = 24 * 3600  # seconds after which unfinished files of another machine count as abandoned
JOURNAL = "journal"  # a file in a staging folder whose results are being moved
GONE = "-"  # marks the ending of an old file without a successor in a journal
_MARK = re.compile(r"^\..*?([0-9a-f]{6})-(\d+)-[0-9a-f]{8}(\..*)?$")


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def mark() -> str:
    """A unique part of a file name that identifies the process."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Turn system errors inside into an InputError that says that `path` cannot be written."""
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"cannot write {path}: {reason}; choose a folder that can be written and has room") from error


def writable_folder(path: str | Path) -> Path:
    """Create a folder if needed, and remove files that killed processes left. Raises InputError if not writable."""
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{mark()}"
        probe.touch()
        probe.unlink()
    sweep(path)
    return path


def regular(path: str | Path, most: int) -> Path:
    """The path, if it is a regular file of at most `most` bytes, which can be read to its end.

    Raises InputError if it is missing, unreadable, larger, or a folder, pipe, socket or device.
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
    try:
        os.close(os.open(path, os.O_RDONLY))  # libraries report unreadable files as missing
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check who may read it") from error
    return path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it to `path` on success, remove it on failure.

    Raises InputError if the folder cannot be created or written, or if the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{_short(path.stem, 64)}.{mark()}{path.suffix[:32]}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers replace it by a private file (0600)
            os.replace(temporary, path)
    finally:
        with _whatever():
            temporary.unlink(missing_ok=True)


def not_foreign(path: Path, ours: Callable[[str], bool]) -> None:
    """Raise InputError if `path` exists and `ours`, given the beginning of its text, does not recognise it."""
    if not path.exists() and not path.is_symlink():
        return
    try:
        with open(regular(path, LARGEST_TEXT), encoding="utf-8") as file:
            known = ours(file.read(BEGINNING))
    except (InputError, OSError, ValueError):
        known = False
    if not known:
        raise InputError(f"{path} is not ours, and would be replaced; move it away or choose another out=")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A lock on a folder, for files that several processes write."""
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON atomically. Text that is not valid UTF-8 is escaped."""
    with atomic(path) as temporary:
        temporary.write_bytes(json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """JSON as UTF-8; non-ASCII text is escaped only if it is not valid UTF-8."""
    try:
        return json.dumps(value, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode()


class Staging:
    """A hidden folder for the files of one name: `staging / "mid"` is the temporary place of NAME.mid."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, suffix: str) -> Path:
        return self.folder / f"staged.{suffix}"

    def endings(self) -> list[str]:
        """The endings of the files written so far, sorted."""
        return sorted(file.name.removeprefix("staged.") for file in self.folder.glob("staged.*"))


@contextmanager
def staged(out: str | Path, name: str, old: Collection[str] = ()) -> Iterator[Staging]:
    """Yield a `Staging`; move all its files to out/NAME.* at the end, or delete them after an exception.

    The json is moved last, as it marks a complete set. `old`: the endings of an earlier set, which is removed while the
    new one is moved in, and restored if the move fails. Raises InputError if `out` cannot be written, and if a file
    that does not belong to the old set would be replaced.
    """
    out = Path(out)
    folder = (out / name).parent
    staging = Staging(folder / f".making.{mark()}")
    with writing(folder):
        staging.folder.mkdir(parents=True)
    try:
        with writing(folder / Path(name).name):
            yield staging
            _move(staging.folder, folder, Path(name).name, old)
    finally:
        shutil.rmtree(staging.folder, ignore_errors=True)


def _move(staging: Path, folder: Path, name: str, old: Collection[str]) -> None:
    """Replace the old set by staged.* as folder/NAME.*, or leave the folder unchanged if that fails."""
    new = sorted(Staging(staging).endings(), key=lambda ending: ending == "json")
    for ending in new:
        target = folder / f"{name}.{ending}"
        if target.is_dir():
            raise InputError(f"{target} is a folder, where a result belongs; move it away or choose another out=")
        if ending not in old and os.path.lexists(target):
            raise InputError(f"{target} is not ours, and would be replaced; move it away or choose another out=")
    gone = [ending for ending in old if ending not in new]
    (staging / JOURNAL).write_bytes(os.fsencode("\n".join([name, *new, *(GONE + ending for ending in gone)])))
    try:
        for ending in [*reversed(new), *gone]:
            target = folder / f"{name}.{ending}"
            if os.path.lexists(target) and not target.is_dir():
                os.replace(target, staging / f"old.{ending}")
        for ending in new:
            os.replace(staging / f"staged.{ending}", folder / f"{name}.{ending}")
    except BaseException:
        _move_back(staging, folder)
        raise
    (staging / JOURNAL).unlink()


def _move_back(staging: Path, folder: Path) -> None:
    """Undo an incomplete move."""
    name, *endings = os.fsdecode((staging / JOURNAL).read_bytes()).split("\n")
    for ending in endings:
        plain = ending.removeprefix(GONE)
        target, old, new = folder / f"{name}.{plain}", staging / f"old.{plain}", staging / f"staged.{plain}"
        if not os.path.lexists(new) and plain == ending:
            target.unlink(missing_ok=True)
        if os.path.lexists(old):
            os.replace(old, target)


def sweep(folder: Path) -> None:
    """Remove unfinished files of ended processes from a folder (not its subfolders); undo their incomplete moves."""
    try:
        left = [entry for entry in os.scandir(folder) if entry.name.startswith(".") and _left_behind(entry)]
    except OSError:
        return
    for entry in left:
        path = Path(entry.path)
        with _whatever():
            if entry.is_dir(follow_symlinks=False):
                if (path / JOURNAL).is_file():
                    _move_back(path, Path(folder))
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)


def _left_behind(entry: os.DirEntry[str]) -> bool:
    found = _MARK.match(entry.name)
    if found is None:
        return False
    if found[1] != _host():
        try:
            return time.time() - entry.stat(follow_symlinks=False).st_mtime > STALE
        except OSError:
            return False
    return not alive(int(found[2]))


def alive(pid: int) -> bool:
    """Whether a process with this id runs on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _whatever() -> Iterator[None]:
    """Ignore errors while cleaning up, so that they do not hide the original one."""
    with suppress(OSError):
        yield


def _short(text: str, most: int) -> str:
    """A name shortened to at most `most` bytes."""
    return os.fsencode(text)[:most].decode(errors="ignore")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file, read in chunks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
