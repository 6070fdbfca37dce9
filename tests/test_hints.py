"""What training segments are told of their own themes."""

import numpy as np
import pytest
from rolls import roll_of

from diffbgm.datasets.hints import ThemeHint
from diffbgm.music.theme import GROOVE, HARMONY, THEME_WIDTH, groove_of, harmony_of


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
