"""The chords of a piece, decided before its notes: given by the user, or planned in a key."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.generation.form import CONTINUED, Section, sections
from diffbgm.music.harmony import Chord, bars_of, harmony_plane, over_bars, share_heard
from diffbgm.music.key import Key
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.progression import progressions
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import MIDDLE, average, pace, warmth

USUAL = "AABA"  # letters of a plan for a piece without a form
SEED = 2_000_003  # separates the seed of the plan from that of the notes


@dataclass(frozen=True)
class HarmonyPlan:
    """Consecutive chords of equal length, from the first beat on."""

    chords: tuple[Chord, ...]
    each: int  # beats per chord

    def plane(self, beats: int) -> np.ndarray:
        """The requested pitch classes of every beat, (N, 12) float32."""
        return harmony_plane(self.chords, beats, self.each)

    def heard(self, notes: Notes) -> float | None:
        """Share of the chords that the notes contain where they were requested."""
        return share_heard(notes, self.chords, self.each * STEPS_PER_BEAT)


def wished(chords: Sequence[Chord], beats: int) -> HarmonyPlan:
    """One chord per bar, repeated to the end. Raises InputError for more chords than a piece of N beats has bars."""
    return HarmonyPlan(tuple(over_bars(chords, bars_of(beats))), BEATS_PER_BAR)


def planned(features: BeatFeatures, seed: tuple[int, ...], parts: Sequence[Section], key: Key | None) -> HarmonyPlan:
    """Chords for a piece from the model of music/progression.py: two per bar, equal in sections of one letter.

    Unless `key` is given, its tonic is drawn from the seed and its mode follows the picture: major if it is warm. More
    motion makes the chords change more often.
    """
    rng = np.random.default_rng([*seed, SEED])
    tonic = int(rng.integers(12))
    motion, warm = (average(stream, features) for stream in (pace(features), warmth(features)))
    key = Key(tonic, warm < MIDDLE) if key is None else key
    bars = bars_of(len(features.visual))
    parts = parts or sections(USUAL, len(features.visual))
    starts = [part.beat // BEATS_PER_BAR for part in parts]
    # A section without a letter gets its own chords.
    letters = [f"-{k}" if part.letter == CONTINUED else part.letter for k, part in enumerate(parts)]
    lengths = np.diff([*starts, bars]).tolist()
    chords = progressions().plan(key, list(zip(letters, lengths, strict=True)), motion, rng)
    return HarmonyPlan(tuple(chords), BEATS_PER_BAR // 2)
