"""The table of docs/how-it-works.md names functions that exist."""

import re
from functools import reduce
from importlib import import_module
from pathlib import Path

import pytest

PAGE = Path(__file__).resolve().parents[1] / "docs" / "how-it-works.md"
ROWS = re.findall(r"\| `([\w/]+)\.py` \| `([\w.]+)` \|$", PAGE.read_text(encoding="utf-8"), re.M)


def test_every_equation_has_a_function():
    assert len(ROWS) == PAGE.read_text(encoding="utf-8").split("## Equation to line")[1].split("##")[0].count("\n|") - 2


@pytest.mark.parametrize(("file", "function"), ROWS, ids=[function for _, function in ROWS])
def test_a_function_is_where_the_page_says(file: str, function: str):
    module = import_module(f"diffbgm.{file.replace('/', '.')}")
    found = reduce(getattr, function.split("."), module)
    assert callable(found)
    assert found.__module__ == module.__name__
