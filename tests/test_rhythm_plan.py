"""The plan of rhythm: what is drawn for slow and busy pictures, what pieces are told, and what is collected."""

from dataclasses import replace
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
import torch
from test_composer import composer, request, watched

from diffbgm.datasets.batch import Batch, Condition
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.errors import InputError
from diffbgm.generation.harmony import wished
from diffbgm.generation.rhythm import SEED, Rhythm
from diffbgm.generation.settings import ComposeSettings
from diffbgm.generation.told import no_theme
from diffbgm.music.harmony import parse_chords
from diffbgm.music.rhythm_plan import Grooves, grooves
from diffbgm.music.theme import GROOVE, HARMONY
from diffbgm.video.streams import STREAMS
from scripts.fit_grooves import collected

PLANNED = Rhythm(True)


def test_more_motion_draws_busier_grooves() -> None:
    means = []
    for motion in (0.0, 0.3, 0.6, 1.0):
        rng = np.random.default_rng(0)
        drawn = np.stack([grooves().draw(motion, rng) for _ in range(50)])
        assert drawn.shape == (50, 4, 4)
        assert np.abs(drawn).max() <= 1
        means.append(drawn.mean())
    assert means == sorted(means)
    assert means[-1] - means[0] > 0.3


def test_what_is_drawn_lies_nearest_in_motion() -> None:
    starts = np.arange(80, dtype=np.uint8)[:, None].repeat(16, 1) % 9
    model = Grooves(starts, np.linspace(0, 1, 80, dtype=np.float32))
    for motion, rows in ((0.0, {0, 1}), (1.0, {78, 79}), (-3.0, {0, 1})):
        rng = np.random.default_rng(1)
        drawn = {float(model.draw(motion, rng)[0, 0]) for _ in range(20)}
        np.testing.assert_allclose(sorted(drawn), sorted(2 * (row % 9) / 8 - 1 for row in rows), rtol=1e-6)


def test_a_theme_repeats_one_groove_and_asks_for_no_harmony() -> None:
    theme = PLANNED.begun(no_theme(38), request(38).features, (3,))
    assert theme.shape == (38, 16)
    assert theme.dtype == np.float32
    assert not theme[:, HARMONY].any()
    np.testing.assert_array_equal(theme[4:, GROOVE], theme[:-4, GROOVE])
    np.testing.assert_array_equal(theme, PLANNED.begun(no_theme(38), request(38).features, (3,)))
    assert any((theme != PLANNED.begun(no_theme(38), request(38).features, (seed,))).any() for seed in range(4, 8))


@pytest.mark.parametrize(("form", "beats"), [("AB", 64), ("A", 20), ("free", 64)])
def test_pieces_are_told_their_groove(monkeypatch: pytest.MonkeyPatch, form: str, beats: int) -> None:
    """The sketches of a form are; without sketches, the piece as a whole; music without a plan is not."""
    machine = composer(form).asked(ComposeSettings(form=form, rhythm="plan"))
    seen = watched(machine, monkeypatch)
    list(machine.compose([request(beats)]))
    asked = request(beats).features[:32] if form == "AB" else request(beats).features
    wanted = PLANNED.begun(no_theme(min(beats, 32)), asked, (0,))
    np.testing.assert_array_equal(seen[0][0][: len(wanted)], wanted)


def test_a_letter_has_one_groove_for_the_motion_of_all_its_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """A quiet opening, a busy section, a quiet close: A and B are sketched in grooves of their own."""
    motion = np.repeat([0.25, 0.875, 0.5], 32)
    wish = request(96)
    wish = replace(wish, features=replace(wish.features, columns=STREAMS))
    wish.features.visual[:, STREAMS.index("motion")] = motion
    machine = composer("ABA").asked(ComposeSettings(form="ABA", rhythm="plan"))
    seen = watched(machine, monkeypatch)
    list(machine.compose([wish]))
    for sketch, mean in ((0, 0.375), (1, 0.875)):
        drawn = grooves().draw(mean, np.random.default_rng([0, SEED]))
        told = Rhythm(True).heard(np.pad(np.resize(drawn, (32, 4)), [(0, 0), (12, 0)]))
        np.testing.assert_array_equal(seen[sketch][0][:, GROOVE], told[:, GROOVE])


def test_a_piece_is_told_the_planned_groove_and_not_that_of_its_sketch(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = composer("AB").asked(ComposeSettings(form="AB", rhythm="plan"))
    seen = watched(machine, monkeypatch)
    list(machine.compose([request(64)]))
    sketches, whole = [seen[k][0][:, GROOVE] for k in (0, 1)], seen[2][0]
    np.testing.assert_array_equal(whole[:, GROOVE], sketches[0])
    assert whole[:, HARMONY].any()


def test_chords_and_groove_are_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = composer("free").asked(ComposeSettings(form="free", rhythm="plan"))
    seen = watched(machine, monkeypatch)
    plan = wished(parse_chords("C Am"), 32)
    list(machine.compose([replace(request(32), harmony=plan)]))
    np.testing.assert_array_equal(seen[0][0][:, HARMONY], plan.plane(32))
    wanted = PLANNED.begun(no_theme(32), request(32).features, (0,))
    np.testing.assert_array_equal(seen[0][0][:, GROOVE], wanted[:, GROOVE])


def test_rare_onsets_are_asked_for_more_often() -> None:
    theme = np.zeros((2, 16), np.float32)
    theme[:, GROOVE] = [[-1, -0.9375, -0.5, 1], [1, -1, -1, -1]]
    told = Rhythm(True).heard(theme)
    np.testing.assert_allclose(told[:, GROOVE], [[-1, -0.5, 2 * 0.25**0.4 - 1, 1], [1, -1, -1, -1]], atol=1e-6)
    assert not told[:, HARMONY].any()
    np.testing.assert_array_equal(Rhythm(False).heard(theme), theme)
    assert not Rhythm(False).begun(no_theme(38), request(38).features, (3,)).any()


def test_a_network_without_themes_refuses_a_plan() -> None:
    with pytest.raises(InputError, match="rhythm=plan needs a network with theme_condition"):
        composer("free", themes=False).asked(ComposeSettings(rhythm="plan"))


def test_grooves_are_collected_in_order_of_motion() -> None:
    """Three segments of eight bars: one plays every beat with motion 0.8, one the first of every bar, one nothing."""
    rolls = torch.zeros(3, 2, 128, 128)
    rolls[0, 0, ::4, 60] = rolls[1, 0, ::16, 60] = 1
    visual = torch.zeros(3, 32, len(STREAMS))
    visual[:, :, STREAMS.index("motion")] = torch.tensor([0.8, 0.1, 0.0])[:, None]
    condition = Condition(visual, torch.zeros(3, 32, 4), torch.ones(3, 32, dtype=torch.bool), torch.full((3,), 8))
    loader = SimpleNamespace(batch=lambda epoch, index: Batch(rolls, condition, ("a", "b", "c")))
    found = collected(cast(SegmentLoader, loader))
    np.testing.assert_allclose(found.motion, [0.1, 0.8])
    assert found.starts.tolist() == [[8] + [0] * 15, [8, 0, 0, 0] * 4]
