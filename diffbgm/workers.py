"""Worker processes that end with their parent."""

import multiprocessing
import os
import threading


def end_with_parent() -> None:
    """Initializer of a process pool: if the process that created the pool is killed, the worker exits, too.

    Without it, workers would wait forever, as each of them also holds the other end of the pipe it receives work from.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None, "this process was started by a pool"

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="end with parent").start()
