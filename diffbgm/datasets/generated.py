"""Songs generated from a seed: four-chord progressions with bass, broken chords and a melody. No files are needed.

They serve tests, `experiment=smoke`, and anyone who wants to see a training run before fetching data.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffbgm.datasets.song import Song, segment_starts
from diffbgm.datasets.splits import seeded_split
from diffbgm.fields import check, field
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD

_MAJOR, _MINOR = (0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10)
_PROGRESSIONS = ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (0, 3, 4, 0))  # scale degrees, one per bar
_ENERGY = (0.3, 0.6, 0.9, 0.5)  # density of successive four-bar phrases, as a probability of melody notes


@dataclass(frozen=True)
class GeneratedSettings:
    """What the config calls the arguments of `GeneratedSongs`."""

    count: int = field(16, low=1, high=100_000, help="songs")
    bars: int = field(16, low=1, high=10_000, help="of each song")
    data_seed: int = field(0, low=0, high=2**63 - 1)
    validation: float = field(0.2, low=0, high=1, help="share of the songs")


class GeneratedSongs:
    """`count` songs of `bars` bars; song k of a seed is always the same."""

    name = "generated"

    def __init__(self, count: int = 16, bars: int = 16, seed: int = 0, validation: float = 0.2) -> None:
        given = {"count": count, "bars": bars, "data_seed": seed, "validation": validation}
        check(GeneratedSettings, given, "data")
        self.count, self.bars, self.seed, self.validation = count, bars, seed, validation

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """The song ids; there are no files."""
        return {f"{k:04d}": () for k in range(self.count)}

    def excluded(self) -> Mapping[str, str]:
        """No song is excluded."""
        return {}

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """A seeded split by song."""
        return seeded_split(songs, self.seed, self.validation)

    def settings(self) -> Mapping[str, object]:
        """All arguments."""
        return vars(self)

    def read(self, song: str) -> Song:
        """Song number `song`."""
        rng = np.random.default_rng([self.seed, int(song)])
        minor = bool(rng.random() < 0.5)
        scale, tonic = np.array(_MINOR if minor else _MAJOR), int(rng.integers(12))
        progression = _PROGRESSIONS[rng.integers(len(_PROGRESSIONS))]
        beats = self.bars * BEATS_PER_BAR
        chords = np.zeros((beats, 12), bool)
        rows: list[tuple[int, int, int, int]] = []  # onset, pitch, duration, part
        for bar in range(self.bars):
            degrees = progression[bar % len(progression)] + np.array([0, 2, 4])
            triad = tonic + scale[degrees % 7] + 12 * (degrees // 7)
            chords[bar * BEATS_PER_BAR : (bar + 1) * BEATS_PER_BAR, triad % 12] = True
            rows += _bar(bar * STEPS_PER_BAR, triad, tonic + scale, _ENERGY[bar // 4 % len(_ENERGY)], rng)
        onset, pitch, duration, track = np.array(rows, np.int64).T
        notes = Notes(onset, pitch, duration, np.full(len(rows), 80), track).sorted()
        downbeats = np.arange(0, beats, BEATS_PER_BAR)
        mode = np.full(beats, -1 if minor else 1)
        return Song(song, notes, beats, downbeats, segment_starts(downbeats, beats), chords, mode)


def _bar(
    start: int, triad: np.ndarray, scale: np.ndarray, energy: float, rng: np.random.Generator
) -> list[tuple[int, int, int, int]]:
    """One bar of bass and broken chords (accompaniment) and melody (lead); more energy gives more and higher notes."""
    bass = [(start, 36 + int(triad[0]) % 12, STEPS_PER_BAR, ACCOMPANIMENT)]
    step = 2 if energy > 0.5 else STEPS_PER_BEAT
    broken = [(start + s, 48 + int(triad[s // step % 3]), step, ACCOMPANIMENT) for s in range(0, STEPS_PER_BAR, step)]
    melody = []
    for s in range(0, STEPS_PER_BAR, 2):
        if rng.random() < energy:
            tones = triad if s % STEPS_PER_BEAT == 0 else scale
            melody.append((start + s, 60 + 12 * (energy > 0.5) + int(rng.choice(tones)) % 12, 2, LEAD))
    return bass + broken + melody
