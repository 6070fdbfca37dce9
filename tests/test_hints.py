"""The hints that training segments get from their own themes."""

import numpy as np
import pytest
from rolls import roll_of

from diffbgm.datasets.hints import ReferenceHint, ThemeHint, likeness
from diffbgm.errors import InputError
from diffbgm.music.parts import reference_planes
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


SONGS = {"segment_song": np.array([0, 0, 0, 0, 1]), "segment_beat": np.array([0, 4, 32, 64, 0])}
SONGS["segment_twin"] = np.array([3, 2, 0, 0, -1])


def test_references_are_of_the_same_song_and_eight_bars_away() -> None:
    hint = ReferenceHint(told=1.0)
    drawn = np.array([hint.choose(3, SONGS, np.random.default_rng([2, k])) for k in range(1000)])
    assert set(drawn.tolist()) == {0, 1, 2}  # of its song, and 32 beats away or more
    shares = [(drawn == segment).mean() for segment in range(3)]
    # half the most similar one (0), a quarter the one before (2), a quarter any of the three
    assert shares == pytest.approx([0.5 + 0.25 / 3, 0.25 / 3, 0.25 + 0.25 / 3], abs=0.05)  # 3.2 standard errors


def test_some_segments_are_told_no_reference() -> None:
    told = [ReferenceHint().choose(3, SONGS, np.random.default_rng([3, k])) >= 0 for k in range(1000)]
    assert np.mean(told) == pytest.approx(0.7, abs=0.05)
    assert ReferenceHint(told=1.0).choose(4, SONGS, np.random.default_rng(0)) == -1, "a song of one segment"


def test_likeness_is_the_share_of_common_onsets() -> None:
    one = roll_of((0, 60, 4), (4, 62, 4), (8, 64, 4))
    two = roll_of((0, 60, 2), (4, 62, 8), (12, 64, 4))
    assert likeness(one, two) == pytest.approx(2 / 4)
    assert likeness(one, one) == 1
    assert likeness(np.zeros_like(one), np.zeros_like(one)) == 0
    apart = np.concatenate([one, np.zeros_like(one)])
    swapped = np.concatenate([np.zeros_like(one), one])
    assert likeness(apart, swapped) == 1, "whichever part has them"
    planes = reference_planes(one, 0.25)
    assert planes.shape == (3, *one.shape[1:])
    assert np.array_equal(planes[:2], one)
    assert (planes[2] == 0.25).all()


def test_shares_that_do_not_add_up_are_refused() -> None:
    for wrong in ({"spans": (2, 8)}, {"shares": (0.5, 0.2, 0.2)}):
        with pytest.raises(InputError, match=r"theme\.shares=.* does not fit theme\.spans=.*together 1"):
            ThemeHint(**wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"reference\.twin=0\.9 and reference\.before=0\.25 are shares"):
        ReferenceHint(twin=0.9)
