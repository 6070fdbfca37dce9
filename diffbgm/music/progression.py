"""Planning the chords of a piece before its notes: an n-gram model of POP909's annotated progressions, in their keys.

    model = Progressions.load()
    chords = model.plan(Key.parse("A minor"), [("A", 8), ("B", 8), ("A", 5)], pace=0.3, rng=np.random.default_rng(0))

Pop songs repeat loops of a few bars: a section draws how long its loop is, where in it chords change (more often in
slow songs), and each chord from the two before it, with backoff to one and none (Witten & Bell 1991). The last bar of a
section leads on as POP909's eighth bars do, and the last bars of the piece close on the tonic.
`scripts/fit_harmony.py` counts all of this; progressions.npz holds the counts.

Shape legend: K chords of the vocabulary, as degree of the key and quality; 2 modes (major, minor).
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path

import numpy as np

from diffbgm.music.harmony import Chord
from diffbgm.music.key import Key

HALVES = 2  # chords of a bar, at most
LOOPS = (2, 4, 8)  # lengths that a loop may have, in bars
SURENESS = 1.5  # exponent of the probabilities from which chords are drawn
MODEL = Path(__file__).with_name("progressions.npz")


@dataclass(frozen=True)
class Progressions:
    """The counts. Only changes of chord are counted: a chord never follows itself."""

    degree: np.ndarray  # (K,) semitones of the root above the tonic
    quality: np.ndarray  # (K,) names as in `QUALITIES`
    three: np.ndarray  # (2, K, K, K) a chord after the two before
    first: np.ndarray  # (2, K) at the beginning of eight bars
    last: np.ndarray  # (2, K) at their end
    close: np.ndarray  # (2, K) before the last tonic of a song
    loops: np.ndarray  # (3,) how many songs have loops of each length of `LOOPS`
    changes: np.ndarray  # (3, 16) probability of a change at each half bar of eight, in slow, medium and fast songs
    paces: np.ndarray  # (2,) BPM between these

    @classmethod
    def load(cls, path: Path = MODEL) -> "Progressions":
        """The model that ships with the package."""
        with np.load(path, allow_pickle=False) as arrays:
            return cls(*(arrays[field.name] for field in fields(cls)))

    def plan(self, key: Key, sections: Sequence[tuple[str, int]], pace: float, rng: np.random.Generator) -> list[Chord]:
        """A chord for every half bar of a piece, whose sections have letters and bars; equal letters get equal chords.

        `pace` in [0, 1] chooses the third of the songs whose changes are counted: 0 has the fewest. The last bar is the
        tonic, and the one before it leads there.
        """
        third = 2 - min(2, int(3 * pace))
        loops: dict[str, list[int]] = {}
        plan: list[int] = []
        for letter, bars in sections:
            if letter not in loops:
                loops[letter] = self._section(int(key.minor), third, rng)
            plan += loops[letter][: HALVES * bars]
        return [self._chord(number, key) for number in self._closed(plan, int(key.minor), rng)]

    def _section(self, minor: int, third: int, rng: np.random.Generator) -> list[int]:
        """Eight bars: a repeated loop, the last bar of which leads on."""
        bars = int(rng.choice(LOOPS, p=self.loops / self.loops.sum()))
        chords: list[int] = []
        for half in range(HALVES * bars):
            if not chords:
                chords.append(_draw(self.first[minor], rng))
            elif rng.random() < self.changes[third, half]:
                chords.append(_draw(self._next(minor, chords), rng))
            else:
                chords.append(chords[-1])
        chords = (chords * (max(LOOPS) // bars))[: HALVES * max(LOOPS)]
        before = chords[:-HALVES]
        leads = self._next(minor, before) * (self.last[minor] + 1) / (self.three[minor].sum((0, 1)) + 1)
        return before + [_draw(leads, rng)] * HALVES

    def _closed(self, plan: list[int], minor: int, rng: np.random.Generator) -> list[int]:
        """The plan with a cadence in its last two bars; a plan of one bar is the tonic."""
        tonic = self._tonic(minor)
        body = plan[: -2 * HALVES]
        if len(plan) <= HALVES:
            return [tonic] * len(plan)
        weights = self.close[minor] + 0.0
        weights[tonic] = 0
        if body:
            weights = weights * (self._next(minor, body) + 1e-3)
        return body + [_draw(weights, rng)] * (len(plan) - len(body) - HALVES) + [tonic] * HALVES

    def _next(self, minor: int, chords: Sequence[int]) -> np.ndarray:
        """Probabilities (K,) of the next chord, which differs from the last, given the last two different ones."""
        three = self.three[minor].astype(np.float64)
        found = three.sum((0, 1)) + 1e-9
        found = _backed(three.sum(0)[chords[-1]], found / found.sum())
        before = [chord for chord in chords if chord != chords[-1]]
        if before:
            found = _backed(three[before[-1], chords[-1]], found)
        found[chords[-1]] = 0
        return found / found.sum()

    def _tonic(self, minor: int) -> int:
        return int(np.flatnonzero((self.degree == 0) & (self.quality == ("m" if minor else "")))[0])

    def _chord(self, number: int, key: Key) -> Chord:
        return Chord((key.tonic + int(self.degree[number])) % 12, str(self.quality[number]))


@lru_cache(maxsize=1)
def progressions() -> Progressions:
    """The model that ships with the package, read once."""
    return Progressions.load()


def _backed(counts: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """Witten-Bell: counts (K,) mixed with a shorter context's probabilities, weighted by the kinds of chords."""
    kinds = (counts > 0).sum()
    return (counts + kinds * shorter) / (counts.sum() + kinds) if kinds else shorter


def _draw(weights: np.ndarray, rng: np.random.Generator) -> int:
    """Draw one of K from weights that are sharpened, so that what is rare in thousands of songs stays rare."""
    sure = (weights / weights.sum()) ** SURENESS
    return int(rng.choice(len(sure), p=sure / sure.sum()))
