"""Lead and accompaniment: by track names, by the highest line, and in the planes of a roll."""

import numpy as np

from diffbgm.music.notes import Notes
from diffbgm.music.parts import (
    ACCOMPANIMENT,
    LEAD,
    by_highest_line,
    decode_parts,
    encode_parts,
    merged,
    parts_of,
    thinned,
)
from diffbgm.music.pianoroll import encode


def _notes(*rows: tuple[int, int, int, int]) -> Notes:
    onset, pitch, duration, track = np.array(rows, np.int64).reshape(-1, 4).T
    return Notes(onset, pitch, duration, np.full(len(onset), 80), track)


def test_names_tell_the_lead() -> None:
    notes = _notes((0, 60, 4, 0), (0, 48, 4, 2), (4, 62, 4, 1))
    assert parts_of(notes, ["MELODY", "BRIDGE", "PIANO"]).tolist() == [LEAD, ACCOMPANIMENT, LEAD]
    assert parts_of(notes, ["Track 1", "Track 2", "Track 3"]) is None
    assert parts_of(notes, ["Melody", "melody 2", "Lead"]) is None


def test_the_highest_line_leads() -> None:
    """A chord's top note leads; a lower note under a held one does not; a higher one takes over."""
    notes = _notes((0, 72, 8, 0), (0, 60, 8, 0), (4, 64, 2, 0), (6, 76, 2, 0), (8, 65, 4, 0))
    assert by_highest_line(notes).tolist() == [LEAD, ACCOMPANIMENT, ACCOMPANIMENT, LEAD, LEAD]
    assert len(by_highest_line(Notes.empty())) == 0


def test_four_planes_there_and_back() -> None:
    notes = _notes((0, 72, 4, LEAD), (0, 48, 8, ACCOMPANIMENT), (4, 74, 2, LEAD), (8, 48, 8, ACCOMPANIMENT)).sorted()
    roll = encode_parts(notes, 16, 4)
    back = decode_parts(roll)
    for name in ("onset", "pitch", "duration", "track"):
        assert getattr(back, name).tolist() == getattr(notes, name).tolist(), name


def test_merged_planes_are_the_roll_of_all_notes() -> None:
    notes = _notes((0, 72, 4, LEAD), (0, 48, 8, ACCOMPANIMENT), (4, 74, 2, LEAD), (2, 74, 2, ACCOMPANIMENT))
    roll = encode_parts(notes, 16, 4)
    assert np.array_equal(merged(roll), encode(notes, 16))
    assert np.array_equal(merged(roll[:2]), roll[:2])


def test_the_lead_stays_as_it_is_and_doublings_go() -> None:
    notes = _notes((0, 60, 8, LEAD), (4, 60, 4, ACCOMPANIMENT), (8, 64, 2, LEAD), (8, 64, 8, ACCOMPANIMENT))
    back = decode_parts(encode_parts(notes, 16, 4))
    rows = list(zip(back.onset.tolist(), back.pitch.tolist(), back.duration.tolist(), back.track.tolist(), strict=True))
    assert rows == [(0, 60, 8, LEAD), (4, 60, 4, ACCOMPANIMENT), (8, 64, 2, LEAD)]


def test_chords_are_thinned_from_within_and_doublings_go_first() -> None:
    chord = [(0, pitch, 4, ACCOMPANIMENT) for pitch in (36, 43, 48, 52, 60)]  # C2 G2 C3 E3 C4
    lead = [(0, 72, 4, LEAD), (0, 67, 4, LEAD), (0, 64, 4, LEAD), (4, 71, 4, LEAD), (4, 69, 4, LEAD)]
    found = thinned(_notes(*chord, *lead), [2, 4])
    assert sorted(found.pitch[found.track == ACCOMPANIMENT].tolist()) == [36, 43, 52, 60]
    assert found.pitch[found.track == LEAD].tolist() == [72, 67, 71, 69]
    two = thinned(_notes(*chord), [2, 2])
    assert sorted(two.pitch.tolist()) == [36, 60]
    assert len(thinned(_notes(*chord, *lead), [])) == 10
    assert thinned(_notes(*chord), [1, 1]).pitch.tolist() == [60]
