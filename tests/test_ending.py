"""How pieces end: nothing sounds after the end, and a resolved piece rests on its tonic."""

from dataclasses import replace

import numpy as np

from diffbgm.music.ending import cut_at, resolve
from diffbgm.music.key import estimate_key
from diffbgm.music.notes import STEPS_PER_BAR, Notes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD


def piece(bars: int = 5) -> Notes:
    """C major arpeggios and scale, four notes a bar, each note a bar long at the end."""
    pitch = np.array([60, 64, 67, 72, 65, 69, 71, 67] * bars)[: bars * 4]
    return Notes(np.arange(bars * 4) * 4, pitch, np.full(bars * 4, 6), np.full(bars * 4, 80), np.zeros(bars * 4, int))


def test_cut_leaves_nothing_after_the_end():
    assert cut_at(piece(), 70).end == 70


def test_resolve_ends_on_a_held_tonic_triad_at_a_bar_line():
    end = 4 * STEPS_PER_BAR + 10
    ended = resolve(piece(), end)
    last = ended.select(ended.onset == ended.onset.max())
    assert last.onset[0] == 4 * STEPS_PER_BAR
    assert set(last.onset + last.duration) == {end}
    assert set(last.pitch % 12) == {0, 4, 7}
    assert last.pitch.min() % 12 == 0
    assert estimate_key(ended) == estimate_key(piece())


def test_the_key_is_that_of_the_music_before_the_chord():
    """What the chord replaces is not heard: here a last bar full of F sharp."""
    body = piece().window(0, 3 * STEPS_PER_BAR)
    onset = np.arange(3 * STEPS_PER_BAR, 5 * STEPS_PER_BAR)
    foreign = Notes(onset, np.full_like(onset, 66), np.full_like(onset, 16), np.full_like(onset, 80), onset * 0)
    ended = resolve(Notes.concatenate([body, foreign]), 4 * STEPS_PER_BAR)
    last = ended.select(ended.onset == ended.onset.max())
    assert last.pitch.min() % 12 == estimate_key(body).tonic


def test_only_the_top_note_of_the_last_chord_is_the_leads_in_a_piece_of_two_parts():
    """So that a flute as the lead does not play the bass of the chord."""
    body = piece()
    apart = replace(body, track=np.where(body.pitch >= 70, LEAD, ACCOMPANIMENT))
    ended = resolve(apart, 5 * STEPS_PER_BAR)
    last = ended.select(ended.onset == ended.onset.max())
    assert last.pitch[last.track == LEAD].tolist() == [last.pitch.max()]
    assert (last.track == ACCOMPANIMENT).sum() == len(last) - 1
    assert not resolve(body, 5 * STEPS_PER_BAR).track.any()


def test_resolve_goes_a_bar_back_where_the_last_bar_is_too_short():
    ended = resolve(piece(), 4 * STEPS_PER_BAR + 3)
    assert ended.onset.max() == 3 * STEPS_PER_BAR


def test_too_short_or_empty_pieces_are_only_cut():
    assert len(resolve(Notes.empty(), 64)) == 0
    assert resolve(piece(), 7).end == 7
