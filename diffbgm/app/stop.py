"""Signals that end a run, and exceptions that nobody expected."""

import os
import signal
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

SIGNALS = [signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
DEBUG = "DIFFBGM_DEBUG"  # set by --debug; in the environment, so that launched jobs have it too


class Stopped(BaseException):
    """A signal asked for the end of the run. `code` is the exit code that a shell expects."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.code = 128 + number


@contextmanager
def stoppable() -> Iterator[None]:
    """SIGTERM and SIGHUP raise Stopped inside, once; a second one ends the process at once."""
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


def unexpected(error: BaseException, what: str) -> str:
    """A sentence for an exception that is a defect, of ours or of a library; with --debug its traceback before it."""
    if os.environ.get(DEBUG):
        traceback.print_exception(error)
    reason = " ".join(str(error).split())[:200]
    if isinstance(error, MemoryError):
        return f"{what} needs more memory than there is; try it alone, or on a larger machine"
    return f"{what} failed unexpectedly ({type(error).__name__}: {reason}); --debug shows where"
