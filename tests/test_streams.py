"""The nine streams: closed forms, ties, spans and sentences."""

import numpy as np
import pytest

from diffbgm.video.streams import (
    MEASURES,
    SENTENCES,
    STREAMS,
    Measures,
    Reference,
    describe,
    levels,
    rank,
    sentence_index,
)

UNIFORM = Reference({name: np.linspace(0, 1, 101) for name in MEASURES})


def piece(beats: int, cuts: tuple[int, ...] = (), **values: np.ndarray) -> Measures:
    cut = np.zeros(beats, dtype=bool)
    cut[list(cuts)] = True
    raw = {name: values.get(name, np.full(beats, 0.5)) for name in MEASURES}
    return Measures(**raw, cut=cut)


def stream(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, STREAMS.index(name)]


def test_rank_shares_ties_and_centres() -> None:
    assert rank(np.array([3.0, 1.0, 2.0, 4.0])).tolist() == [0.625, 0.125, 0.375, 0.875]
    assert rank(np.array([7.0, 7.0, 7.0])).tolist() == [0.5, 0.5, 0.5]
    assert rank(np.array([0.0, 1.0, 1.0, 2.0])).tolist() == [0.125, 0.5, 0.5, 0.875]
    assert rank(np.empty(0)).shape == (0,)


def test_level_is_the_place_in_the_population() -> None:
    reference = Reference({"motion": np.linspace(0, 10, 101)})
    assert reference.level("motion", np.array([-5.0, 0.0, 2.5, 10.0, 99.0])) == pytest.approx([0, 0, 0.25, 1, 1])


def test_level_of_a_repeated_value_is_the_middle_of_its_run() -> None:
    reference = Reference({"motion": np.repeat([0.0, 1.0], [51, 50])})
    assert reference.level("motion", np.array([0.0, 0.5, 1.0])) == pytest.approx([0.25, 0.5025, 0.755])


def test_reference_of_pieces_is_their_quantiles() -> None:
    reference = Reference.of([piece(50, motion=np.arange(50.0)), piece(51, motion=np.arange(50.0, 101.0))])
    assert reference.quantiles["motion"] == pytest.approx(np.arange(101.0))


def test_levels_are_half_population_half_rank() -> None:
    table = levels(piece(4, motion=np.array([0.1, 0.3, 0.2, 0.4])), UNIFORM)
    assert table.shape == (4, 9)
    assert table.dtype == np.float32
    assert stream(table, "motion") == pytest.approx([0.1125, 0.4625, 0.2875, 0.6375])
    assert stream(table, "warmth") == pytest.approx([0.5] * 4)


def test_what_the_population_cannot_tell_apart_is_constant() -> None:
    coding_noise = -1e-3 * np.arange(8.0)
    assert stream(levels(piece(8, motion=coding_noise), UNIFORM), "motion") == pytest.approx([0.25] * 8)


def test_accent_becomes_motion_onset() -> None:
    table = levels(piece(2, accent=np.array([0.0, 1.0])), UNIFORM)
    assert stream(table, "motion_onset") == pytest.approx([0.125, 0.875])


def test_cut_streams_in_closed_form() -> None:
    table = levels(piece(6, cuts=(2, 5)), UNIFORM, beat_seconds=1.0)
    assert stream(table, "cut").tolist() == [0, 0, 1, 0, 0, 1]
    assert stream(table, "since_cut") == pytest.approx(np.exp(-np.array([0, 1, 0, 1, 2, 0]) / 2))
    assert stream(table, "until_cut") == pytest.approx(np.exp(-np.array([2, 1, 3, 2, 1, 1]) / 2))


def test_a_single_beat_and_no_beat() -> None:
    assert levels(piece(1), UNIFORM)[0, :2] == pytest.approx([0.5, 0.5])
    assert levels(piece(0), UNIFORM).shape == (0, 9)
    assert describe(levels(piece(0), UNIFORM)).shape == (0,)


def test_sentences() -> None:
    assert len(set(SENTENCES)) == 27
    assert SENTENCES[sentence_index(0.9, 0.8, 0.7)] == "A fast, bright scene in warm colours."
    assert SENTENCES[sentence_index(0.1, 0.2, 0.3)] == "A slow, dark scene in cool colours."
    assert sentence_index(1 / 3, 0.5, 0.6) == 13
    assert SENTENCES[13] == "A steady, softly lit scene in neutral colours."


def test_describe_gives_one_sentence_a_span() -> None:
    table = np.zeros((5, 9), dtype=np.float32)
    table[3, STREAMS.index("cut")] = 1
    table[3:, [STREAMS.index(name) for name in ("motion", "brightness", "warmth")]] = [[1.0] * 3, [0.4] * 3]
    assert describe(table).tolist() == [0, 0, 0, 26, 26]
