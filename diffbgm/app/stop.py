"""Signals that end a run, and unexpected exceptions."""

import errno
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from diffbgm.errors import InputError

SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
DEBUG = "DIFFBGM_DEBUG"  # set by --debug; in the environment, so that launched jobs have it too

_ROOM, _RIGHTS = "make room, or choose a place that has it", "check who may read and write it, or choose another place"
OF_THE_SYSTEM = {  # what the system may answer to any file that is opened or written, and the remedy
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT, errno.EFBIG), _ROOM),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), _RIGHTS),
    errno.EMFILE: "allow more open files (ulimit -n), or give workers=1",
    errno.ENAMETOOLONG: "choose a shorter name",
}


class Stopped(BaseException):
    """A signal asked for the end of the run. `code` is the exit code that a shell expects."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped inside this context, once; a second signal ends the process at once."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, _: object) -> None:
        signal.signal(number, signal.SIG_DFL)
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def without_debug(words: Sequence[str]) -> list[str]:
    """The words of a command line without --debug, which makes unexpected exceptions show their traceback."""
    if "--debug" in words:
        os.environ[DEBUG] = "1"
    return [word for word in words if word != "--debug"]


def answered(work: Callable[[], int | None], what: str) -> int:
    """The exit code of a command's work: its own, 1 if it raises, after a sentence on stderr, or 130 after Ctrl-C."""
    try:
        return work() or 0
    except (SystemExit, GeneratorExit):
        raise
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Stopped as error:
        return error.code
    except BaseException as error:  # a Rust library's panic is no Exception
        cause = error.__cause__  # Hydra wraps what a `_target_` raises
        mistake = next((found for found in (error, cause) if isinstance(found, InputError)), None)
        sentence = str(mistake) if mistake is not None else unexpected(error, what)
        print(f"error: {sentence.encode(errors='backslashreplace').decode()}", file=sys.stderr)
        return 1


def unexpected(error: BaseException, what: str) -> str:
    """A sentence for an exception that is a defect, of ours or of a library; with --debug its traceback before it."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    reason = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError):
        return f"{what} needs more memory than there is; try it alone, or on a larger machine"
    if isinstance(error, OSError) and error.errno in OF_THE_SYSTEM:
        place = "" if error.filename is None else f" {error.filename}"
        return f"{what} cannot use{place}: {error.strerror}; {OF_THE_SYSTEM[error.errno]}"
    return f"{what} failed unexpectedly ({type(error).__name__}: {reason}); --debug shows where"
