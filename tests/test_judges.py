"""Judges with known answers: equal sets, disjoint sets, and two samples of one distribution."""

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.evaluation import overlap as areas
from diffbgm.evaluation import two_sample as classifier
from diffbgm.evaluation.judges import judge_overlap, judge_two_sample
from diffbgm.evaluation.overlap import SegmentSet, common_area, distance_overlap, mean_of, overlap
from diffbgm.evaluation.segment_features import FEATURES
from diffbgm.music.notes import Notes


def song(rng: np.random.Generator, low: int = 48, every: int = 1) -> list[Notes]:
    """Two segments of 64 notes each on every `every`-th step, pitches from `low` up to two octaves."""
    parts = []
    for _ in range(2):
        onset = np.sort(rng.permutation(128 // every)[:32]) * every
        onset = np.repeat(onset, 2)
        parts.append(Notes(onset, rng.integers(low, low + 24, 64), onset * 0 + 2, onset * 0 + 80, onset * 0))
    return parts


def songs(seed: int, count: int, low: int = 48, every: int = 1) -> dict[str, list[Notes]]:
    rng = np.random.default_rng(seed)
    return {f"{index:03d}": song(rng, low, every) for index in range(count)}


def set_of(values: np.ndarray) -> SegmentSet:
    """A set in which every feature has the same values, each of another song."""
    return SegmentSet(np.repeat(values[:, None], len(FEATURES), 1), np.arange(len(values)).astype(str))


def test_the_common_area_of_densities() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0, 1, 5000), rng.normal(2, 1, 5000)
    assert common_area(a, a) == pytest.approx(1, abs=1e-6)
    assert common_area(a, b) == pytest.approx(0.317, abs=0.03)  # 2 (1 - Phi(1)) of two unit normals two apart
    assert common_area(a, a + 100) == pytest.approx(0, abs=1e-4)
    assert common_area(np.zeros(3), np.zeros(4)) == pytest.approx(1)
    assert common_area(np.zeros(3), np.ones(3)) == pytest.approx(0, abs=1e-6)


def test_overlap_of_equal_sets_of_sets_apart_and_of_means() -> None:
    values = np.random.default_rng(0).normal(0, 1, 400)
    real, mean = set_of(values), set_of(np.full(400, values.mean()) + 1e-6 * values)
    for measure in (overlap, distance_overlap):
        assert mean_of(measure(real, real)) == pytest.approx(1, abs=1e-6)
        assert mean_of(measure(set_of(values + 50), real)) < 0.01
    assert mean_of(distance_overlap(mean, real)) > 0.75, "distances forgive a generator that plays the mean"
    assert mean_of(overlap(mean, real)) < 0.1, "values do not"


def test_the_summary_names_the_ceiling_and_the_features(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(areas, "RESAMPLES", 20)
    real, twin, high = songs(0, 12), songs(1, 12), songs(2, 12, low=84)
    same = judge_overlap(twin, real, None, 0)["oa"]
    assert same["mean"] > 0.75
    assert same["ceiling"] == pytest.approx(same["mean"], abs=0.12)
    assert same["ci95"][0] <= same["mean"] <= same["ci95"][1]
    assert same["n"] == 24
    apart = judge_overlap(high, real, songs(3, 15), 0)
    assert apart["oa"]["features"]["mean_pitch"]["oa"] < 0.01
    assert apart["oa"]["features"]["mean_pitch"]["generated"] > 84
    assert apart["oa"]["features"]["on_beats"]["oa"] > 0.7
    assert apart["oa"]["ceiling_from"] == "other real songs"
    assert apart["oa_distances"]["mean"] < apart["oa_distances"]["ceiling"]
    with pytest.raises(InputError, match="3 generated songs"):
        judge_overlap(songs(0, 3), real, None, 0)


def test_a_classifier_tells_what_differs_and_guesses_where_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"STEPS": 20, "BATCH": 16, "WIDTH": 4, "RATE": 0.02}.items():
        monkeypatch.setattr(classifier, name, value)
    real = songs(0, 8)
    apart = judge_two_sample(songs(1, 8, low=72, every=4), real, 0)["two_sample"]
    assert apart["mean"] > 0.8
    assert apart["n"] == 32
    same = judge_two_sample(songs(2, 8), real, 0)["two_sample"]
    assert same["mean"] == pytest.approx(0.5, abs=0.25)
    assert same["ci95"][0] <= same["mean"] <= same["ci95"][1]
    with pytest.raises(InputError, match="needs 8 of each"):
        judge_two_sample(songs(0, 7), real, 0)


def test_the_halves_keep_partners_together_and_split_every_kind() -> None:
    ours = {name: None for name in "abcdef"}
    theirs = {name: None for name in "defghijklm"}
    first, second = classifier._halves([theirs, ours], 0)
    assert first | second == set(ours) | set(theirs)
    assert not first & second
    for kind in (ours, theirs, set(ours) & set(theirs)):
        assert abs(len(first & set(kind)) - len(second & set(kind))) <= 2
