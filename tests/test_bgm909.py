"""The released BGM909 layout compared with the release's slicing written out by hand, and malicious pickles."""

import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from bgm909_tree import write_song, write_split

from diffbgm.datasets.bgm909 import CAPTIONS, SHOTS, SONGS, VISUAL, Bgm909, read_shots
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pieces import pieces
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.datasets.unpickle import load_npz, load_pickle
from diffbgm.errors import InputError
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import encode


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "released"
    for name, beats in (("001", 45), ("002", 64), ("034", 40)):
        write_song(root, name, beats=beats)
    write_split(root / "split.pickle", ["001", "034"], ["002"])
    return root


def source(root: Path, **arguments: object) -> Bgm909:
    return Bgm909(root, str(root / "split.pickle"), **arguments)  # type: ignore[arg-type]


class Harm:
    """A pickle of this object runs a command if it is loaded unsafely."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch '{self.path}'",)


def test_conditions_are_the_release_s_own_slices(tree: Path, tmp_path: Path) -> None:
    """For each whole downbeat: 32 vectors of the features stretched over the song, zeros past its end."""
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    loader = SegmentLoader(cache, "val", 64)
    (batch,) = loader.epoch(0)
    arrays = np.load(tree / SONGS / "002.npz", allow_pickle=True)
    visual = torch.load(tree / VISUAL / "002.pth", weights_only=True).numpy()
    captions = np.load(tree / CAPTIONS / "002.npy")
    beats = len(arrays["chord"])
    starts = arrays["db_pos"][arrays["db_pos_filter"]]
    assert len(batch) == len(starts) == 9
    for k, start in enumerate(starts):
        for name, table in (("visual", visual), ("language", captions)):
            stretched = np.stack([table[i * len(table) // beats] for i in range(beats)])
            expected = stretched[start // 4 : start // 4 + 32]
            np.testing.assert_array_equal(getattr(batch.condition, name)[k], expected)
        notes = [note for track in arrays["notes"] for note in track if start <= note[0] < start + 128]
        onset, pitch, duration, velocity, program = np.array(notes).T
        expected_roll = encode(Notes(onset - start, pitch, duration, velocity, program), 128)
        np.testing.assert_array_equal(batch.roll[k], expected_roll)
    assert batch.condition.valid.all()
    assert loader.visual_width == 512
    assert loader.language_width == 768


def test_beats_past_the_end_are_zero_and_marked(tree: Path, tmp_path: Path) -> None:
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    loader = SegmentLoader(cache, "train", 5, limit=5)
    batch = loader.batch(0, 0)
    valid = batch.condition.valid
    lengths = sorted(valid.sum(1).tolist())
    assert lengths == [29, 32, 32, 32, 32]  # 45 beats; segments begin at beats 0, 4, 8, 12 and 16
    (short,) = np.flatnonzero(valid.sum(1) == 29)
    assert not valid[short, 29:].any()
    assert batch.condition.visual[short, 29:].abs().sum() == 0
    assert batch.condition.language[short, 29:].abs().sum() == 0
    assert (batch.condition.visual[valid].abs().sum(1) > 0).all()


def test_augmentation_leaves_the_features_alone(tree: Path, tmp_path: Path) -> None:
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    plain, moved = (SegmentLoader(cache, "train", 5, transpose=t).batch(0, 0) for t in ((0, 0), (5, 5)))
    assert torch.equal(moved.roll[..., 5:], plain.roll[..., :-5])
    assert torch.equal(moved.condition.visual, plain.condition.visual)
    assert torch.equal(moved.condition.language, plain.condition.language)


def test_shots_set_the_dynamic_window(tree: Path, tmp_path: Path) -> None:
    write_song(tree, "001", beats=64, shots=8)  # eight beats each
    write_song(tree, "002", beats=64, shots=3)  # 21 or 22 beats each
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    windows = {s: SegmentLoader(cache, s, 64, window="dynamic", limit=64) for s in ("train", "val")}
    assert set(windows["train"].batch(0, 0).condition.window.tolist()) == {8}
    assert set(windows["val"].batch(0, 0).condition.window.tolist()) == {16}
    (piece,) = pieces(cache, "train")  # whole pieces know where the shots begin
    assert np.flatnonzero(piece.features.cut).tolist() == list(range(8, 64, 8))


def test_shot_files(tmp_path: Path) -> None:
    file = tmp_path / "scenes.txt"
    file.write_text("0 49\n50 74\n75 99\n")
    np.testing.assert_allclose(read_shots(file), [0.5, 0.75])
    file.write_text("shot one\nshot two\n\nshot three\nshot four\n")
    np.testing.assert_allclose(read_shots(file), [0.25, 0.5, 0.75])
    file.write_text("0 99\n")
    assert len(read_shots(file)) == 0
    file.write_text("")
    assert len(read_shots(file)) == 0


def test_the_six_songs_are_left_out_with_a_reason(tree: Path, tmp_path: Path) -> None:
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    assert cache.songs == ["001", "002"]
    assert cache.skipped == {"034": "no usable video features in the release"}
    assert set(source(tree).excluded()) == {"034", "203", "215", "254", "280", "328"}


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda t: np.save(t / CAPTIONS / "001.npy", np.zeros((10, 512), np.float32)), "10 x 512 where rows of 768"),
        (lambda t: torch.save(torch.zeros(0, 512), t / VISUAL / "001.pth"), "0 x 512 where rows of 512"),
        (lambda t: torch.save(torch.zeros(512), t / VISUAL / "001.pth"), "of 512 where rows of 512"),
        (lambda t: torch.save({"a": 1}, t / VISUAL / "001.pth"), "holds a dict where a tensor is needed"),
        (lambda t: torch.save(torch.full((9, 512), torch.nan), t / VISUAL / "001.pth"), "not finite"),
        (lambda t: (t / VISUAL / "001.pth").write_bytes(b"PK damaged"), "damaged"),
        (lambda t: (t / VISUAL / "001.pth").unlink(), "there is no file"),
        (lambda t: (t / CAPTIONS / "001.npy").write_bytes(b"\x93NUMPY"), "is damaged"),
        (lambda t: (t / SHOTS / "001_scenes.txt").unlink(), "missing or unreadable"),
        (lambda t: (t / SONGS / "001.npz").write_bytes(b"PK damaged"), "is damaged"),
        (lambda t: np.savez(t / SONGS / "001.npz", notes=np.zeros(3)), "has no db_pos"),
    ],
)
def test_damaged_songs_are_skipped(tree: Path, tmp_path: Path, damage: object, reason: str) -> None:
    write_song(tree, "003", beats=48)
    write_split(tree / "split.pickle", ["001", "003"], ["002"])
    assert callable(damage)
    damage(tree)
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    assert cache.songs == ["002", "003"]
    assert reason in cache.skipped["001"]


def test_absent_folders_and_songs(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no POP909_4_bin_pnt_8bar"):
        Bgm909(tmp_path).songs()
    with pytest.raises(InputError, match="names songs that are not in .*878 of 886: 003"):
        Bgm909(tree, "polyffusion").songs()
    (tree / VISUAL).rename(tree / "elsewhere")
    with pytest.raises(InputError, match="has no bgm909/new_raw_video_feats"):
        source(tree).songs()


def test_the_pickled_split_must_name_songs_that_are_there(tree: Path, tmp_path: Path) -> None:
    write_split(tree / "split.pickle", ["001", "007"], ["002"])
    with pytest.raises(InputError, match=r"names songs that are not in .* \(1 of 3: 007\)"):
        prepare(source(tree), tmp_path / "cache", workers=1)
    (tree / "split.pickle").write_bytes(pickle.dumps({"train": 3}))
    with pytest.raises(InputError, match="does not hold two lists"):
        prepare(source(tree), tmp_path / "cache", workers=1)


def test_hostile_pickles_are_refused_and_not_run(tree: Path, tmp_path: Path) -> None:
    struck = tmp_path / "struck"
    harm = np.empty(1, object)
    harm[0] = Harm(struck)
    np.savez(
        tree / SONGS / "001.npz", notes=harm, db_pos=np.arange(3), db_pos_filter=np.ones(3), chord=np.ones((9, 14))
    )
    with pytest.raises(InputError, match=r"asks for (posix|nt)\.system, .*was not loaded"):
        source(tree).read("001")
    (tree / "split.pickle").write_bytes(pickle.dumps(Harm(struck)))
    with pytest.raises(InputError, match="was not loaded"):
        prepare(source(tree), tmp_path / "cache", workers=1)
    torch.save({"model": Harm(struck)}, tree / VISUAL / "002.pth")
    with pytest.raises(InputError, match="was not loaded: it asks for"):
        source(tree, trust_pickles=True).read("002")
    (tree / VISUAL / "002.pth").write_bytes(pickle.dumps(Harm(struck)))
    with pytest.raises(InputError, match="002.pth"):
        source(tree, trust_pickles=True).read("002")
    assert not struck.exists()
    load_pickle(tree / "split.pickle", trust=True)
    assert struck.exists()  # the same bytes do strike where they are trusted


def test_tensors_and_arrays_in_any_wrapping_are_read(tree: Path) -> None:
    file = tree / VISUAL / "002.pth"
    features = np.random.default_rng(0).standard_normal((20, 512)).astype(np.float32)
    tensor = torch.from_numpy(features)
    for content in (tensor.clone().requires_grad_(), tensor.double(), features, features.astype(np.float64)):
        torch.save(content, file)
        np.testing.assert_allclose(source(tree).read("002").video.visual, features, rtol=1e-6)
    torch.save(tensor, file, _use_new_zipfile_serialization=False)
    assert source(tree).read("002").video.visual.shape == (20, 512)
    file.write_bytes(pickle.dumps(features))
    assert source(tree).read("002").video.visual.shape == (20, 512)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "is a Git LFS pointer or a web page"),
        (b"<!DOCTYPE html><html>quota exceeded</html>", "is a Git LFS pointer or a web page"),
        (b"0.1 0.2 0.3\n0.4 0.5 0.6\n", "001.pth"),
        (b"", "001.pth"),
    ],
)
def test_what_is_no_tensor_file_skips_its_song(tree: Path, tmp_path: Path, content: bytes, reason: str) -> None:
    write_song(tree, "003", beats=48)
    write_split(tree / "split.pickle", ["001", "003"], ["002"])
    (tree / VISUAL / "001.pth").write_bytes(content)
    cache = Cache.open(prepare(source(tree), tmp_path / "cache", workers=1))
    assert cache.songs == ["002", "003"]
    assert reason in cache.skipped["001"]


def test_every_way_of_unpacking_is_found(tree: Path, tmp_path: Path) -> None:
    (tmp_path / "above").mkdir()
    tree.rename(tmp_path / "above" / "data")
    data = tmp_path / "above" / "data"
    for root in (data, tmp_path / "above", data / "bgm909"):
        assert set(Bgm909(root, str(data / "split.pickle")).songs()) == {"001", "002", "034"}


def test_the_releases_split_is_taken_where_it_lies_and_missed_aloud(
    tree: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tree / "train_split_pnt").mkdir()
    (tree / "split.pickle").rename(tree / "train_split_pnt" / "pop909_new.pickle")
    assert Bgm909(tree, "release").split(["001", "002"]) == {"train": ("001",), "val": ("002",)}
    assert not caplog.records
    (tree / "train_split_pnt" / "pop909_new.pickle").unlink()
    with pytest.raises(InputError, match="polyffusion"):
        Bgm909(tree, "release").songs()
    assert "using Polyffusion's split instead" in caplog.text


def test_the_releases_songs_are_the_first_50_without_index_29(tree: Path) -> None:
    names = [f"{number:03d}" for number in range(100, 170)]
    write_split(tree / "split.pickle", ["001"], names)
    val = source(tree, songs="release").split(["001", *sorted(names)])["val"]
    assert val == (*names[:29], *names[30:50])
    with pytest.raises(InputError, match=r"data\.songs"):
        source(tree, songs="first")


@pytest.mark.parametrize(
    "opcodes",
    [
        b"cbuiltins\neval\n(S'1'\ntR.",
        b"cbuiltins\ngetattr\n.",
        b"cnumpy\nload\n(S'x'\ntR.",
        b"cnumpy.testing._private.utils\nrunstring\n.",
        b"cnumpy.core.multiarray\nos.system\n.",
    ],
)
def test_only_plain_names_pass(tmp_path: Path, opcodes: bytes) -> None:
    file = tmp_path / "a.pickle"
    file.write_bytes(opcodes)
    with pytest.raises(InputError, match="was not loaded"):
        load_pickle(file)


def test_plain_values_and_arrays_pass(tmp_path: Path) -> None:
    value = {"list": [1, 2.5, "a", b"b", None, True], "set": {1}, "array": np.arange(3), "scalar": np.float32(2)}
    file = tmp_path / "a.pickle"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        file.write_bytes(pickle.dumps(value, protocol=protocol))
        loaded = load_pickle(file)
        np.testing.assert_array_equal(loaded.pop("array"), np.arange(3))
        assert loaded == {key: value[key] for key in loaded}
    objects = np.array([{"a": 1}, [2, 3]], object)
    np.savez_compressed(tmp_path / "a.npz", objects=objects, numbers=np.eye(2))
    arrays = load_npz(tmp_path / "a.npz")
    assert arrays["objects"].tolist() == objects.tolist()
    np.testing.assert_array_equal(arrays["numbers"], np.eye(2))
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("notes.npy", b"nonsense")
    with pytest.raises(InputError, match="damaged"):
        load_npz(tmp_path / "b.npz")
