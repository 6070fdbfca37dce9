"""The form of a piece: sections of eight bars, named by letters; sections with the same letter repeat.

A network that sees eight bars at a time cannot repeat earlier music. Therefore one section of each letter is sketched
first. Every section of that letter is conditioned on the theme of the sketch (music/theme.py: chords and groove,
without the notes) and, if the network takes references, on the sketch itself and on how closely to resemble it. A
section without a letter (-) continues the figure of the previous one. With form=auto, sections begin at cuts near a bar
line four to eight bars after the last one, and sections that look alike share a letter.

Shape legend: S steps and T beats of a section (128 and 32), N beats of a piece, P pitches, C planes, 16 numbers of a
theme.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from string import ascii_uppercase

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.notes import BEATS_PER_BAR, BEATS_PER_SEGMENT, STEPS_PER_BEAT
from diffbgm.music.parts import reference_planes
from diffbgm.music.theme import HARMONY, THEME_WIDTH, groove_of, harmony_of

FREE, AUTO = "free", "auto"  # no form; a form derived from the shots
CONTINUED = "-"  # instead of a letter: continue the previous section
FIGURE = 0.3  # how closely a continued section resembles the previous one: its figure, not its tune
CHORD_BEATS = 2  # beats over which a section's harmony is averaged
SHORTEST = BEATS_PER_SEGMENT // 2  # beats of the shortest section that a cut may end
ALIKE = 0.1  # sections whose features differ by less (root mean square) share a letter


@dataclass(frozen=True)
class Section:
    """Eight bars (fewer before a cut and at the end of a piece)."""

    letter: str
    beat: int  # the first one
    beats: int = BEATS_PER_SEGMENT  # its length; the last section may extend beyond the end of the piece

    @property
    def span(self) -> slice:
        """The eight bars that begin with it."""
        return slice(self.beat, self.beat + BEATS_PER_SEGMENT)


def check_form(form: str) -> None:
    """Raise InputError unless `form` is free, auto or a sequence of letters and "-"."""
    if form not in (FREE, AUTO) and not re.fullmatch("[A-Z][A-Z-]*", form):
        raise InputError(
            f"form is {form!r}; give one letter per eight bars, such as AABA, with - to continue the previous section, "
            f"or {AUTO} or {FREE}"
        )


def sections(form: str, beats: int) -> list[Section]:
    """The sections of a piece of N beats, with the letters of `form` repeated; empty for a free form."""
    return [] if form == FREE else lettered(form, range(0, beats, BEATS_PER_SEGMENT))


def lettered(form: str, starts: Sequence[int]) -> list[Section]:
    """Sections that begin at these beats, with the letters of `form` repeated."""
    stops = [*starts[1:], starts[-1] + BEATS_PER_SEGMENT]
    spans = zip(starts, stops, strict=True)
    return [Section(form[k % len(form)], start, stop - start) for k, (start, stop) in enumerate(spans)]


def starts_at_cuts(cut: np.ndarray) -> list[int]:
    """First beats of the sections of a piece whose shots begin at the beats of `cut` (N,) bool.

    A section ends at the last bar line after four to eight bars that is within a beat of a cut, or else after eight
    bars.
    """
    starts = [0]
    while len(cut) - starts[-1] > BEATS_PER_SEGMENT:
        lines = range(starts[-1] + SHORTEST, starts[-1] + BEATS_PER_SEGMENT + 1, BEATS_PER_BAR)
        near = [line for line in lines if cut[line - 1 : line + 2].any()]
        starts.append(near[-1] if near else lines[-1])
    return starts


def letters_of(seen: np.ndarray, starts: Sequence[int]) -> str:
    """A letter for each section that begins at `starts`; sections with similar features `seen` (N, D) share a letter.

    The mean over the beats of a section is compared with that of the first section of each letter.
    """
    means = [part.mean(axis=0) for part in np.split(seen, starts[1:])]
    first: list[np.ndarray] = []
    letters = ""
    for mean in means:
        apart = [float(np.sqrt(np.mean((mean - other) ** 2))) for other in first]
        if apart and (min(apart) < ALIKE or len(first) == len(ascii_uppercase)):
            letters += ascii_uppercase[int(np.argmin(apart))]
        else:
            letters += ascii_uppercase[len(first)]
            first.append(mean)
    return letters


def first_sections(parts: list[Section]) -> list[Section]:
    """The first section of each letter, in order."""
    first: dict[str, Section] = {}
    for part in parts:
        if part.letter != CONTINUED:
            first.setdefault(part.letter, part)
    return list(first.values())


def theme_of(roll: np.ndarray, span: int = CHORD_BEATS) -> np.ndarray:
    """The theme (T, 16) of a section's binary roll (2, S, P), with harmony averaged over every `span` beats."""
    return np.concatenate([harmony_of(roll, span), groove_of(roll)], axis=-1)


def common_theme(roll: np.ndarray) -> np.ndarray:
    """The theme (T, 16) of a roll (2, S, P) that sections of other letters share: overall pitch classes and groove."""
    return theme_of(roll, BEATS_PER_SEGMENT)


def laid_out(parts: list[Section], themes: Mapping[str, np.ndarray], beats: int) -> np.ndarray:
    """The theme of every beat of a piece (N, 16): that of its section's letter in `themes`, zeros outside `parts`.

    A continued section has the groove of the one before it in `parts`, and no chords.
    """
    plane = np.zeros((beats + BEATS_PER_SEGMENT, THEME_WIDTH), np.float32)
    for part, letter in _led(parts):
        plane[part.beat : part.beat + part.beats] = themes[letter][: part.beats]
        if part.letter == CONTINUED:
            plane[part.beat : part.beat + part.beats, HARMONY] = 0
    return plane[:beats]


def references(parts: list[Section], sketches: Mapping[str, np.ndarray], beats: int, reprise: float) -> np.ndarray:
    """The reference hint (C + 1, 4 N, P) of a piece, from the sketches (C, S, P) of its letters.

    The first section of a letter is to equal its sketch; later ones resemble it by `reprise`, continued ones by
    `FIGURE`.
    """
    planes, _, pitches = next(iter(sketches.values())).shape
    told = np.zeros((planes + 1, (beats + BEATS_PER_SEGMENT) * STEPS_PER_BEAT, pitches), np.float32)
    first = first_sections(parts)
    for part, letter in _led(parts):
        steps = part.beats * STEPS_PER_BEAT
        asked = FIGURE if part.letter == CONTINUED else 1.0 if part in first else reprise
        where = slice(part.beat * STEPS_PER_BEAT, part.beat * STEPS_PER_BEAT + steps)
        told[:, where] = reference_planes(sketches[letter][:, :steps], asked)
    return told[:, : beats * STEPS_PER_BEAT]


def _led(parts: list[Section]) -> Iterator[tuple[Section, str]]:
    """Each section with the letter whose sketch is its hint; a continuation with nothing before it is skipped."""
    letter = CONTINUED
    for part in parts:
        letter = letter if part.letter == CONTINUED else part.letter
        if letter != CONTINUED:
            yield part, letter
