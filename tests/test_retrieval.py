"""Retrieval with known answers, and the embedding network compared with TensorFlow's outputs."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from diffbgm.errors import InputError
from diffbgm.evaluation.musicnn import PATCH, embed, load_musicnn, log_mel
from diffbgm.evaluation.retrieval import RANKS, drawn, embed_segment, segments, strict
from diffbgm.music.notes import STEPS_PER_SEGMENT, Notes

GOLDEN = Path(__file__).with_name("golden") / "musicnn.json"


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_perfect_retrieval_is_100_percent_at_rank_1():
    result = drawn(np.eye(100), np.arange(100), rng())
    assert result.precision[1].value == 100.0
    assert (result.mean_rank.value, result.mean_rank.chance) == (1.0, 30.5)
    assert result.candidates == 60
    exact = strict(np.eye(100), np.arange(100), np.arange(100), rng())
    assert (exact.precision[1].value, exact.mean_rank.value, exact.candidates) == (100.0, 1.0, 100)


def test_a_shuffled_set_sits_on_the_chance_line():
    similarity = rng().standard_normal((3000, 500))
    own = rng().integers(0, 500, 3000)
    result = drawn(similarity, own, rng(), draws=50)
    assert [result.precision[k].chance for k in RANKS] == pytest.approx([100 * k / 60 for k in RANKS])
    for k in RANKS:
        estimate = result.precision[k]
        assert estimate.low <= estimate.chance <= estimate.high
        assert estimate.value == pytest.approx(estimate.chance, abs=1.5)
    assert result.mean_rank.value == pytest.approx(30.5, abs=0.5)


def test_equal_embeddings_are_chance_too():
    result = drawn(np.ones((2000, 200)), np.arange(2000) % 200, rng(), draws=20)
    assert result.precision[20].value == pytest.approx(100 / 3, abs=2)


def test_only_the_first_500_are_drawn_from_but_the_own_one_counts():
    """Everything after the first 500 is closer than the own reference, and must not matter."""
    similarity = np.zeros((1, 600))
    similarity[0, 500:] = 2
    similarity[0, 550] = 1
    assert drawn(similarity, np.array([550]), rng()).mean_rank.value == 1.0


def test_strict_leaves_out_the_other_segments_of_the_same_song():
    similarity = np.array([[0.5, 0.9, 0.1, 0.6]])
    song = np.array(["a", "a", "b", "c"])
    result = strict(similarity, np.array([0]), song, rng())
    assert result.mean_rank.value == 2.0  # c is closer; the other segment of a does not count
    assert result.candidates == 3


def test_the_same_seed_gives_the_same_numbers():
    similarity = rng().standard_normal((30, 90))
    assert drawn(similarity, np.arange(30), rng()) == drawn(similarity, np.arange(30), rng())


def test_segments_are_full_have_notes_and_lose_their_velocities():
    onset = np.array([0, 130, 300, 400])
    notes = Notes(onset, onset * 0 + 60, onset * 0 + 20, onset * 0 + 33, onset * 0)
    found = segments(notes)
    assert list(found) == [0, 1, 2]
    assert found[1].onset.tolist() == [2]
    assert found[2].velocity.tolist() == [80]
    assert list(segments(notes.window(0, 40))) == [0]
    assert segments(Notes.empty()) == {}
    assert list(segments(notes.select(np.array([0, 3])))) == [0]  # segments 1 and 2 are silent; 3 is partial


def test_weights_of_something_else_are_one_sentence(tmp_path):
    with pytest.raises(InputError, match="does not hold the weights of musicnn"):
        load_musicnn(tmp_path / "missing.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"no tensors")
    with pytest.raises(InputError, match="does not hold the weights of musicnn"):
        load_musicnn(tmp_path / "broken.safetensors")
    save_file({"output.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match="does not hold the weights of musicnn"):
        load_musicnn(tmp_path / "other.safetensors")


def test_tags_and_embedding_equal_tensorflows():
    """See golden/make_musicnn.py."""
    golden = json.loads(GOLDEN.read_text())
    patches = (4 * np.random.default_rng(0).random((2, 187, 96)) ** 2).astype(np.float32)
    with torch.no_grad():
        tags, penultimate = load_musicnn()(torch.from_numpy(patches))
    assert tags.numpy() == pytest.approx(np.array(golden["tags"]), abs=1e-5)
    assert penultimate.numpy() == pytest.approx(np.array(golden["penultimate"]), abs=1e-4)


def test_piano_sounds_like_a_piano_and_an_embedding_has_unit_length():
    network = load_musicnn()
    onset = np.arange(0, STEPS_PER_SEGMENT, 4)
    pitch = np.tile([60, 64, 67, 72], 8)
    notes = Notes(onset, pitch, onset * 0 + 4, onset * 0 + 80, onset * 0)
    vector = embed_segment(network, notes)
    assert vector.shape == (200,)
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)
    other = embed_segment(network, notes.transposed(2))
    assert 0 < vector @ other < 1


def test_loud_and_short_sound_stays_finite():
    loud = 30 * np.sin(np.arange(8000) / 10).astype(np.float32)
    assert log_mel(loud).shape == (1, PATCH, 96)
    assert np.isfinite(embed(load_musicnn(), loud)).all()
