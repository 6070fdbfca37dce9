"""The nine condition streams of `features=lite`, a common representation of videos and of music.

A video yields raw measures per beat (how much moves, how bright, how warm), and so does music (how many notes, how
high, how major). Both become the same streams here: the mean of each measure's level in a reference population and its
rank within the piece. So a network trained on measures of music can be conditioned on measures of video (self-pairing
after Di et al., "Video Background Music Generation with Controllable Music Transformer", 2021). A sentence on pace,
light and colour describes each span between cuts. Only numpy is needed.
"""

# N beats of the piece, 9 streams, Q = 101 quantiles (0 %, 1 %, ..., 100 %) of a reference population

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from diffbgm.music.density import rank

STREAMS = (
    "motion",
    "motion_onset",
    "cut",
    "since_cut",
    "until_cut",
    "brightness",
    "contrast",
    "colourfulness",
    "warmth",
)
MEASURES = ("motion", "accent", "brightness", "contrast", "colourfulness", "warmth")
STREAM_OF = {name: "motion_onset" if name == "accent" else name for name in MEASURES}

QUANTILES = 101
CUT_MEMORY_SECONDS = 2.0  # since_cut and until_cut fall to 1/e in this time
LEVEL_DECIMALS = 2  # changes smaller than a hundredth of the population are ignored within a piece

PACES = ("slow", "steady", "fast")
LIGHTS = ("dark", "softly lit", "bright")
COLOURS = ("cool", "neutral", "warm")
SENTENCES = tuple(
    f"A {pace}, {light} scene in {colour} colours." for pace in PACES for light in LIGHTS for colour in COLOURS
)


@dataclass(frozen=True)
class Measures:
    """Raw measures of a piece, one value per beat, in any unit; larger values mean more of the named quantity."""

    motion: NDArray[np.floating]  # (N,)
    accent: NDArray[np.floating]  # (N,)
    brightness: NDArray[np.floating]  # (N,)
    contrast: NDArray[np.floating]  # (N,)
    colourfulness: NDArray[np.floating]  # (N,)
    warmth: NDArray[np.floating]  # (N,)
    cut: NDArray[np.bool_]  # (N,) whether a new shot or phrase begins in the beat

    def __post_init__(self) -> None:
        assert len({np.shape(array) for array in vars(self).values()}) == 1, "measures of different lengths"

    def __len__(self) -> int:
        return len(self.motion)


@dataclass(frozen=True)
class Reference:
    """A population of measures, as the 0 %, 1 %, ..., 100 % quantiles of each."""

    quantiles: Mapping[str, NDArray[np.floating]]  # measure -> (101,) non-decreasing

    @classmethod
    def of(cls, pieces: Iterable[Measures]) -> "Reference":
        """The population of all beats of all pieces (at least one beat)."""
        pieces = list(pieces)
        grid = np.linspace(0.0, 1.0, QUANTILES)
        return cls({name: np.quantile(np.concatenate([getattr(p, name) for p in pieces]), grid) for name in MEASURES})

    def level(self, name: str, values: NDArray[np.floating]) -> NDArray[np.float64]:
        """The level in [0, 1] of each value in the population, same shape; tied quantiles share their mean level."""
        distinct, where, counts = np.unique(self.quantiles[name], return_inverse=True, return_counts=True)
        middle = np.bincount(where, weights=np.linspace(0.0, 1.0, QUANTILES)) / counts
        return np.interp(values, distinct, middle)


def spans(cut: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First beat and end (exclusive) of each span between cuts, (S,) and (S,), from cut flags (N,)."""
    starts = np.union1d(np.zeros(min(len(cut), 1), dtype=np.int64), np.flatnonzero(cut))
    return starts, np.append(starts, len(cut))[1:]


def levels(measures: Measures, reference: Reference, beat_seconds: float = 0.5) -> NDArray[np.float32]:
    """The nine streams of a piece, (N, 9) in [0, 1], columns as in `STREAMS`.

    A measured stream is the mean of the level in the reference population and the rank within the piece. Ranks are
    computed from rounded levels, so that differences which are negligible in the population (coding noise of a still
    picture) do not count. since_cut is exp(-s / 2), where s is the time in seconds since the last cut or the start;
    until_cut is the same for the time to the next cut or the end.
    """
    beats = len(measures)
    streams = {}
    for name in MEASURES:
        level = reference.level(name, getattr(measures, name))
        streams[STREAM_OF[name]] = 0.5 * level + 0.5 * rank(np.round(level, LEVEL_DECIMALS))
    beat = np.arange(beats)
    starts, ends = spans(measures.cut)
    span = np.searchsorted(starts, beat, side="right") - 1
    streams["cut"] = np.asarray(measures.cut, dtype=np.float64)
    streams["since_cut"] = np.exp(-(beat - starts[span]) * beat_seconds / CUT_MEMORY_SECONDS)
    streams["until_cut"] = np.exp(-(ends[span] - beat) * beat_seconds / CUT_MEMORY_SECONDS)
    return np.stack([streams[name] for name in STREAMS], axis=1).astype(np.float32)


def _third(level: float) -> int:
    return int(level >= 1 / 3) + int(level >= 2 / 3)


def sentence_index(motion: float, brightness: float, warmth: float) -> int:
    """The index in `SENTENCES` for a span with these mean levels, each divided at 1/3 and 2/3."""
    return 9 * _third(motion) + 3 * _third(brightness) + _third(warmth)


def describe(streams: NDArray[np.floating]) -> NDArray[np.int64]:
    """The sentence index of each beat, (N, 9) -> (N,): one sentence per span between cuts, from its mean levels."""
    beats = len(streams)
    index = np.zeros(beats, dtype=np.int64)
    columns = [STREAMS.index(name) for name in ("motion", "brightness", "warmth")]
    for start, stop in zip(*spans(streams[:, STREAMS.index("cut")] > 0.5), strict=True):
        motion, brightness, warmth = streams[start:stop, columns].mean(axis=0, dtype=np.float64)
        index[start:stop] = sentence_index(motion, brightness, warmth)
    return index
