"""The cache and its batches, on generated songs."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from diffbgm.datasets.batch import Batch
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.hints import ReferenceHint
from diffbgm.datasets.perturb import Perturbation
from diffbgm.datasets.prepare import prepare, twins
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.datasets.self_paired import BEAT_SECONDS, measures
from diffbgm.datasets.splits import seeded_split
from diffbgm.errors import InputError
from diffbgm.music.pianoroll import encode
from diffbgm.video.captions import sentence_table
from diffbgm.video.streams import Reference, describe, levels
from diffbgm.video.windows import dynamic_windows

SOURCE = GeneratedSongs(count=10, bars=20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache.open(prepare(SOURCE, tmp_path_factory.mktemp("cache"), workers=1))


def parts(batch: Batch) -> list[torch.Tensor]:
    return [batch.roll, *(tensor for tensor in vars(batch.condition).values() if tensor is not None)]


def assert_same(one: Batch, two: Batch) -> None:
    assert one.songs == two.songs
    for a, b in zip(parts(one), parts(two), strict=True):
        assert torch.equal(a, b)


def test_shapes_and_types(cache: Cache) -> None:
    loader = SegmentLoader(cache, "train", 8)
    batch = loader.batch(0, 0)
    assert batch.roll.shape == (8, 2, 128, 128)
    assert batch.condition.visual.shape == (8, 32, loader.visual_width) == (8, 32, 9)
    assert batch.condition.language.shape == (8, 32, loader.language_width) == (8, 32, 384)
    assert batch.condition.valid.shape == (8, 32)
    assert [tensor.dtype for tensor in parts(batch)] == [torch.float32] * 3 + [torch.bool, torch.int64]
    assert set(batch.roll.unique().tolist()) == {0.0, 1.0}
    assert batch.condition.window.tolist() == [8] * 8
    assert len(batch.songs) == len(batch) == 8


def test_validation_is_the_music_and_its_streams_as_they_are(cache: Cache) -> None:
    """Every segment against the song it was cut from, computed once more from scratch."""
    split = cache.manifest["splits"]
    reference = Reference.of([measures(SOURCE.read(song)) for song in split["train"]])
    batches = list(SegmentLoader(cache, "val", 4).epoch(0))
    rolls = torch.cat([batch.roll for batch in batches])
    visual, language = (torch.cat([getattr(b.condition, k) for b in batches]) for k in ("visual", "language"))
    at = 0
    for name in split["val"]:
        song = SOURCE.read(name)
        streams = levels(measures(song), reference, BEAT_SECONDS)
        vectors = sentence_table()[describe(streams)]
        for start in song.starts:
            np.testing.assert_array_equal(rolls[at], encode(song.notes.window(4 * start, 4 * start + 128), 128))
            np.testing.assert_allclose(visual[at], streams[start : start + 32], atol=5e-4)
            np.testing.assert_array_equal(language[at], vectors[start : start + 32])
            at += 1
    assert at == len(rolls)
    assert all(batch.condition.valid.all() for batch in batches)
    assert_same(batches[0], next(SegmentLoader(cache, "val", 4, seed=5).epoch(3)))


def test_an_epoch_holds_every_segment_once(cache: Cache) -> None:
    loader = SegmentLoader(cache, "train", 1, transpose=(0, 0), noise=None)
    batches = list(loader.epoch(0))
    assert len(batches) == len(loader) == len(cache.segments("train"))
    seen = sorted(batch.songs[0] for batch in batches)
    expected = sorted(cache.songs[k] for k in cache.arrays["segment_song"][cache.segments("train")])
    assert seen == expected


def test_batches_repeat_with_seed_epoch_and_index(cache: Cache) -> None:
    loader = SegmentLoader(cache, "train", 8, seed=1)
    epoch = list(loader.epoch(2))
    for index, batch in enumerate(SegmentLoader(cache, "train", 8, seed=1).epoch(2, start=3)):
        assert_same(batch, epoch[index + 3])
    assert_same(loader.batch(2, 1), epoch[1])
    for other in (loader.batch(3, 1), SegmentLoader(cache, "train", 8, seed=2).batch(2, 1)):
        assert not torch.equal(other.roll, epoch[1].roll)


def test_ranks_end_to_end_are_one_process(cache: Cache) -> None:
    one = SegmentLoader(cache, "train", 12, seed=3)
    ranks = [SegmentLoader(cache, "train", 4, seed=3, rank=rank, world_size=3) for rank in range(3)]
    assert {len(loader) for loader in ranks} == {len(one)}
    for whole, *shares in zip(one.epoch(1), *(loader.epoch(1) for loader in ranks), strict=True):
        assert whole.songs == tuple(itertools.chain(*(share.songs for share in shares)))
        for a, b in zip(parts(whole), zip(*map(parts, shares), strict=True), strict=True):
            assert torch.equal(a, torch.cat(b))


def test_transposition_moves_the_music_and_nothing_else(cache: Cache) -> None:
    plain, moved = (SegmentLoader(cache, "train", 16, transpose=t, noise=None) for t in ((0, 0), (3, 3)))
    for a, b in zip(plain.epoch(0), moved.epoch(0), strict=True):
        assert torch.equal(b.roll[..., 3:], a.roll[..., :-3])
        assert b.roll[..., :3].sum() == 0
        for x, y in zip(parts(a)[1:], parts(b)[1:], strict=True):
            assert torch.equal(x, y)


def test_every_transposition_of_the_range_is_drawn(cache: Cache) -> None:
    plain, moved = (SegmentLoader(cache, "train", 32, transpose=t, noise=None) for t in ((0, 0), (-6, 5)))
    shifts = set()
    for epoch in range(6):
        for a, b in zip(plain.epoch(epoch), moved.epoch(epoch), strict=True):
            lowest = [roll[:, 0].sum(1).gt(0).int().argmax(1) for roll in (a.roll, b.roll)]
            shifts |= set((lowest[1] - lowest[0]).tolist())
    assert shifts == set(range(-6, 6))


def test_noise_is_for_training_alone(cache: Cache) -> None:
    noisy, plain = (SegmentLoader(cache, "train", 16, noise=noise).batch(0, 0) for noise in (Perturbation(), None))
    assert not torch.equal(noisy.condition.visual, plain.condition.visual)
    assert torch.equal(noisy.roll, plain.roll)
    ended = ~noisy.condition.valid
    assert noisy.condition.visual[ended].abs().sum() == 0
    assert noisy.condition.language[ended].abs().sum() == 0


def test_a_split_smaller_than_a_batch_is_repeated(cache: Cache) -> None:
    loader = SegmentLoader(cache, "train", 16, limit=3, transpose=(0, 0), noise=None)
    (batch,) = loader.epoch(0)
    assert len(batch) == 16
    assert len({roll.numpy().tobytes() for roll in batch.roll}) == 3


def test_limit_spreads_over_the_split(cache: Cache) -> None:
    every = cache.segments("val")
    limited = SegmentLoader(cache, "val", 4, limit=5)
    assert len(limited) == 2
    assert [len(batch) for batch in limited.epoch(0)] == [4, 1]
    np.testing.assert_array_equal(limited.segments[[0, -1]], every[[0, -1]])


def test_dynamic_windows_follow_the_shots() -> None:
    cut = np.zeros(128, bool)
    cut[:64:3] = True  # shots of three beats in the first half, then one of 65 beats from beat 63 on
    np.testing.assert_array_equal(dynamic_windows(cut, np.array([0, 32, 64, 96])), [4, 4, 32, 32])
    even = np.zeros(96, bool)
    even[::12] = True  # as far from 8 as from 16
    np.testing.assert_array_equal(dynamic_windows(even, np.array([0, 4])), [8, 8])


def test_windows_are_given_per_segment(cache: Cache) -> None:
    loader = SegmentLoader(cache, "val", 64, window="dynamic")
    (batch,) = loader.epoch(0)
    expected = [
        window
        for name in cache.manifest["splits"]["val"]
        for song in [SOURCE.read(name)]
        for window in dynamic_windows(measures(song).cut, song.starts)
    ]
    assert batch.condition.window.tolist() == expected
    with pytest.raises(InputError, match="choose 4, 8, 16, 32 or dynamic"):
        SegmentLoader(cache, "val", 4, window=7)


def test_the_seeded_split_stays_when_songs_come() -> None:
    songs = [f"{k:03d}" for k in range(200)]
    small, large = seeded_split(songs[:150], 0, 0.1), seeded_split(songs, 0, 0.1)
    assert set(small["val"]) == set(large["val"]) & set(songs[:150])
    assert 10 <= len(large["val"]) <= 30
    assert seeded_split(songs, 1, 0.1) != large
    assert seeded_split(["only"], 0, 0.5) == {"train": ("only",), "val": ()}
    assert {len(part) for part in seeded_split(["a", "b"], 0, 0.0).values()} == {1}


def test_a_damaged_cache_and_an_unknown_split(cache: Cache, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no split 'test'"):
        SegmentLoader(cache, "test", 4)
    path = prepare(SOURCE, tmp_path, workers=1)
    array = path / "onset.npy"
    array.write_bytes(array.read_bytes()[:-10])
    with pytest.raises(InputError, match="delete it and prepare again"):
        Cache.open(path)
    with pytest.raises(InputError, match="delete it and prepare again"):
        Cache.open(tmp_path / "nowhere")


def test_a_cache_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match=r"cannot write the data cache.*data\.cache"):
        prepare(SOURCE, tmp_path / "file", workers=1)
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_planes_apart_are_the_notes_of_both_parts(cache: Cache) -> None:
    two, four = (SegmentLoader(cache, "train", 8, seed=3, planes=planes).batch(0, 0) for planes in (2, 4))
    assert four.roll.shape == (8, 4, 128, 128)
    assert torch.equal(torch.maximum(four.roll[:, 0], four.roll[:, 2]), two.roll[:, 0])
    assert four.roll[:, 0].sum() > 0
    assert four.roll[:, 2].sum() > 0
    assert torch.equal(four.condition.visual, two.condition.visual)


def test_a_told_segment_sees_another_of_its_song_moved_alike(cache: Cache) -> None:
    loader = SegmentLoader(cache, "train", 32, seed=4, reference=ReferenceHint(), planes=4)
    batch = loader.batch(0, 0)
    assert batch.condition.reference is not None
    passage, asked = batch.condition.reference[:, :4], batch.condition.reference[:, 4]
    told = passage.flatten(1).any(1)
    assert 0 < told.sum() < 32
    assert (asked[~told] == 0).all()
    a, b = (torch.maximum(roll[:, 0], roll[:, 2]) > 0 for roll in (batch.roll, passage))
    common = (a & b).sum((1, 2)) / (a | b).sum((1, 2))
    torch.testing.assert_close(asked[told][:, 0, 0], common[told])
    again = SegmentLoader(cache, "train", 32, seed=4, planes=4).batch(0, 0)
    assert torch.equal(again.roll, batch.roll), "being told changes no music"


def test_other_splits_are_told_nothing(cache: Cache) -> None:
    assert SegmentLoader(cache, "val", 4, reference=ReferenceHint()).batch(0, 0).condition.reference is None


def test_twins_share_the_most_onsets_eight_bars_away() -> None:
    onset = np.concatenate([np.arange(0, 128, 4), np.arange(128, 256, 4), np.arange(256, 384, 4)])
    pitch = np.concatenate([np.full(32, 60), np.full(32, 62), np.append(np.full(31, 60), 62)])
    starts = np.array([0, 32, 64])
    bounds = np.array([[0, 32], [32, 64], [64, 96]])
    assert twins(onset, pitch, starts, bounds).tolist() == [2, 2, 0]
    assert twins(onset[:32], pitch[:32], starts[:1], bounds[:1]).tolist() == [-1]
