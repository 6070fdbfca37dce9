"""Playing a piece: loudness from the network and the picture, timing and pedal."""

import numpy as np
import pytest
from strategies import assert_same, notes_of

from diffbgm.errors import InputError
from diffbgm.music.notes import Notes
from diffbgm.music.parts import lead_of
from diffbgm.music.performer import Cue, Manner, Performance, pedals, shaped, smooth, struck, timed
from diffbgm.music.velocity import note_features, rule_scores, velocity_scores


def tune_and_chords(bars: int = 8, velocity: int = 80) -> Notes:
    """A tune of eighths over a triad each half bar."""
    rows = [(step, 72 + step // 2 % 5, 2, velocity, 0) for step in range(0, 16 * bars, 2)]
    rows += [(step, pitch, 8, velocity, 0) for step in range(0, 16 * bars, 8) for pitch in (48, 52, 55)]
    return notes_of(rows).sorted()


PIECE = tune_and_chords()
FLAT, FULL = Manner(0, 0), Manner(1, 1)


def perform(notes: Notes, manner: Manner, cue: Cue, seed: tuple[int, ...], tempo: float) -> Performance:
    return timed(shaped(notes, manner, cue), manner, cue, seed, tempo)


def test_without_dynamics_and_human_hands_the_notes_are_as_they_were() -> None:
    done = perform(PIECE, FLAT, Cue(np.ones(32), np.array([16])), (0,), 120)
    assert_same(done.notes, PIECE)
    assert not done.delay.any()
    assert len(done.pedal) == 0


def test_the_same_seed_plays_the_same_and_another_does_not() -> None:
    one, same, other = (perform(PIECE, FULL, Cue(), seed, 120) for seed in ((0,), (0,), (1,)))
    np.testing.assert_array_equal(one.delay, same.delay)
    assert_same(one.notes, same.notes)
    assert (one.delay != other.delay).any()


def test_the_order_of_the_notes_does_not_matter() -> None:
    shuffled = np.random.default_rng(0).permutation(len(PIECE))
    straight = perform(PIECE, FULL, Cue(np.linspace(-1, 1, 32)), (0,), 120)
    mixed = perform(PIECE.select(shuffled), FULL, Cue(np.linspace(-1, 1, 32)), (0,), 120)
    np.testing.assert_array_equal(mixed.notes.velocity, straight.notes.velocity[shuffled])
    np.testing.assert_array_equal(mixed.delay, straight.delay[shuffled])


def test_it_swells_with_the_picture() -> None:
    rising = perform(PIECE, FULL, Cue(np.linspace(-1, 1, 32)), (0,), 120).notes
    level = [rising.velocity[rising.onset // 32 == part].mean() for part in range(4)]
    assert (np.diff(level) > 3).all()
    gentle = perform(PIECE, Manner(0.3, 0), Cue(np.linspace(-1, 1, 32)), (0,), 120).notes
    assert np.ptp(gentle.velocity) < np.ptp(rising.velocity)


def test_all_parts_swell_slowly_with_the_motion() -> None:
    cue = Cue(swell=np.repeat([-1.0, 1.0], 16))
    full, half = (perform(PIECE, Manner(dynamics, 0), cue, (0,), 120) for dynamics in (1, 0.5))
    assert (np.diff(full.swell) >= 0).all()
    assert full.swell[0] == pytest.approx(-1, abs=0.01)
    assert full.swell[15] == pytest.approx(-0.1, abs=0.05)
    np.testing.assert_allclose(half.swell, full.swell / 2)
    np.testing.assert_array_equal(full.notes.velocity, perform(PIECE, FULL, Cue(), (0,), 120).notes.velocity)
    assert len(perform(PIECE, FLAT, cue, (0,), 120).swell) == 0


def test_a_cut_is_louder_on_the_onset_nearest_to_it() -> None:
    plain = perform(PIECE, FULL, Cue(), (0,), 120).notes.velocity
    accented = perform(PIECE, FULL, Cue(accents=np.array([33])), (0,), 120).notes.velocity
    on_cut = PIECE.onset == 32
    assert (accented[on_cut] > plain[on_cut]).all()
    np.testing.assert_array_equal(accented[~on_cut], plain[~on_cut])
    assert not struck(notes_of([(4, 60, 1, 80, 0)]), np.array([0])).any()


def test_the_tune_lies_over_the_accompaniment() -> None:
    lead = lead_of(PIECE)
    for scores in (velocity_scores(PIECE), rule_scores(PIECE)):
        assert scores[lead].mean() > scores[~lead].mean() + 0.5
        assert scores.mean() == pytest.approx(0, abs=1e-6)
        assert scores.std() == pytest.approx(1, abs=1e-6)


def test_timing_stays_within_a_third_of_a_sixteenth_and_never_before_the_start() -> None:
    for tempo in (60, 240):
        delay = perform(PIECE, FULL, Cue(), (0,), tempo).delay
        assert 0 < np.abs(delay).max() <= 0.3 * 60 / tempo / 4 + 1e-9
        assert (delay[PIECE.onset == 0] >= 0).all()
    half, full = (perform(PIECE, Manner(0, human), Cue(), (0,), 60).delay for human in (0.5, 1))
    assert np.abs(half).mean() == pytest.approx(np.abs(full).mean() / 2, rel=0.05)


def test_the_pedal_changes_with_the_harmony() -> None:
    same = [(0, 48, 8), (0, 52, 8), (8, 48, 8), (8, 55, 8)]  # a bar of C
    moved = [(16, 48, 8), (16, 52, 8), (24, 53, 8), (24, 57, 8)]  # half a bar of C, half a bar of F
    notes = notes_of([(onset, pitch, duration, 80, 0) for onset, pitch, duration in same + moved])
    assert pedals(notes).tolist() == [[0, 16], [16, 24], [24, 32]]
    cluster = notes_of([(step, 60 + step, 1, 80, 0) for step in range(8)])
    assert len(pedals(cluster)) == 0


def test_an_empty_piece_and_a_single_note_are_played() -> None:
    assert len(perform(Notes.empty(), FULL, Cue(np.ones(4)), (0,), 120).notes) == 0
    one = perform(notes_of([(3, 60, 2, 80, 0)]), FULL, Cue(np.ones(1)), (0,), 120).notes
    assert 80 < one.velocity[0] <= 122


@pytest.mark.parametrize(("dynamics", "humanize"), [(-0.1, 0), (1.5, 0), (0, 2), (float("nan"), 0)])
def test_what_is_outside_0_to_1_is_refused(dynamics: float, humanize: float) -> None:
    with pytest.raises(InputError, match=r"(dynamics|humanize)=.* is out of range; give 0 \(none\) to 1"):
        Manner(dynamics, humanize)


def test_smoothing_keeps_a_level_and_features_are_finite() -> None:
    np.testing.assert_allclose(smooth(np.full(10, 0.4), 2.0), 0.4)
    assert len(smooth(np.zeros(0), 2.0)) == 0
    assert np.isfinite(note_features(PIECE, lead_of(PIECE))).all()
    assert note_features(Notes.empty(), np.zeros(0, bool)).shape[0] == 0
