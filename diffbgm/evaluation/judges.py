"""Generated music against real music as a whole: overlapped area (`overlap.py`) and a classifier (`two_sample.py`)."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.overlap import SegmentSet, distance_overlap, halves, mean_of, overlap, overlap_interval
from diffbgm.evaluation.segment_features import FEATURES
from diffbgm.evaluation.two_sample import two_sample
from diffbgm.music.notes import Notes

JUDGES = {"overlap": ("oa", "oa_distances"), "two_sample": ("two_sample",)}  # group -> its metrics
MEASURES = {"oa": overlap, "oa_distances": distance_overlap}
Songs = Mapping[str, Sequence[Notes]]  # 8-bar segments by song; a piece is named like the song its condition is from


def judge_overlap(generated: Songs, real: Songs, other: Songs | None, seed: int) -> dict[str, dict[str, Any]]:
    """Summaries of `oa` and `oa_distances`: mean, ci95 (of `oa` only), number of segments n, and `ceiling`.

    The ceiling is the value for the real songs against equally many and equally long `other` real songs or, without
    others, for one half of the real songs against the other half. `features` of `oa` gives the area and the two means
    of each feature. Raises InputError if either set has fewer than four songs of eight bars.
    """
    ours, theirs = (SegmentSet.of(songs) for songs in (generated, real))
    for kind, part in (("generated", ours), ("real", theirs)):
        if len(part.names) < 4:
            raise InputError(f"{len(part.names)} {kind} songs have at least eight bars; overlap needs four of each")
    beside = _alike(SegmentSet.of(other or {}), theirs, seed)
    summaries: dict[str, dict[str, Any]] = {}
    for name, measure in MEASURES.items():
        areas = measure(ours, theirs)
        summaries[name] = {
            "mean": mean_of(areas),
            "ci95": overlap_interval(ours, theirs, seed) if name == "oa" else None,
            "n": len(ours),
            "ceiling": halves(measure, theirs, seed) if beside is None else mean_of(measure(beside, theirs)),
            "ceiling_from": "halves of the real songs" if beside is None else "other real songs",
        }
        if name == "oa":
            summaries[name]["features"] = {
                feature: {"oa": areas[feature], "generated": _mean(ours, column), "real": _mean(theirs, column)}
                for column, feature in enumerate(FEATURES)
                if feature in areas
            }
    return summaries


def judge_two_sample(generated: Songs, real: Songs, seed: int) -> dict[str, dict[str, Any]]:
    """Summary of `two_sample`: accuracy, its interval, segments judged, chance. Raises InputError for too few songs."""
    found = two_sample(generated, real, seed)
    interval = [found.low, found.high]
    return {"two_sample": {"mean": found.accuracy, "ci95": interval, "n": found.segments, "chance": 0.5}}


def _alike(other: SegmentSet, real: SegmentSet, seed: int) -> SegmentSet | None:
    """A subset of the other songs as large as the real set, and at most as many segments per song; None without any."""
    if len(other.names) < 2:
        return None
    rng = np.random.default_rng(seed)
    most = max(np.unique(real.song, return_counts=True)[1])
    names = rng.permutation(other.names)[: len(real.names)]
    rows = np.concatenate([np.flatnonzero(other.song == name)[:most] for name in names])
    return SegmentSet(other.features[rows], other.song[rows])


def _mean(part: SegmentSet, column: int) -> float:
    return float(part.known(column)[0].mean())
