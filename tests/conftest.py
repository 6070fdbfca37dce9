"""Settings for all tests: one thread, as such small networks are slower on several, and GPU tests only with a GPU."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; processes that tests start take it over


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip tests marked gpu on machines without a GPU."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("needs a GPU")
