"""Compute items ahead of time in a background thread, such as decoded frames and training batches."""

import queue
import threading
import time
from collections.abc import Generator, Iterator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Prefetched(Generic[T]):
    """The items of an iterator in the same order, with up to `depth` of them computed ahead.

    An error in the thread is raised by the iteration; leaving the iteration early ends the thread. `waited` is the time
    in seconds that the reader has spent waiting for items.
    """

    def __init__(self, items: Iterator[T], depth: int = 2) -> None:
        self.waited = 0.0
        self._ready: queue.Queue[tuple[bool, Any]] = queue.Queue(depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(items,), daemon=True, name="prefetch")
        self._thread.start()

    def _work(self, items: Iterator[T]) -> None:
        try:
            for item in items:
                if not self._put((True, item)):
                    return
            self._put((False, None))
        except BaseException as error:
            self._put((False, error))

    def _put(self, entry: tuple[bool, Any]) -> bool:
        while not self._stop.is_set():
            try:
                self._ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Generator[T, None, None]:
        try:
            while True:
                start = time.perf_counter()
                more, item = self._ready.get()
                self.waited += time.perf_counter() - start
                if not more:
                    if item is not None:
                        raise item
                    return
                yield item
        finally:
            self._stop.set()
            self._thread.join()
