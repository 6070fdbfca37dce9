"""The extraction command: a folder in, features and two lists out; failures, restarts and several processes."""

import json
from pathlib import Path

import numpy as np
import pytest
from make_video import flat, ramp, write_video
from tiny_models import BERT_WIDTH, CLIP_WIDTH, save_bert, save_blip, save_clip

from diffbgm.app.cli import configure
from diffbgm.app.features import DONE, FAILED, extract_features
from diffbgm.app.main import main
from diffbgm.errors import InputError
from diffbgm.video.extractors import LiteExtractor
from diffbgm.video.features import VideoFeatures


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def extract(videos: Path, out: Path, *overrides: str) -> int:
    return extract_features(configure("extract_features", [f"videos={videos}", f"out={out}", "device=cpu", *overrides]))


@pytest.fixture
def folder(tmp_path) -> Path:
    folder = tmp_path / "my videos"
    folder.mkdir()
    for index, name in enumerate(("a.mp4", "b é.mkv", "c.mp4")):
        write_video(folder / name, ramp(10 + index))
    return folder


def test_a_folder_with_a_broken_video_and_other_files(folder, tmp_path, capsys) -> None:
    (folder / "broken.mp4").write_text("no video")
    (folder / "notes.txt").write_text("no video either")
    out = tmp_path / "out"
    assert extract(folder, out) == 1
    done = {Path(line["video"]).name: line for line in lines(out / DONE)}
    assert set(done) == {"a.mp4", "b é.mkv", "c.mp4"}
    features = VideoFeatures.load(out / done["b é.mkv"]["features"])
    assert features.duration == done["b é.mkv"]["duration"] == pytest.approx(11 / 25, abs=2e-3)
    assert done["a.mp4"]["captions"] == list(VideoFeatures.load(out / done["a.mp4"]["features"]).captions)
    (failure,) = lines(out / FAILED)
    assert failure["video"].endswith("broken.mp4")
    assert "not a video that can be read" in failure["error"]
    assert "3 of 4 videos have features" in capsys.readouterr().out


def test_any_error_is_noted_and_the_run_goes_on(folder, tmp_path, monkeypatch, capsys) -> None:
    inner = LiteExtractor.extract

    def fails_half_way(self, path):
        if path.name == "a.mp4":
            raise RuntimeError("out of memory")
        return inner(self, path)

    monkeypatch.setattr(LiteExtractor, "extract", fails_half_way)
    assert extract(folder, tmp_path / "out") == 1
    (line,) = lines(tmp_path / "out" / FAILED)
    assert line["error"].endswith("a.mp4 failed unexpectedly (RuntimeError: out of memory); --debug shows where")
    assert f"error: {line['error']}\n" in capsys.readouterr().err
    assert len(lines(tmp_path / "out" / DONE)) == 2


def test_a_stopped_run_goes_on_where_it_was(folder, tmp_path, monkeypatch) -> None:
    inner, seen = LiteExtractor.extract, []

    def stopped_at_b(self, path):
        seen.append(path.name)
        if seen.count("b é.mkv") == 1 and path.name == "b é.mkv":
            raise KeyboardInterrupt
        return inner(self, path)

    monkeypatch.setattr(LiteExtractor, "extract", stopped_at_b)
    with pytest.raises(KeyboardInterrupt):
        extract(folder, tmp_path / "out")
    assert len(list((tmp_path / "out").glob("*.npz"))) == 1
    assert extract(folder, tmp_path / "out") == 0
    assert seen == ["a.mp4", "b é.mkv", "b é.mkv", "c.mp4"]
    assert len(lines(tmp_path / "out" / DONE)) == 3
    assert not lines(tmp_path / "out" / FAILED)


