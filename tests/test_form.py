"""Sections of a piece, and what they keep of a sketch."""

import numpy as np
import pytest
from rolls import roll_of

from diffbgm.errors import InputError
from diffbgm.generation.form import Section, check_form, common_theme, first_sections, laid_out, sections, theme_of
from diffbgm.music.theme import GROOVE, THEME_WIDTH

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


@pytest.mark.parametrize("form", ["", "aaba", "A B", "A1", "none"])
def test_other_forms_are_refused(form: str) -> None:
    with pytest.raises(InputError, match="AABA"):
        check_form(form)
