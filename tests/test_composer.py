"""Composing with a form: sketches come first, and their themes become hints for the piece."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffbgm.diffusion.couplings import Couplings
from diffbgm.diffusion.inpainting import Known
from diffbgm.diffusion.samplers import build_sampler
from diffbgm.errors import InputError
from diffbgm.generation.composer import Composer, ComposeSettings
from diffbgm.generation.form import common_theme, theme_of
from diffbgm.generation.harmony import wished
from diffbgm.generation.request import Request
from diffbgm.models.checkpoint import Checkpoint
from diffbgm.models.config import checkpoint_config
from diffbgm.models.network import build_network
from diffbgm.music.harmony import parse_chords
from diffbgm.music.theme import GROOVE, HARMONY
from diffbgm.video.features import BeatFeatures

STEPS = 2


def composer(
    form: str | None, longform: str = "joint", themes: bool = True, planes: int = 2, references: bool = False
) -> Composer:
    """A narrow network with random weights whose outputs are large enough for notes."""
    torch.manual_seed(0)
    unet = {"channels": 32, "attention_levels": [1], "n_res_blocks": 1, "channel_multipliers": [1, 2], "n_heads": 2}
    unet |= {"d_cond": 32, "pack": [4, 4], "theme_condition": themes, "reference_condition": references}
    unet |= {"in_channels": planes, "out_channels": planes}
    conditioner = {"visual_width": 9, "language_width": 12, "selector": {"strategy": "language_video"}}
    network = build_network({"unet": unet, "conditioner": conditioner}).eval()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.15)
    config = {
        "model": {"unet": unet, "conditioner": conditioner},
        "features": {"name": "lite", "visual_width": 9, "language_width": 12},
        "objective": "x0_logits",
        "schedule": {"steps": 1000, "start": 0.00085, "end": 0.012},
        "window": 8,
        "sampling": {"guidance": 2.0, "threshold": 0.5, "form": "AAB"},
    }
    settings = ComposeSettings(form=form, longform=longform, rows=1)
    return Composer(
        Checkpoint(network, checkpoint_config(config), ""), build_sampler("dpm", STEPS), settings, torch.device("cpu")
    )


def request(beats: int, seed: int = 0, known: Known | None = None) -> Request:
    rng = np.random.default_rng(seed)
    visual, language = (rng.random((beats, width), np.float32) for width in (9, 12))
    features = BeatFeatures(visual, language, np.ones(beats, bool), ("",) * beats, np.zeros(beats, bool))
    return Request(features, (seed,), known)


def watched(machine: Composer, monkeypatch: pytest.MonkeyPatch) -> list[np.ndarray]:
    """Record the themes (K, 32, 16) of every condition given to the network."""
    seen, encode = [], machine.network.encode

    def watching(condition):
        seen.append(condition.theme.numpy())
        return encode(condition)

    monkeypatch.setattr(machine.network, "encode", watching)
    return seen


def cells(roll: torch.Tensor) -> np.ndarray:
    return (roll.numpy() > 0.5).astype(np.float32)


def test_a_network_without_parts_refuses_voices() -> None:
    with pytest.raises(InputError, match="voices= needs a network with lead and accompaniment"):
        composer("free").asked(ComposeSettings(voices=(2, 4)))
    assert composer("free", planes=4).asked(ComposeSettings(voices=(2, 4))).settings.voices == (2, 4)


@pytest.mark.parametrize("longform", ["joint", "outpaint", "independent"])
def test_a_piece_is_asked_for_the_themes_of_its_sketches(longform, monkeypatch):
    machine = composer("ABA", longform)
    seen = watched(machine, monkeypatch)
    wish = request(3 * 32)
    steps = list(machine.compose([wish]))
    assert len(steps) == machine.calls(wish)
    assert [step.sketch for step in steps] == [True] * 2 * STEPS + [False] * (len(steps) - 2 * STEPS)
    first, second = (cells(steps[k * STEPS - 1].rolls[0]) for k in (1, 2))
    free, told, piece = seen
    assert not free.any()
    np.testing.assert_array_equal(told[0], common_theme(first))
    assert first.any()
    assert not np.array_equal(theme_of(first), theme_of(second))
    wanted = np.concatenate([theme_of(first), theme_of(second), theme_of(first)])
    for window, start in zip(piece, range(0, 96, 32 if longform == "independent" else 16), strict=False):
        np.testing.assert_array_equal(window, wanted[start : start + 32])


def test_the_theme_is_heard():
    """The same piece with other themes is other music; without a form it is that of a network asked for nothing."""
    music = [list(composer(form).compose([request(64)]))[-1].rolls[0] for form in ("free", "A", "AB")]
    assert (music[0] - music[1]).abs().max() > 1e-3
    assert (music[1] - music[2]).abs().max() > 1e-3


def test_a_piece_of_one_window_needs_no_sketch():
    machine, wish = composer("A"), request(32)
    steps = list(machine.compose([wish]))
    assert len(steps) == machine.calls(wish) == STEPS
    assert torch.equal(steps[-1].rolls[0], list(composer("free").compose([wish]))[-1].rolls[0])


def test_pieces_of_any_lengths_do_not_disturb_each_other():
    wishes = [request(80, 1), request(64, 2), request(33, 3)]
    *_, together = composer("AB").compose(wishes)
    for wish, roll in zip(wishes, together.rolls, strict=True):
        *_, alone = composer("AB").compose([wish])
        assert torch.equal(alone.rolls[0], roll)


def test_sections_with_music_to_keep_are_asked_for_nothing(monkeypatch):
    machine = composer("A")
    seen = watched(machine, monkeypatch)
    mask = torch.zeros(2, 96 * 4, 128, dtype=torch.bool)
    mask[:, 40 * 4 : 44 * 4] = True  # in the second section
    *_, last = machine.compose([replace(request(96), known=Known(torch.ones(mask.shape), mask))])
    assert last.rolls[0][mask].min() == 1
    whole = seen[-1][::2].reshape(-1, 16)  # every other window of joint: the piece once
    assert [bool(part.any()) for part in np.split(whole, 3)] == [True, False, True]


def test_music_to_keep_in_every_section_leaves_no_form():
    machine, mask = composer("A"), torch.zeros(2, 256, 128, dtype=torch.bool)
    mask[:, ::64] = True
    wish = replace(request(64), known=Known(torch.zeros(mask.shape), mask))
    assert len(list(machine.compose([wish]))) == machine.calls(wish) == STEPS


def test_a_form_needs_a_network_that_can_be_told():
    with pytest.raises(InputError, match="theme_condition"):
        composer("A", themes=False)
    with pytest.raises(InputError, match="verse.*AABA"):
        composer("verse")
    assert composer("free", themes=False).form == "free"


@pytest.mark.parametrize(("themes", "form"), [(True, "AAB"), (False, "free")])
def test_the_form_is_the_checkpoints_where_its_network_can_be_told(themes, form):
    assert composer(None, themes=themes).form == form


@pytest.mark.parametrize("longform", ["joint", "outpaint", "independent"])
def test_a_network_with_parts_composes_both(longform):
    machine = composer("AB", longform, planes=4)
    *_, progress = machine.compose([request(2 * 32)])
    roll = progress.rolls[0]
    assert roll.shape == (4, 2 * 128, 128)
    notes = machine.notes(roll)
    assert set(notes.track.tolist()) == {0, 1}
    assert len(notes.select(notes.track == 0)) == int((roll[0] > 0.5).sum())


def test_a_form_with_letters_beyond_the_piece_is_refused():
    with pytest.raises(InputError, match="form=AABA has 4 letters, but the piece has 2 sections"):
        list(composer("AABA").compose([request(64)]))
    assert len(list(composer(None).compose([request(64)]))) == 2 * STEPS, (
        "the checkpoint's own form goes on until the end"
    )


def test_a_piece_is_asked_for_its_chords(monkeypatch):
    """In its sketches and on the whole; its groove stays that of its sections."""
    plan = wished(parse_chords("C Am"), 64)
    for form in ("AB", "free"):
        machine = composer(form)
        seen = watched(machine, monkeypatch)
        *_, last = machine.compose([replace(request(64), harmony=plan)])
        assert machine.harmony(replace(request(64), harmony=plan)) == plan
        for theme, starts in zip(seen, ([0], [32], [0, 16, 32]) if form == "AB" else ([0, 16, 32],), strict=True):
            for window, start in zip(theme, starts, strict=True):
                np.testing.assert_array_equal(window[:, HARMONY], plan.plane(96)[start : start + 32])
        assert seen[-1][..., GROOVE].any() == (form == "AB")
    assert (last.rolls[0] - list(composer("free").compose([request(64)]))[-1].rolls[0]).abs().max() > 1e-3


def test_planned_chords_are_those_of_the_seed():
    machine = composer("AB").asked(ComposeSettings(form="AB", harmony="plan"))
    plans = [machine.harmony(request(64, seed)) for seed in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    assert len(plans[0].chords) == 32
    assert composer("AB").harmony(request(64)) is None
    for wish in ({"harmony": "plan"}, {"reprise": 0.5}):
        with pytest.raises(InputError, match="needs a network with"):
            composer("free", themes=False).asked(ComposeSettings(**wish))


def test_sections_are_told_the_sketch_of_their_letter(monkeypatch):
    machine = composer("ABA-", references=True).asked(ComposeSettings(form="ABA-", reprise=0.6))
    seen, encode = [], machine.network.encode

    def watching(condition):
        seen.append(condition.reference)
        return encode(condition)

    monkeypatch.setattr(machine.network, "encode", watching)
    steps = list(machine.compose([request(4 * 32)]))
    first, second = (torch.from_numpy(cells(steps[k * STEPS - 1].rolls[0])) for k in (1, 2))
    assert [part is None for part in seen] == [True, True, False]
    for window, sketch, asked in zip(seen[2][::2], (first, second, first, first), (1.0, 1.0, 0.6, 0.3), strict=True):
        assert torch.equal(window[:2], sketch)
        assert torch.all(window[2] == asked)


def test_auto_sections_follow_what_is_seen(monkeypatch):
    """Two shots that look alike around another, with cuts near bar lines."""
    wish = request(80)
    visual, cut = np.full((80, 9), 0.2, np.float32), np.zeros(80, bool)
    visual[25:57] = 0.8
    cut[[25, 57]] = True
    machine = composer("auto")
    parts = machine.sections(replace(wish, features=replace(wish.features, visual=visual, cut=cut)))
    assert [(part.letter, part.beat, part.beats) for part in parts] == [("A", 0, 24), ("B", 24, 32), ("A", 56, 32)]


def test_the_same_music_whatever_the_number_of_threads() -> None:
    """Three windows and a sketched form: calls side by side change no bit."""
    machine, rolls, before = composer("AB"), [], torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            *_, last = machine.compose([request(64)])
            assert torch.get_num_threads() == threads
            rolls.append(last.rolls[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(rolls[0], rolls[1])
    assert len(machine.notes(rolls[0])) > 0


def test_couplings_of_a_lead_need_one() -> None:
    with pytest.raises(InputError, match="couplings of the lead need a network with lead and accompaniment"):
        composer("free").asked(ComposeSettings(couplings=Couplings(single_lead=0.3)))
    with pytest.raises(InputError, match="couplings need a network of objective=x0_posterior, not x0_logits"):
        composer("free", planes=4).asked(ComposeSettings(couplings=Couplings(single_lead=0.3)))
