"""P@K of 3-second rows with known answers, stored arrays, and the tagger's rows."""

from pathlib import Path

import numpy as np
import pytest

from diffbgm.errors import InputError
from diffbgm.evaluation.patches import paired, patch_retrieval, read_arrays


def songs(count: int, rows: int, width: int = 8, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {f"{number:03d}": rng.standard_normal((rows, width)) for number in range(count)}


def test_music_is_found_again_among_60():
    real = songs(10, 20)
    found = patch_retrieval(real, real, seed=0)
    assert found.precision[1].value == 100.0
    assert (found.mean_rank.value, found.queries, found.candidates) == (1.0, 200, 60)
    assert found.precision[20].chance == pytest.approx(100 / 3)


def test_unrelated_music_is_at_chance():
    found = patch_retrieval(songs(60, 30, seed=1), songs(60, 30, seed=2), seed=0, draws=100)
    for k in (5, 10, 20):
        assert found.precision[k].low <= 100 * k / 60 <= found.precision[k].high
    assert found.mean_rank.value == pytest.approx(30.5, abs=1)


def test_the_own_row_is_ranked_against_the_first_500_only():
    """The first 500 real rows point the other way; of the rest, only the own row may be met."""
    generated = {"a": np.ones((500, 4)), "b": np.ones((100, 4))}
    real = {"a": -np.ones((500, 4)), "b": np.ones((100, 4))}
    found = patch_retrieval(generated, real, seed=0)
    assert found.candidates == 60
    assert found.precision[1].value == pytest.approx(100 * (100 + 440) / 600, abs=5)


def test_equal_rows_favour_the_own_one_unless_it_was_drawn_by_itself():
    """All rows alike: first where it took the place of a drawn one (440 of 500), anywhere among 60 where not."""
    found = patch_retrieval({"a": np.ones((500, 4))}, {"a": np.ones((500, 4))}, seed=0, draws=50)
    assert found.mean_rank.value == pytest.approx((440 * 1 + 60 * 30.5) / 500, abs=0.8)


def test_a_longer_song_is_cut_to_its_partner_and_songs_without_one_are_left_out():
    generated = {"a": np.full((5, 2), 1.0), "b": np.full((2, 2), 2.0), "x": np.zeros((9, 2))}
    real = {"b": np.full((4, 2), 3.0), "a": np.full((3, 2), 4.0)}
    ours, theirs, song = paired(generated, real)
    assert ours[:, 0].tolist() == [2, 2, 1, 1, 1]
    assert theirs[:, 0].tolist() == [3, 3, 4, 4, 4]
    assert song.tolist() == [0, 0, 1, 1, 1]


def test_repeated_rows_take_the_first_of_each_song():
    ours, theirs = songs(8, 20, seed=1), songs(8, 20, seed=2)
    first = [{name: np.repeat(rows[:1], 20, axis=0) for name, rows in part.items()} for part in (ours, theirs)]
    assert patch_retrieval(ours, theirs, 0, repeated=True) == patch_retrieval(*first, 0)


def test_no_common_names_other_widths_and_single_rows_are_one_sentence():
    with pytest.raises(InputError, match="no name in common"):
        patch_retrieval({"a": np.ones((3, 2))}, {"b": np.ones((3, 2))}, seed=0)
    with pytest.raises(InputError, match="widths 2 and 5"):
        patch_retrieval({"a": np.ones((3, 2))}, {"a": np.ones((3, 5))}, seed=0)
    with pytest.raises(InputError, match="single row"):
        patch_retrieval({"a": np.ones((1, 2))}, {"a": np.ones((3, 2))}, seed=0)


def test_stored_arrays_are_read_by_name_and_damage_is_named(tmp_path: Path):
    np.save(tmp_path / "004.npy", np.ones((6, 3), np.float32))
    assert read_arrays(tmp_path)["004"].shape == (6, 3)
    np.save(tmp_path / "005.npy", np.array([{"a": 1}], object))
    with pytest.raises(InputError, match=r"005\.npy is not an array of numbers"):
        read_arrays(tmp_path)
    np.save(tmp_path / "005.npy", np.full((2, 3), np.nan))
    with pytest.raises(InputError, match="finite"):
        read_arrays(tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no NAME\.npy"):
        read_arrays(tmp_path / "empty")
