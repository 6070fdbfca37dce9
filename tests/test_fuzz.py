"""All parsers return a result or raise InputError for any bytes (tests/fuzz.py)."""

import pytest
from fuzz import TARGETS, fuzz


@pytest.mark.parametrize("name", TARGETS)
def test_mutated_files_give_an_answer_or_a_sentence(name: str) -> None:
    most = 20 if name == "settings" else 300  # the same inputs on any machine; composing a config takes long
    assert fuzz(name, seconds=60, most=most) == most


@pytest.mark.parametrize("name", sorted(set(TARGETS) - {"checkpoint", "settings"}))
def test_the_inputs_that_mutation_starts_from_are_good(name: str) -> None:
    target, seeds = TARGETS[name]
    for content in seeds:
        target(content)
