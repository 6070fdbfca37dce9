"""Themes of rolls with known answers, what training is told of them, and how a piece's form lays them out."""

import numpy as np
import pytest

from diffbgm.datasets.hints import ThemeHint
from diffbgm.errors import InputError
from diffbgm.form import Section, check_form, first_sections, key_of, laid_out, sections, theme_of
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import encode
from diffbgm.music.theme import GROOVE, HARMONY, THEME_WIDTH, groove_of, harmony_of

C, E, G = 0, 4, 7


def roll_of(*notes: tuple[int, int, int], steps: int = 128) -> np.ndarray:
    """(2, steps, 128) of (onset, pitch, duration)."""
    onset, pitch, duration = np.array(notes, np.int64).reshape(-1, 3).T
    return encode(Notes(onset, pitch, duration, np.full_like(onset, 80), np.zeros_like(onset)), steps)


def test_harmony_is_sounding_time_by_pitch_class() -> None:
    """C in two octaves for 4 + 4 steps, E for 4, then two beats of silence, then G."""
    harmony = harmony_of(roll_of((0, 60, 4), (2, 72, 4), (0, 64, 4), (16, 67, 1)), 2)
    assert harmony.shape == (32, 12)
    assert harmony.dtype == np.float32
    expected = np.zeros((32, 12))
    expected[0:2, [C, E]] = 1.0, 0.5
    expected[4:6, G] = 1.0
    np.testing.assert_allclose(harmony, expected)


def test_harmony_of_a_long_span_is_that_of_all_its_beats() -> None:
    harmony = harmony_of(roll_of((0, 60, 8), (64, 67, 4)), 32)
    np.testing.assert_allclose(harmony, np.tile(harmony[:1], (32, 1)))
    np.testing.assert_allclose(harmony[0, [C, E, G]], [1.0, 0.0, 0.5])


def test_a_last_span_may_be_shorter() -> None:
    harmony = harmony_of(roll_of((0, 60, 4), (8, 64, 2), steps=12), 2)
    np.testing.assert_allclose(harmony[:, [C, E]], [[1, 0], [1, 0], [0, 1]])


def test_groove_is_the_share_of_bars_in_which_a_note_starts() -> None:
    """On the first sixteenth of every bar, and on the sixth of two of eight; a held note starts once only."""
    downbeats = [(16 * bar, 60, 2) for bar in range(8)]
    groove = groove_of(roll_of(*downbeats, (5, 64, 16), (21, 50, 1)))
    assert groove.shape == (32, 4)
    expected = np.full((8, 16), -1.0)
    expected[:, 0], expected[:, 5] = 1.0, 2 * 2 / 8 - 1
    np.testing.assert_allclose(groove.reshape(8, 16), expected)


def test_a_theme_has_chords_and_groove_and_a_key_only_the_whole() -> None:
    roll = roll_of((0, 60, 8), (8, 67, 8))
    theme, key = theme_of(roll), key_of(roll)
    assert theme.shape == key.shape == (32, THEME_WIDTH)
    np.testing.assert_allclose(theme[:4, [C, G]], [[1, 0], [1, 0], [0, 1], [0, 1]])
    np.testing.assert_allclose(key[:, [C, G]], 1.0)
    np.testing.assert_array_equal(theme[:, GROOVE], key[:, GROOVE])


def rolls(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    notes = [
        [(int(o), int(p), 2) for o, p in zip(rng.integers(0, 126, 150), rng.integers(40, 80, 150), strict=True)]
        for _ in range(count)
    ]
    return np.stack([roll_of(*part) for part in notes])


def test_training_is_told_what_the_music_has_or_nothing() -> None:
    music = rolls(400)
    told = ThemeHint()(music, [np.random.default_rng([1, k]) for k in range(len(music))])
    assert told.shape == (400, 32, THEME_WIDTH)
    for part, unknown in ((HARMONY, 0.3), (GROOVE, 0.4)):
        assert (told[..., part] == 0).all((1, 2)).mean() == pytest.approx(unknown, abs=0.08)  # 3.3 standard errors
    by_span = [harmony_of(music, span) for span in (2, 8, 32)]
    groove = groove_of(music)
    for k, theme in enumerate(told):
        known = theme[:, HARMONY].any(1)
        assert any(np.array_equal(theme[known, HARMONY], harmony[k][known]) for harmony in by_span)
        heard = theme[:, GROOVE].any(1)
        np.testing.assert_array_equal(theme[heard, GROOVE], groove[k][heard])
        if known.any():
            assert known[np.flatnonzero(known)[0] : np.flatnonzero(known)[-1] + 1].all(), "one stretch"


def test_what_a_segment_is_told_depends_on_its_generator_alone() -> None:
    music = rolls(4)
    together = ThemeHint()(music, [np.random.default_rng(k) for k in range(4)])
    alone = ThemeHint()(music[2:3], [np.random.default_rng(2)])
    np.testing.assert_array_equal(together[2:3], alone)


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
