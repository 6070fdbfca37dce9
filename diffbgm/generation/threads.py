"""Calls of the network side by side on a CPU: a thread a call, and one thread of torch in each.

Threads inside a call wait for each other at every layer, so that one busy core holds up all of them; whole calls wait
once a step. Each call computes on one thread whatever the number of threads, so the result is the same to the byte.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import torch
from torch import Tensor

from diffbgm.diffusion.longform import Calls


@contextmanager
def side_by_side(device: torch.device, most: int) -> Iterator[Calls]:
    """What makes up to `most` calls at a time on torch's threads of a CPU; on other devices one after the other."""
    if device.type != "cpu":
        yield map
        return
    workers = min(most, torch.get_num_threads())  # the cores, or what OMP_NUM_THREADS says
    with ThreadPoolExecutor(workers, "window", torch.set_num_threads, (1,)) as pool:

        def calls(call: Callable[[int], Tensor], items: Sequence[int]) -> Iterable[Tensor]:
            before = torch.get_num_threads()
            torch.set_num_threads(1)  # for all threads where arithmetic is MKL's, so not for longer than the calls
            try:
                return list(pool.map(call, items) if workers > 1 else map(call, items))
            finally:
                torch.set_num_threads(before)

        yield calls
