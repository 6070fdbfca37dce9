"""Parallel calls use one torch thread each, and the number of threads is restored after the last one."""

import threading
from collections.abc import Iterator

import pytest
import torch

from diffbgm.generation.threads import side_by_side

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def in_a_new_thread() -> int:
    """torch's number of threads as a thread sees it that has not computed before."""
    seen: list[int] = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return seen[0]


@pytest.mark.usefixtures("two_threads")
def test_calls_that_overlap_leave_the_number_of_threads_as_it_was() -> None:
    """The second calls begin inside the first and end after them, or the other way round."""
    for first_ends_first in (True, False):
        begun, go, seen = threading.Event(), {name: threading.Event() for name in "ab"}, []

        def work(name: str, go: dict[str, threading.Event] = go, begun: threading.Event = begun) -> None:
            def call(item: int) -> torch.Tensor:
                begun.set()
                assert go[name].wait(10)
                seen.append(torch.get_num_threads())  # noqa: B023 - joined before the next round
                return torch.tensor(item)

            with side_by_side(CPU, 2) as calls:
                assert [int(answer) for answer in calls(call, [3, 4])] == [3, 4]

        threads = [threading.Thread(target=work, args=(name,)) for name in "ab"]
        for thread in threads:
            begun.clear()
            thread.start()
            assert begun.wait(10)
        order = [0, 1] if first_ends_first else [1, 0]
        for number in order:
            go["ab"[number]].set()
            threads[number].join()
        assert seen == [1, 1, 1, 1]
        assert torch.get_num_threads() == 2
        assert in_a_new_thread() == 2


@pytest.mark.usefixtures("two_threads")
def test_a_call_that_fails_leaves_it_as_it_was_too() -> None:
    def call(item: int) -> torch.Tensor:
        raise ValueError(item)

    with side_by_side(CPU, 2) as calls, pytest.raises(ValueError, match="3"):
        calls(call, [3, 4, 5])
    assert (torch.get_num_threads(), in_a_new_thread()) == (2, 2)
