"""Overlapped area (OA): how similar two sets of music are, feature by feature.

    oa             overlap of the two sets' densities of a feature's values, averaged over the features
    oa_distances   overlap of the density of distances within the real set and that of distances between the two sets

Both are 1 for equal sets and 0 for sets with nothing in common. `oa_distances` is the measure of Yang & Lerch, "On the
evaluation of generative models in music", Neural Computing and Applications 2020, section 3.2. It is the more lenient
one: a generator that always plays the mean of a feature keeps five sixths of it and loses nearly all of `oa`; real
music against real music reaches 0.97, and 0.91 in `oa`. The densities are Gaussian kernel estimates with Scott's rule,
as in that paper. Segments of the same song are never compared with each other (our choice).

Shape legend: n and m segments of the two sets, F features, G = 2 * CELLS cells of a density.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.evaluation.segment_features import FEATURES, segment_features
from diffbgm.music.notes import Notes

CELLS = 512  # histogram cells over the range of the values
RESAMPLES, HALVINGS = 200, 5


@dataclass(frozen=True)
class SegmentSet:
    """The features of many segments, and the song of each."""

    features: np.ndarray  # (n, F), NaN where a feature could not be computed
    song: np.ndarray  # (n,) song names

    @classmethod
    def of(cls, songs: Mapping[str, Sequence[Notes]]) -> "SegmentSet":
        """The segments of each song."""
        features = [segment_features(part) for parts in songs.values() for part in parts]
        names = [name for name, parts in songs.items() for _ in parts]
        return cls(np.array(features).reshape(-1, len(FEATURES)), np.array(names, str))

    def __len__(self) -> int:
        return len(self.song)

    @property
    def names(self) -> list[str]:
        """The songs, sorted."""
        return sorted(set(self.song.tolist()))

    def chosen(self, names: Iterable[str]) -> "SegmentSet":
        """The segments of the named songs; a song named twice contributes its segments twice."""
        rows = [np.flatnonzero(self.song == name) for name in names]
        index = np.concatenate([np.zeros(0, np.int64), *rows])
        return SegmentSet(self.features[index], self.song[index])

    def known(self, column: int) -> tuple[np.ndarray, np.ndarray]:
        """The values of a feature where it could be computed, and their songs."""
        values = self.features[:, column]
        known = np.isfinite(values)
        return values[known], self.song[known]


Measure = Callable[[SegmentSet, SegmentSet], Mapping[str, float]]  # `overlap` or `distance_overlap`


def overlap(generated: SegmentSet, real: SegmentSet) -> Mapping[str, float]:
    """`oa` of each feature, in [0, 1]; a feature without any value in one of the sets is left out."""
    areas: dict[str, float] = {}
    for column, name in enumerate(FEATURES):
        got, asked = generated.known(column)[0], real.known(column)[0]
        if len(got) and len(asked):
            areas[name] = common_area(got, asked)
    return areas


def distance_overlap(generated: SegmentSet, real: SegmentSet) -> Mapping[str, float]:
    """`oa_distances` of each feature, in [0, 1]; a feature with values in fewer than two songs is left out."""
    areas: dict[str, float] = {}
    for column, name in enumerate(FEATURES):
        got, asked = generated.known(column), real.known(column)
        across, within = _distances(got, asked), _distances(asked, asked)
        if len(across) and len(within):
            areas[name] = common_area(across, within)
    return areas


def mean_of(areas: Mapping[str, float]) -> float:
    """The mean over the features of `overlap` or `distance_overlap`."""
    return float(np.mean(list(areas.values())))


def overlap_interval(generated: SegmentSet, real: SegmentSet, seed: int) -> list[float]:
    """95 % bootstrap interval of the mean of `overlap`, with the songs of both sets resampled.

    Resampled sets differ more than the sets they were drawn from, which biases the quantiles downwards; they are
    shifted by the bias of the resampled mean.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(RESAMPLES):
        drawn = [part.chosen(rng.choice(part.names, len(part.names))) for part in (generated, real)]
        found.append(mean_of(overlap(*drawn)))
    bounds = np.quantile(found, (0.025, 0.975)) + mean_of(overlap(generated, real)) - np.mean(found)
    return [float(bound) for bound in np.clip(bounds, 0, 1)]


def halves(measure: Measure, real: SegmentSet, seed: int) -> float:
    """A measure of one half of the real songs against the other half, averaged over random splits.

    A half is smaller than the whole set, so this is slightly lower than the value for two whole sets of songs.
    """
    rng = np.random.default_rng(seed)
    splits = [np.array_split(rng.permutation(real.names), 2) for _ in range(HALVINGS)]
    return float(np.mean([mean_of(measure(real.chosen(one), real.chosen(other))) for one, other in splits]))


def common_area(one: np.ndarray, other: np.ndarray) -> float:
    """The overlap of the densities of two samples (n,) and (m,), in [0, 1]."""
    lowest = min(one.min(), other.min())
    span = float(max(one.max(), other.max()) - lowest)
    return float(np.minimum(*(_density(part - lowest, span) for part in (one, other))).sum())


def _density(values: np.ndarray, span: float) -> np.ndarray:
    """Gaussian kernel density (G,) of values (n,) in [0, span], with sum 1.

    Values are binned first, which moves each by at most half a cell, and smoothed by FFT on a circle twice as long as
    the span, so that the ends do not mix. A sample without spread gets a kernel two cells wide.
    """
    width = span / CELLS if span > 0 else 1.0
    cell = np.minimum((values / width).astype(np.int64), CELLS - 1)
    counts = np.bincount(cell, minlength=2 * CELLS) / len(values)
    bandwidth = max(2.0, values.std() * len(values) ** -0.2 / width)
    kernel = np.exp(-2 * (np.pi * bandwidth * np.fft.rfftfreq(2 * CELLS)) ** 2)
    return np.maximum(np.fft.irfft(np.fft.rfft(counts) * kernel), 0)


def _distances(one: tuple[np.ndarray, np.ndarray], other: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Absolute differences of all pairs from different songs; within one set every pair occurs twice."""
    (a, song_a), (b, song_b) = one, other
    return np.abs(a[:, None] - b[None, :])[song_a[:, None] != song_b[None, :]]
