"""The table of notes on a grid of sixteenths: the form in which all packages hold music.

Shape legend: N notes. All times are sixteenth steps (4 to a beat, 16 to a bar of 4/4, 128 to a segment of 8 bars).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np

STEPS_PER_BEAT = 4
BEATS_PER_BAR = 4
STEPS_PER_BAR = STEPS_PER_BEAT * BEATS_PER_BAR
BARS_PER_SEGMENT = 8
BEATS_PER_SEGMENT = BARS_PER_SEGMENT * BEATS_PER_BAR
STEPS_PER_SEGMENT = BARS_PER_SEGMENT * STEPS_PER_BAR
PITCHES = 128


@dataclass(frozen=True)
class Notes:
    """N notes as five integer arrays of shape (N,)."""

    onset: np.ndarray  # sixteenth steps from the start of the piece
    pitch: np.ndarray  # MIDI pitch, 0..127
    duration: np.ndarray  # sixteenth steps, at least 1
    velocity: np.ndarray  # 1..127
    track: np.ndarray  # index of the track a note came from

    def __len__(self) -> int:
        return len(self.onset)

    @classmethod
    def empty(cls) -> "Notes":
        """A piece without notes."""
        return cls(*(np.zeros(0, np.int64) for _ in fields(cls)))

    @classmethod
    def concatenate(cls, parts: Sequence["Notes"]) -> "Notes":
        """All notes of several pieces, in the order given."""
        if not parts:
            return cls.empty()
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))

    @property
    def end(self) -> int:
        """The step after the last sounding one; 0 for an empty piece."""
        return int((self.onset + self.duration).max()) if len(self) else 0

    def select(self, mask: np.ndarray) -> "Notes":
        """The notes a boolean mask or an index array (M,) picks."""
        return Notes(*(getattr(self, field.name)[mask] for field in fields(self)))

    def sorted(self) -> "Notes":
        """By onset, then pitch."""
        return self.select(np.lexsort((self.pitch, self.onset)))

    def without_overlaps(self) -> "Notes":
        """What a MIDI track can hold: of overlapping notes of one pitch and track the newer onset ends the older note.

        Of notes of one pitch, track and onset the longest stays, of equal ones the loudest, so that the order in which
        the notes come does not matter. Sorted by onset and pitch.
        """
        loudest_first = self.select(np.argsort(-self.velocity, kind="stable"))
        line = loudest_first.track * PITCHES + loudest_first.pitch
        kept, duration = cut_overlaps(line, loudest_first.onset, loudest_first.duration)
        notes = loudest_first.select(kept)
        return Notes(notes.onset, notes.pitch, duration, notes.velocity, notes.track).sorted()

    def over_rests(self, longest: int) -> "Notes":
        """The notes before a rest of at most `longest` steps, in which nothing sounds, held until it is over."""
        order, ends = np.argsort(self.onset, kind="stable"), self.onset + self.duration
        reached = np.maximum.accumulate(ends[order])[:-1]
        rest = self.onset[order][1:] - reached  # positive where nothing sounds before a note
        held = np.zeros(self.end + 1, np.int64)
        short = (rest > 0) & (rest <= longest)
        held[reached[short]] = rest[short]
        return replace(self, duration=self.duration + held[ends])

    def shifted(self, steps: int) -> "Notes":
        """Every onset moved by `steps`."""
        return Notes(self.onset + steps, self.pitch, self.duration, self.velocity, self.track)

    def transposed(self, semitones: int) -> "Notes":
        """Every pitch moved by `semitones`; notes that leave 0..127 are dropped."""
        moved = Notes(self.onset, self.pitch + semitones, self.duration, self.velocity, self.track)
        return moved.select((moved.pitch >= 0) & (moved.pitch < PITCHES))

    def window(self, start: int, stop: int) -> "Notes":
        """The notes that start in [start, stop), with onsets counted from `start` and durations cut at `stop`."""
        inside = self.select((self.onset >= start) & (self.onset < stop))
        duration = np.minimum(inside.duration, stop - inside.onset)
        return Notes(inside.onset - start, inside.pitch, duration, inside.velocity, inside.track)


def cut_overlaps(line: np.ndarray, onset: np.ndarray, duration: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """End each note where the next one on its line starts.

    `line` (N,) says which notes cannot sound together (a pitch, or a pitch of a track). Of the notes that start
    together on one line the longest is kept, of equal ones the first. Returns the indices of the M notes kept, ordered
    by line and onset, and their durations (M,).
    """
    if len(onset) == 0:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    first = int(onset.min())
    span = int((onset + duration).max()) - first + 1
    key = line.astype(np.int64) * span + (onset - first)  # one axis: a line ends before the next one begins
    order = np.lexsort((-duration, key))
    key = key[order]
    longest = np.append(True, key[1:] != key[:-1])
    order, key = order[longest], key[longest]
    return order, np.minimum(duration[order], np.append(np.diff(key), span))
