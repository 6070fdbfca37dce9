"""Run calls of the network in parallel on a CPU, each in a thread of its own and with one torch thread.

Threads inside a call wait for each other at every layer, so that one busy core delays all of them; separate calls wait
for each other only once per step. As each call uses one torch thread in any case, results are identical to the byte
whatever the number of threads.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor

from diffbgm.diffusion.longform import Calls


class _OneThread:
    """Sets torch to one thread while any calls run in this process.

    The number of threads is global (for new threads, and for MKL), so overlapping calls share one change of it: the
    first one saves the number, and the last one restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = Lock(), 0, 0

    def usual(self) -> int:
        """The number of torch threads while no calls run: that of the cores, or OMP_NUM_THREADS."""
        with self._lock:
            return self._before if self._inside else torch.get_num_threads()

    @contextmanager
    def held(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """Use one torch thread inside. It is set in a thread of `pool`, as that also affects the thread setting it."""
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
                pool.submit(torch.set_num_threads, 1).result()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    torch.set_num_threads(self._before)


_one_thread = _OneThread()


@contextmanager
def side_by_side(device: torch.device, most: int) -> Iterator[Calls]:
    """Yield a `map` that runs up to `most` calls in parallel on a CPU, and one after the other on other devices."""
    if device.type != "cpu":
        yield map
        return
    with ThreadPoolExecutor(min(most, _one_thread.usual()), "window") as pool:

        def calls(call: Callable[[int], Tensor], items: Sequence[int]) -> Iterable[Tensor]:
            def alone(item: int) -> Tensor:
                torch.set_num_threads(1)  # without MKL, each thread has a number of its own
                return call(item)

            with _one_thread.held(pool):
                waiting = [pool.submit(alone, item) for item in items]
                try:
                    return [future.result() for future in waiting]
                finally:  # wait for all, even after a failure, as they set the number of threads
                    for future in waiting:
                        future.cancel()
                    wait(waiting)

        yield calls
