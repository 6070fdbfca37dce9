"""Files that are either whole or absent: every writer of this project goes through `atomic` or `staged`.

A temporary file is named after the process that writes it (`.NAME.HOST-PID-XXXXXXXX`), so that `sweep` can remove what
a killed process left behind. Every error of the system while something is written becomes one sentence here.
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

LARGEST_TEXT = 1 << 40  # bytes of a file of ours whose beginning is looked at
BEGINNING = 1 << 16  # characters
STALE = 24 * 3600  # seconds after which what another machine left unfinished counts as left behind
JOURNAL = "journal"  # in a staging folder: its files are being moved
GONE = "-"  # in a journal before the ending of a file that has no successor
_MARK = re.compile(r"^\..*?([0-9a-f]{6})-(\d+)-[0-9a-f]{8}(\..*)?$")


def _host() -> str:
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:6]


def mark() -> str:
    """A part of a name that is used once, and says which process uses it."""
    return f"{_host()}-{os.getpid()}-{secrets.token_hex(4)}"


@contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """InputError where the system refuses something that has to do with writing `path`."""
    try:
        yield
    except (OSError, UnicodeEncodeError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(f"cannot write {path}: {reason}; choose a folder that can be written and has room") from error


def writable_folder(path: str | Path) -> Path:
    """The folder, made if need be, without what killed processes left. InputError where it cannot be written."""
    path = Path(path)
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
        probe = path / f".probe.{mark()}"
        probe.touch()
        probe.unlink()
    sweep(path)
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
    try:
        os.close(os.open(path, os.O_RDONLY))  # libraries take what they may not read for missing
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; check who may read it") from error
    return path


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` (same suffix); rename it to `path` on success, remove it on failure.

    Raises InputError where the folder cannot be made or written, or the disk is full.
    """
    path = Path(path)
    temporary = path.with_name(f".{_short(path.stem, 64)}.{mark()}{path.suffix[:32]}")
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            temporary.touch()
            mode = temporary.stat().st_mode
            yield temporary
            temporary.chmod(mode)  # some writers put a private file (0600) in its place
            os.replace(temporary, path)
    finally:
        with _whatever():
            temporary.unlink(missing_ok=True)


def not_foreign(path: Path, ours: Callable[[str], bool]) -> None:
    """InputError where a file lies at `path` that `ours`, given its beginning, does not know as one that we wrote."""
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
    """One process at a time writes what the folder has once."""
    with writing(folder):
        handle = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def write_json(path: str | Path, value: Any) -> None:
    """Write JSON, atomically. Names that are not UTF-8 are kept as escapes."""
    with atomic(path) as temporary:
        temporary.write_bytes(json_bytes(value))


def json_bytes(value: Any) -> bytes:
    """JSON as UTF-8, readable where it can be."""
    try:
        return json.dumps(value, indent=1, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return json.dumps(value, indent=1).encode()


class Staging:
    """A hidden folder for the files of one name: `staging / "mid"` is where NAME.mid is made."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, suffix: str) -> Path:
        return self.folder / f"staged.{suffix}"

    def endings(self) -> list[str]:
        """Those of the files that were made so far, sorted."""
        return sorted(file.name.removeprefix("staged.") for file in self.folder.glob("staged.*"))


@contextmanager
def staged(out: str | Path, name: str, old: Collection[str] = ()) -> Iterator[Staging]:
    """Yield a `Staging`; move what was made in it to out/NAME.* as a whole, or after an exception remove it all.

    The json comes last: it is the mark of a complete set. `old`: the endings of an earlier set, which is removed as the
    new one is moved in, and put back where the move cannot be finished. Raises InputError where `out` cannot be
    written, and where a file that is not of the old set would be replaced.
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
    """Move staged.* to folder/NAME.* in place of the old set, or leave the folder as it was."""
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
    """Undo a move that was begun."""
    name, *endings = os.fsdecode((staging / JOURNAL).read_bytes()).split("\n")
    for ending in endings:
        plain = ending.removeprefix(GONE)
        target, old, new = folder / f"{name}.{plain}", staging / f"old.{plain}", staging / f"staged.{plain}"
        if not os.path.lexists(new) and plain == ending:
            target.unlink(missing_ok=True)
        if os.path.lexists(old):
            os.replace(old, target)


def sweep(folder: Path) -> None:
    """Remove what processes that are no more have left unfinished directly in a folder; undo moves that they began."""
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
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


@contextmanager
def _whatever() -> Iterator[None]:
    """Tidying up never hides what went wrong before it."""
    with suppress(OSError):
        yield


def _short(text: str, most: int) -> str:
    """At most so many bytes of a name."""
    return os.fsencode(text)[:most].decode(errors="ignore")


def sha256(path: str | Path) -> str:
    """Hexadecimal SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()
