"""Hypothesis strategies shared by several test files, and its settings: deterministic examples without a deadline."""

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st

from diffbgm.music.notes import Notes

settings.register_profile("repeatable", deadline=None, derandomize=True)
settings.register_profile("search", deadline=None, max_examples=2000)
settings.load_profile("repeatable")


def notes_of(rows: list[tuple[int, int, int, int, int]]) -> Notes:
    """Notes from (onset, pitch, duration, velocity, track) rows."""
    return Notes(*np.array(rows, np.int64).reshape(-1, 5).T)


def tables(steps: int = 64, tracks: int = 1, velocity: int | None = None) -> st.SearchStrategy[Notes]:
    """Any notes that start and end within `steps`, including overlapping, repeated and unsorted ones."""
    row = st.tuples(
        st.integers(0, steps - 1),
        st.integers(0, 127),
        st.integers(1, 20),
        st.integers(1, 127) if velocity is None else st.just(velocity),
        st.integers(0, tracks - 1),
    ).map(lambda row: (row[0], row[1], min(row[2], steps - row[0]), row[3], row[4]))
    return st.lists(row, max_size=60).map(notes_of)


def assert_same(a: Notes, b: Notes) -> None:
    """Assert that two tables are equal in every column and in order."""
    for name in ("onset", "pitch", "duration", "velocity", "track"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
