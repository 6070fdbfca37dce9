"""Music to keep is unchanged, whatever the model adds."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from diffbgm.errors import InputError
from diffbgm.generation.kept import known_bars, known_melody
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD, decode_parts
from diffbgm.music.pianoroll import decode


def notes(rows: list[tuple[int, int, int]]) -> Notes:
    onset, pitch, duration = np.array(rows, np.int64).T
    return Notes(onset, pitch, duration, np.full(len(rows), 80), np.zeros(len(rows), np.int64))


MELODY = notes([(0, 72, 4), (4, 72, 2), (8, 76, 8), (20, 79, 12)])


@pytest.fixture
def melody(tmp_path):
    write_midi(MELODY, tmp_path / "melody.mid")
    return tmp_path / "melody.mid"


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_the_melody_survives_any_surroundings(melody, fill):
    known = known_melody(melody, 48)
    completed = decode(torch.where(known.mask, known.roll, torch.full_like(known.roll, fill)).numpy())
    found = {row[:3] for row in zip(completed.onset, completed.pitch, completed.duration, strict=True)}
    assert set(zip(MELODY.onset, MELODY.pitch, MELODY.duration, strict=True)) <= found
    assert not known.mask[:, 40:].any(), "what follows is free"


def test_kept_bars_hold_notes_and_rests_and_nothing_else_is_known(melody):
    known = known_bars(melody, 2, 2, 64)
    assert known.mask[:, 16:32].all()
    assert not known.mask[:, :16].any()
    assert not known.mask[:, 32:].any()
    completed = decode(torch.where(known.mask, known.roll, torch.zeros_like(known.roll)).numpy())
    assert list(zip(completed.onset, completed.pitch, completed.duration, strict=True)) == [(20, 79, 12)]


def test_what_does_not_fit_is_refused_in_a_sentence(melody, tmp_path):
    with pytest.raises(InputError, match="has 8 beats, the video only 4"):
        known_melody(melody, 16)
    with pytest.raises(InputError, match="are not bars"):
        known_bars(melody, 3, 2, 64)
    with pytest.raises(InputError, match="end after the piece, which has 2 whole bars"):
        known_bars(melody, 1, 3, 40)
    with pytest.raises(InputError, match="ends before bar 4"):
        known_bars(melody, 4, 4, 64)
    write_midi(Notes.empty(), tmp_path / "empty.mid")
    with pytest.raises(InputError, match="no notes"):
        known_melody(tmp_path / "empty.mid", 64)


@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_with_parts_the_melody_is_the_whole_lead_until_it_ends(melody, fill):
    known = known_melody(melody, 48, planes=4)
    assert not known.mask[2:].any(), "the accompaniment is free"
    completed = decode_parts(torch.where(known.mask, known.roll, torch.full_like(known.roll, fill)).numpy())
    lead = completed.select((completed.track == LEAD) & (completed.onset < MELODY.end))
    for name in ("onset", "pitch", "duration"):
        assert getattr(lead, name).tolist() == getattr(MELODY, name).tolist()


def test_kept_bars_come_back_in_their_parts(tmp_path):
    both = Notes.concatenate([MELODY, replace(notes([(0, 48, 16), (16, 50, 16)]), track=np.ones(2, np.int64))])
    write_midi(both, tmp_path / "both.mid")
    known = known_bars(tmp_path / "both.mid", 1, 2, 64, planes=4)
    kept = decode_parts(known.roll.numpy())
    parts = kept.select(kept.track == LEAD), kept.select(kept.track == ACCOMPANIMENT)
    assert [part.pitch.tolist() for part in parts] == [[72, 72, 76, 79], [48, 50]]
    assert known.mask[:, :32].all()
    assert not known.mask[:, 32:].any()
