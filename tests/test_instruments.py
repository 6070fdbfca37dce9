"""Instruments by name and what each voice of a palette plays."""

from dataclasses import replace

import numpy as np
import pytest
from strategies import notes_of

from diffbgm.errors import InputError
from diffbgm.music.arrange import arrange, in_range
from diffbgm.music.instruments import PALETTES, Voice, palette, program_named
from diffbgm.music.notes import Notes
from diffbgm.music.parts import lead_of
from diffbgm.music.performer import Performance


@pytest.mark.parametrize(
    ("name", "program"),
    [
        ("violin", 40),
        ("Violin", 40),
        ("40", 40),
        (0, 0),
        ("Acoustic Grand Piano", 0),
        ("piano", 0),
        ("music box", 10),
        ("acoustic guitar (nylon)", 24),
        ("strings", 48),
        ("glockenspiel", 9),
        ("oboe", 68),
    ],
)
def test_instruments_are_known_by_name_and_number(name: str | int, program: int) -> None:
    assert program_named(name) == program


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("violn", "did you mean violin"),
        ("fluet", "did you mean flute"),
        ("guitarr", "guitar"),
        ("xyzzy", "give a General MIDI name"),
        ("", "give a General MIDI name"),
        ("128", "program=128 is not an instrument"),
        ("-1", "program=-1 is not an instrument"),
    ],
)
def test_an_unknown_instrument_names_the_nearest(name: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        program_named(name)


def test_two_names_are_tune_and_accompaniment() -> None:
    assert [(voice.program, voice.role) for voice in palette("flute+piano")] == [(73, "lead"), (0, "accompaniment")]
    assert [voice.role for voice in palette("flute + harp + cello + warm pad")] == [
        "lead",
        "accompaniment",
        "bass",
        "pad",
    ]


def test_one_name_plays_everything_and_palettes_have_names() -> None:
    assert palette("violin") == (Voice(40, "all"),)
    assert palette("Music Box") == PALETTES["music box"]
    assert palette("piano") == (Voice(0, "all"),)


def test_more_instruments_than_parts_are_refused() -> None:
    with pytest.raises(InputError, match=r"names 5 instruments, and the music has 4 parts"):
        palette("flute+piano+cello+pad+harp")
    with pytest.raises(InputError, match=r"no instrument 'flte'.*did you mean flute.*"):
        palette("flte+piano")
    with pytest.raises(InputError, match=r"or a palette: piano, strings"):
        palette("nonesuch")
    with pytest.raises(InputError, match=r"did you mean flute.*\? Otherwise give a palette: piano, strings"):
        palette("flte")


def played(notes: Notes) -> Performance:
    return Performance(notes, np.arange(len(notes)) / 1000, np.array([[0, 8]]), np.zeros(4))


# A tune over a chord and a bass: C major for a bar, then a lone tune note
PIECE = notes_of(
    [(0, 36, 8, 70, 0), (0, 52, 8, 70, 0), (0, 55, 8, 70, 0), (0, 76, 4, 90, 0), (4, 79, 4, 90, 0), (8, 84, 8, 90, 0)]
)
LEAD = np.array([False, False, False, True, True, True])


def test_the_tune_is_the_highest_line_where_no_track_says_so() -> None:
    np.testing.assert_array_equal(lead_of(PIECE), LEAD)
    under = notes_of([(0, 76, 8, 90, 0), (2, 60, 1, 70, 0), (8, 66, 4, 70, 0)])  # an inner voice, then a low tune
    np.testing.assert_array_equal(lead_of(under), [True, False, True])
    assert len(lead_of(Notes.empty())) == 0


def test_each_voice_gets_its_part_and_no_note_is_lost() -> None:
    parts = arrange(played(PIECE), LEAD, palette("flute+piano+cello"))
    assert [part.performance.notes.pitch.tolist() for part in parts] == [[76, 79, 84], [52, 55], [36]]
    assert parts[1].performance.delay.tolist() == [0.001, 0.002]
    assert sum(len(part.performance.notes) for part in parts) == len(PIECE)
    (alone,) = arrange(played(PIECE), LEAD, palette("piano"))
    assert alone.performance.notes is not PIECE
    np.testing.assert_array_equal(alone.performance.notes.pitch, PIECE.pitch)


def test_a_piano_piece_in_two_parts_keeps_them_as_two_tracks() -> None:
    parts = arrange(played(replace(PIECE, track=(~LEAD).astype(int))), LEAD, palette("piano"))
    assert [part.voice.name for part in parts] == [
        "Acoustic Grand Piano (lead)",
        "Acoustic Grand Piano (accompaniment)",
    ]
    assert [len(part.performance.notes) for part in parts] == [3, 3]


def test_a_pad_holds_the_harmony() -> None:
    parts = arrange(played(PIECE), LEAD, palette("ambient"))
    pad = parts[-1].performance.notes
    assert parts[-1].voice.role == "pad"
    first = pad.select(pad.onset == 0)
    assert set(first.pitch % 12) == {0, 4, 7}
    assert (pad.velocity < PIECE.velocity.mean()).all()
    assert (pad.onset + pad.duration).max() == PIECE.end


def test_voices_without_notes_are_left_out_but_an_empty_piece_keeps_its_tracks() -> None:
    tune = PIECE.select(LEAD)
    assert [part.voice.role for part in arrange(played(tune), np.ones(3, bool), palette("flute+piano"))] == ["lead"]
    assert len(arrange(played(Notes.empty()), np.zeros(0, bool), palette("flute+piano"))) == 2


def test_notes_out_of_range_move_by_octaves() -> None:
    notes = notes_of([(0, 40, 1, 80, 0), (1, 60, 1, 80, 0), (2, 101, 1, 80, 0), (3, 120, 1, 80, 0)])
    assert in_range(notes, 60, 96).pitch.tolist() == [64, 60, 89, 96]


@pytest.mark.parametrize("name", PALETTES)
def test_every_palette_can_play_every_pitch(name: str) -> None:
    every = notes_of([(p, p, 1, 80, 0) for p in range(128)])
    for voice in palette(name):
        low, high = voice.range
        fitted = in_range(every, low, high).pitch
        assert ((fitted >= low) & (fitted <= high)).all()
        np.testing.assert_array_equal(fitted % 12, every.pitch % 12)
