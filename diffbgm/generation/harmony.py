"""The chords of a piece, decided before its notes: those that were asked for, or a plan in a key."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.generation.form import CONTINUED, Section, sections
from diffbgm.music.harmony import Chord, bars_of, harmony_plane, over_bars, share_heard
from diffbgm.music.key import Key
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.progression import progressions
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import pace, warmth

USUAL = "AABA"  # letters of a plan for a piece without a form
HARMONY = 2_000_003  # tells the seed of the plan from that of the notes
MIDDLE = 0.5  # of pace and warmth, where the picture does not say


@dataclass(frozen=True)
class HarmonyPlan:
    """Chords that follow one another from the first beat on, each as long."""

    chords: tuple[Chord, ...]
    each: int  # beats of a chord

    def plane(self, beats: int) -> np.ndarray:
        """What is asked of every beat, (N, 12) float32."""
        return harmony_plane(self.chords, beats, self.each)

    def heard(self, notes: Notes) -> float | None:
        """Share of the chords that are heard where they were asked."""
        return share_heard(notes, self.chords, self.each * STEPS_PER_BEAT)


def wished(chords: Sequence[Chord], beats: int) -> HarmonyPlan:
    """A chord a bar, again and again. InputError for more than the piece of N beats has bars."""
    return HarmonyPlan(tuple(over_bars(chords, bars_of(beats))), BEATS_PER_BAR)


def planned(features: BeatFeatures, seed: tuple[int, ...], parts: Sequence[Section], key: Key | None) -> HarmonyPlan:
    """Chords for a piece by the model of music/progression.py: two a bar, alike in sections of one letter.

    The key's tonic is drawn from the seed unless given, its mode is that of the picture: major where it is warm. The
    more motion, the more often chords change.
    """
    rng = np.random.default_rng([*seed, HARMONY])
    tonic = int(rng.integers(12))
    motion, warm = (
        MIDDLE if stream is None else float(stream[features.valid].mean())
        for stream in (pace(features), warmth(features))
    )
    key = Key(tonic, warm < MIDDLE) if key is None else key
    bars = bars_of(len(features.visual))
    parts = parts or sections(USUAL, len(features.visual))
    starts = [part.beat // BEATS_PER_BAR for part in parts]
    # A section without a letter has chords of its own, whatever others there are.
    letters = [f"-{k}" if part.letter == CONTINUED else part.letter for k, part in enumerate(parts)]
    lengths = np.diff([*starts, bars]).tolist()
    chords = progressions().plan(key, list(zip(letters, lengths, strict=True)), motion, rng)
    return HarmonyPlan(tuple(chords), BEATS_PER_BAR // 2)
