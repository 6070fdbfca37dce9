"""Sections of a piece, and the hints they take from a sketch."""

import numpy as np
import pytest
from rolls import roll_of

from diffbgm.errors import InputError
from diffbgm.generation.form import (
    FIGURE,
    Section,
    check_form,
    common_theme,
    first_sections,
    laid_out,
    letters_of,
    references,
    sections,
    starts_at_cuts,
    theme_of,
)
from diffbgm.music.theme import GROOVE, HARMONY, THEME_WIDTH

C, G = 0, 7


def test_a_theme_has_chords_and_groove_and_a_key_only_the_whole() -> None:
    roll = roll_of((0, 60, 8), (8, 67, 8))
    theme, key = theme_of(roll), common_theme(roll)
    assert theme.shape == key.shape == (32, THEME_WIDTH)
    np.testing.assert_allclose(theme[:4, [C, G]], [[1, 0], [1, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(key[:, [C, G]], 1.0)
    np.testing.assert_array_equal(theme[:, GROOVE], key[:, GROOVE])


def test_letters_are_laid_along_the_piece_again_and_again() -> None:
    parts = sections("AAB", 4 * 32 + 1)
    assert parts == [Section(letter, 32 * k) for k, letter in enumerate("AABAA")]
    assert first_sections(parts) == [Section("A", 0), Section("B", 64)]
    assert sections("free", 100) == []


def test_sections_get_the_theme_of_their_letter_and_what_is_between_stays_open() -> None:
    themes = {letter: np.full((32, THEME_WIDTH), value, np.float32) for letter, value in (("A", 1), ("B", 2))}
    parts = sections("AB", 100)
    plane = laid_out([part for part in parts if part.beat != 64], themes, 100)
    assert plane.shape == (100, THEME_WIDTH)
    np.testing.assert_array_equal(plane[:, 0], np.repeat([1, 2, 0, 2], [32, 32, 32, 4]))


@pytest.mark.parametrize("form", ["", "aaba", "A B", "A1", "none", "-A"])
def test_other_forms_are_refused(form: str) -> None:
    with pytest.raises(InputError, match="AABA"):
        check_form(form)


def test_a_section_without_a_letter_keeps_the_groove_of_the_one_before() -> None:
    themes = {"A": np.ones((32, THEME_WIDTH), np.float32)}
    plane = laid_out(sections("A-", 64), themes, 64)
    assert plane[32:, GROOVE].all()
    assert not plane[32:, HARMONY].any()
    np.testing.assert_array_equal(plane[:32], themes["A"])


def test_references_say_how_like_to_be() -> None:
    sketches = {letter: np.full((2, 128, 128), value, np.float32) for letter, value in (("A", 1), ("B", 0.5))}
    told = references(sections("ABA-", 100), sketches, 100, 0.7)
    assert told.shape == (3, 400, 128)
    np.testing.assert_array_equal(told[0, ::128, 0], [1, 0.5, 1, 1])
    np.testing.assert_allclose(told[2, ::128, 0], [1, 1, 0.7, FIGURE])


def test_sections_begin_at_cuts_by_bar_lines() -> None:
    """Four to eight bars after the one before, the last that lies within a beat of a cut; else after eight bars."""
    cut = np.zeros(120, bool)
    cut[[6, 18, 21, 29, 70]] = True
    assert starts_at_cuts(cut) == [0, 28, 60, 92]
    assert starts_at_cuts(np.zeros(33, bool)) == [0, 32]
    assert starts_at_cuts(np.zeros(32, bool)) == [0]


def test_what_looks_alike_has_one_letter() -> None:
    seen = np.repeat([[0.1, 0.9], [0.8, 0.2], [0.12, 0.85], [0.5, 0.5]], 4, axis=0)
    assert letters_of(seen, [0, 4, 8, 12]) == "ABAC"
