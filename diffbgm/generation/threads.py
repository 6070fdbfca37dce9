"""Calls of the network side by side on a CPU: a thread a call, and one thread of torch in each.

Threads inside a call wait for each other at every layer, so that one busy core holds up all of them; whole calls wait
once a step. Each call computes on one thread whatever the number of threads, so the result is the same to the byte.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from threading import Lock

import torch
from torch import Tensor

from diffbgm.diffusion.longform import Calls


class _OneThread:
    """torch's number of threads for as long as calls run, in any thread of the process.

    The number belongs to the whole process (for new threads, and for MKL), so calls that overlap share one change of
    it: the first in notes the number, the last out restores it.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._before = Lock(), 0, 0

    def usual(self) -> int:
        """The number of threads while no calls run: the cores, or what OMP_NUM_THREADS says."""
        with self._lock:
            return self._before if self._inside else torch.get_num_threads()

    @contextmanager
    def held(self, pool: ThreadPoolExecutor) -> Iterator[None]:
        """One thread inside. A thread of `pool` sets it, as the number is also that of the thread that sets it."""
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
    """What makes up to `most` calls at a time on torch's threads of a CPU; on other devices one after the other."""
    if device.type != "cpu":
        yield map
        return
    with ThreadPoolExecutor(min(most, _one_thread.usual()), "window") as pool:

        def calls(call: Callable[[int], Tensor], items: Sequence[int]) -> Iterable[Tensor]:
            def alone(item: int) -> Tensor:
                torch.set_num_threads(1)  # of this thread, whose number is its own where torch does not use MKL
                return call(item)

            with _one_thread.held(pool):
                waiting = [pool.submit(alone, item) for item in items]
                try:
                    return [future.result() for future in waiting]
                finally:  # none sets a number after this, even where one has failed
                    for future in waiting:
                        future.cancel()
                    wait(waiting)

        yield calls