def test_processes_of_a_launcher_share_the_list(folder, tmp_path, monkeypatch, capsys) -> None:
    """As torchrun and accelerate tell each process its rank."""
    out = tmp_path / "out"
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank in range(2):
        monkeypatch.setenv("RANK", str(rank))
        assert extract(folder, out) == 0
        assert f"of shard {rank} of 2 have features" in capsys.readouterr().out
        assert 0 < len(lines(out / DONE)) <= 3
    assert sorted(Path(line["video"]).name for line in lines(out / DONE)) == ["a.mp4", "b é.mkv", "c.mp4"]
    assert len(list(out.glob("*.npz"))) == 3


def test_shards_write_into_the_same_lists(folder, tmp_path, capsys) -> None:
    (folder / "broken.mp4").write_text("no video")
    out = tmp_path / "out"
    codes = [extract(folder, out, "shards=2", f"shard={shard}") for shard in (0, 1, 0)]
    assert sorted(codes[:2]) == [0, 1]
    assert codes[2] == codes[0]
    assert sorted(Path(line["video"]).name for line in lines(out / DONE)) == ["a.mp4", "b é.mkv", "c.mp4"]
    assert [Path(line["video"]).name for line in lines(out / FAILED)] == ["broken.mp4"]
    (folder / "broken.mp4").unlink()
    (out / DONE).write_bytes((out / DONE).read_bytes() + b'{"video": "cut sh')  # by a power cut
    assert extract(folder, out, "shards=2", "shard=1") == 0
    assert lines(out / FAILED) == []
    assert len(lines(out / DONE)) == 3


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> list[str]:
    """Overrides that put tiny models of the same classes in the place of the paper's."""
    folder = tmp_path_factory.mktemp("models")
    parts = {"encoder": save_clip(folder / "clip"), "captioner": save_blip(folder / "blip")}
    parts["embedder"] = save_bert(folder / "bert")
    overrides = [f"features.{part}.weights.folder={path}" for part, path in parts.items()]
    return [*overrides, f"features.encoder.width={CLIP_WIDTH}", f"features.embedder.width={BERT_WIDTH}"]


def test_the_papers_features_end_to_end(tiny, tmp_path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    generator = np.random.default_rng(0)
    patterns = [generator.integers(0, 256, (6, 8, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1) for _ in range(3)]
    write_video(videos / "a.mp4", [pattern for pattern in patterns for _ in range(20)], fps=10)
    shared = ["features=clip", "features/shots=adaptive", "features.captioner.max_new_tokens=5", *tiny]
    assert extract(videos, tmp_path / "one", *shared, "features.captioner.batch_size=2") == 0
    assert extract(videos, tmp_path / "two", *shared, "features.encoder.batch_size=5") == 0
    one, two = (VideoFeatures.load(next((tmp_path / name).glob("*.npz"))) for name in ("one", "two"))
    assert one.visual.shape == (12, CLIP_WIDTH)
    assert one.language.shape == (3, BERT_WIDTH)
    assert one.columns == ()
    assert one.shots == pytest.approx(np.array([[0, 2], [2, 4], [4, 6]]), abs=1e-3)
    assert one.captions == two.captions
    assert one.visual == pytest.approx(two.visual, abs=1e-5)
    assert one.language == pytest.approx(two.language, abs=1e-5)
    within = np.abs(one.visual[0] - one.visual[3]).max()
    assert np.abs(one.visual[0] - one.visual[4]).max() > 5 * within


def test_missing_weights_end_the_run_before_it_starts(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    videos = tmp_path / "videos"
    videos.mkdir()
    write_video(videos / "a.mp4", [flat(90)])
    absent = [f"features.{part}.weights.folder={tmp_path}/none" for part in ("encoder", "captioner", "embedder")]
    with pytest.raises(
        InputError, match=r"vit_base_patch32_clip_224\.openai: put its files into .*none.*features=lite"
    ):
        extract(videos, tmp_path / "out", "features=clip", *absent)
    assert not (tmp_path / "out").exists()


def test_run_as_a_command_says_what_is_wrong(tmp_path, capsys, monkeypatch) -> None:
    assert main(["features", f"videos={tmp_path}/none", f"out={tmp_path}/out"]) == 1
    assert "there is no folder" in capsys.readouterr().err
