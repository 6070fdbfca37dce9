"""Processes that work for another one and end with it."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Initializer of a process pool: where the process that made the pool is killed, this one ends, too.

    Without it workers would wait for ever: each holds the other end of the pipe that work comes through.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this process was started by a pool"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
