"""Prefetching keeps items, their order and errors, and leaves no thread behind."""

import itertools
import threading

import pytest

from diffbgm.errors import InputError
from diffbgm.prefetch import Prefetched


def test_prefetched_passes_items_and_errors_on() -> None:
    def items():
        yield from range(5)
        raise InputError("broken")

    seen = []
    ahead = Prefetched(items(), depth=2)
    with pytest.raises(InputError, match="broken"):
        seen.extend(ahead)
    assert seen == list(range(5))
    assert ahead.waited >= 0


def test_prefetched_stops_its_thread_when_left() -> None:
    ahead = Prefetched(itertools.count(), depth=2)
    iterator = iter(ahead)
    assert [next(iterator) for _ in range(3)] == [0, 1, 2]
    iterator.close()
    for thread in threading.enumerate():
        assert thread is not ahead._thread
