"""The form of a piece: sections of eight bars, named by letters; sections of one letter share a theme.

A network that knows eight bars at a time cannot bring back what it no longer sees. So a section of each letter is
sketched on its own first, and its theme (music/theme.py: chords and groove, without the notes) is what every section of
that letter is asked for. The notes themselves follow the video everywhere.

Shape legend: S steps and T beats of a section (128 and 32), N beats of a piece, P pitches, 16 numbers of a theme.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.music.theme import THEME_WIDTH, groove_of, harmony_of

FREE = "free"  # no form
CHORD_BEATS = 2  # over which a section's harmony is taken


@dataclass(frozen=True)
class Section:
    """Eight bars (fewer at the end of a piece)."""

    letter: str
    beat: int  # the first one

    @property
    def span(self) -> slice:
        """Its beats, were it whole."""
        return slice(self.beat, self.beat + BEATS_PER_SEGMENT)


def check_form(form: str) -> None:
    """InputError where `form` is neither free nor letters."""
    if form != FREE and not re.fullmatch("[A-Z]+", form):
        raise InputError(f"form is {form!r}; give a letter for every eight bars, such as AABA, or {FREE}")


def sections(form: str, beats: int) -> list[Section]:
    """The sections of a piece of N beats: the letters of `form`, again and again. None where it is free."""
    starts = range(0, beats, BEATS_PER_SEGMENT)
    return [] if form == FREE else [Section(form[k % len(form)], beat) for k, beat in enumerate(starts)]


def first_sections(parts: list[Section]) -> list[Section]:
    """The first section of each letter, in the order in which they come."""
    first: dict[str, Section] = {}
    for part in parts:
        first.setdefault(part.letter, part)
    return list(first.values())


def theme_of(roll: np.ndarray, span: int = CHORD_BEATS) -> np.ndarray:
    """The theme (T, 16) of a section's roll (2, S, P) of 0 and 1, its harmony taken over every `span` beats."""
    return np.concatenate([harmony_of(roll, span), groove_of(roll)], axis=-1)


def common_theme(roll: np.ndarray) -> np.ndarray:
    """What other letters keep of a section's roll (2, S, P): pitch classes on the whole, and groove; (T, 16)."""
    return theme_of(roll, BEATS_PER_SEGMENT)


def laid_out(parts: list[Section], themes: Mapping[str, np.ndarray], beats: int) -> np.ndarray:
    """The theme of every beat of a piece (N, 16): that of its section's letter in `themes`, zeros outside `parts`."""
    plane = np.zeros((beats + BEATS_PER_SEGMENT, THEME_WIDTH), np.float32)
    for part in parts:
        plane[part.span] = themes[part.letter]
    return plane[:beats]
