"""The next batches are made in a background thread while the network works on this one."""

import queue
import threading
from collections.abc import Iterator
from typing import TypeVar

Item = TypeVar("Item")


def prefetch(items: Iterator[Item], depth: int = 2) -> Iterator[Item]:
    """The same items in the same order, up to `depth` of them made ahead. An error in the thread is raised here."""
    ready: queue.Queue = queue.Queue(depth)
    closed = threading.Event()
    end = object()

    def offer(item: object) -> None:
        while not closed.is_set():
            try:
                return ready.put(item, timeout=0.2)
            except queue.Full:
                continue

    def work() -> None:
        try:
            for item in items:
                offer(item)
                if closed.is_set():
                    return
            offer(end)
        except BaseException as error:
            offer(error)

    thread = threading.Thread(target=work, daemon=True, name="prefetch")
    thread.start()
    try:
        while (item := ready.get()) is not end:
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        thread.join()
