"""Features: their file and cache, and the streams a model sees, on made videos with known motion, light and cuts."""

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from make_video import flat, ramp, write_video

from diffbgm.app.cli import configure
from diffbgm.errors import InputError
from diffbgm.video.captions import sentence_table
from diffbgm.video.encoders import LiteEncoder
from diffbgm.video.extractors import LiteExtractor, watch
from diffbgm.video.features import VideoFeatures, cache_entry, cached, extract, on_beats, video_reference
from diffbgm.video.shots import AdaptiveShots
from diffbgm.video.streams import MEASURES, SENTENCES, STREAMS


@pytest.fixture
def lite() -> LiteExtractor:
    return LiteExtractor(LiteEncoder(), AdaptiveShots())


def stream(table: np.ndarray, name: str) -> np.ndarray:
    return table[:, STREAMS.index(name)]


def two_shots(path: Path) -> Path:
    """2 s of a still dark blue wall, then 2 s of a bright orange pattern in quick motion; 24 fps."""
    pictures = [flat((10, 15, 60))] * 48
    for k in range(48):
        picture = flat((250, 190, 90))
        picture[:, (np.arange(64) - 3 * k) % 16 < 5] = (255, 120, 40)
        pictures.append(picture)
    return write_video(path, pictures, fps=24)


def test_lite_features_of_two_shots(tmp_path, lite) -> None:
    features = extract(two_shots(tmp_path / "a.mp4"), lite)
    assert features.visual.shape == (32, 6)
    assert (features.rate, features.columns, features.extractor) == (8.0, MEASURES, lite.id)
    assert features.duration == pytest.approx(4.0)
    assert features.shots == pytest.approx(np.array([[0, 2], [2, 4]]), abs=1e-3)
    assert features.captions == (
        "A slow, dark scene in cool colours.",
        "A fast, bright scene in warm colours.",
    )
    expected = sentence_table()[[SENTENCES.index(caption) for caption in features.captions]]
    assert (features.language == expected).all()


def test_lite_on_beats(tmp_path, lite) -> None:
    features = extract(two_shots(tmp_path / "a.mp4"), lite)
    seen = on_beats(features, beats=12, beat_seconds=0.5)
    assert seen.visual.shape == (12, lite.visual_width)
    assert seen.language.shape == (12, lite.language_width)
    assert seen.valid.tolist() == [True] * 8 + [False] * 4
    assert stream(seen.visual, "cut").tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert stream(seen.visual, "since_cut")[:8] == pytest.approx(np.exp(-np.array([0, 1, 2, 3, 0, 1, 2, 3]) / 4))
    for name in ("motion", "brightness", "warmth"):
        assert stream(seen.visual, name)[:4].max() < 0.3 < 0.7 < stream(seen.visual, name)[4:8].min()
    assert not seen.visual[8:].any()
    assert not seen.language[8:].any()
    assert seen.captions == (*[features.captions[0]] * 4, *[features.captions[1]] * 4, "", "", "", "")
    assert (seen.language[:8] == features.language.repeat(4, axis=0)).all()


def test_fewer_beats_than_the_video_keep_its_levels(tmp_path, lite) -> None:
    features = extract(two_shots(tmp_path / "a.mp4"), lite)
    whole, part = on_beats(features, 8, 0.5), on_beats(features, 5, 0.5)
    assert (part.visual == whole.visual[:5]).all()
    assert part.valid.all()


@pytest.mark.parametrize(("bpm", "beats", "cut"), [(60, 4, 2), (90, 6, 3), (144, 10, 5), (240, 16, 8)])
def test_any_tempo(tmp_path, lite, bpm, beats, cut) -> None:
    features = extract(two_shots(tmp_path / "a.mp4"), lite)
    seen = on_beats(features, 32, 60 / bpm)
    assert seen.valid.sum() == beats
    assert np.flatnonzero(stream(seen.visual, "cut")).tolist() == [cut]
    assert np.isfinite(seen.visual).all()


def test_a_cut_belongs_to_the_nearest_beat() -> None:
    visual = np.zeros((32, len(MEASURES)), dtype=np.float32)
    shots = np.array([[0, 0.9], [0.9, 2.2], [2.2, 3.95], [3.95, 4.0]])
    features = VideoFeatures(visual, 8.0, MEASURES, np.zeros((4, 384), np.float32), shots, ("",) * 4, 4.0, "x")
    assert np.flatnonzero(stream(on_beats(features, 8, 0.5).visual, "cut")).tolist() == [2, 4]


def test_samples_are_pooled_by_mean_and_accents_by_maximum() -> None:
    visual = np.zeros((8, len(MEASURES)), dtype=np.float32)
    visual[:, MEASURES.index("brightness")] = [0.2, 0.2, 0.2, 0.2, 0.0, 0.8, 0.8, 0.0]
    visual[:, MEASURES.index("accent")] = [0.0, 0.5, 0.0, 0.0, 0.2, 0.0, 0.1, 0.0]
    shots = np.array([[0.0, 1.0]])
    features = VideoFeatures(visual, 8.0, MEASURES, np.zeros((1, 384), np.float32), shots, ("",), 1.0, "x")
    reference = video_reference()
    seen = on_beats(features, 2, 0.5, reference).visual
    level = reference.level("brightness", np.array([0.2, 0.4]))
    assert stream(seen, "brightness") == pytest.approx(0.5 * level + 0.5 * np.array([0.25, 0.75]))
    level = reference.level("accent", np.array([0.5, 0.2]))
    assert stream(seen, "motion_onset") == pytest.approx(0.5 * level + 0.5 * np.array([0.75, 0.25]))


def test_embeddings_are_taken_at_the_start_of_each_beat() -> None:
    visual = np.arange(8, dtype=np.float32)[:, None].repeat(3, axis=1)
    language = np.array([[1.0, 1.0], [2.0, 2.0]], dtype=np.float32)
    shots = np.array([[0.0, 2.1], [2.1, 4.0]])
    features = VideoFeatures(visual, 2.0, (), language, shots, ("one", "two"), 4.0, "x")
    seen = on_beats(features, 5, 0.75)
    assert seen.visual[:, 0].tolist() == [0, 1, 3, 4, 6]
    assert seen.captions == ("one", "one", "one", "two", "two")
    assert seen.language[:, 0].tolist() == [1, 1, 1, 2, 2]
    assert seen.valid.all()
    assert on_beats(features, 8, 0.75).valid.sum() == 6


def test_a_still_video_is_slow_and_constant(tmp_path, lite) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    features = extract(write_video(tmp_path / "a.mp4", [picture] * 75), lite)
    motion = stream(on_beats(features, 6, 0.5).visual, "motion")
    assert motion.max() < 0.33
    assert features.captions[0].startswith("A slow")


@pytest.mark.parametrize("count", [1, 8])
def test_very_short_videos(tmp_path, lite, count) -> None:
    features = extract(write_video(tmp_path / "a.mp4", ramp(count), fps=25), lite)
    seen = on_beats(features, 32, 0.5)
    assert seen.valid.sum() == 1
    assert len(features.shots) == len(features.captions) == 1
    assert stream(seen.visual, "motion")[0] == pytest.approx(0.25, abs=0.01)


def test_prior_is_a_population() -> None:
    reference = video_reference()
    assert set(reference.quantiles) == set(MEASURES)
    for name, table in reference.quantiles.items():
        assert table.shape == (101,)
        assert (np.diff(table) >= 0).all(), name
    assert reference.level("motion", np.array([0.0, 0.15, 10.0])) == pytest.approx([0, 0.5, 1], abs=0.01)


def assert_same(a: VideoFeatures, b: VideoFeatures) -> None:
    for field in fields(VideoFeatures):
        assert np.array_equal(getattr(a, field.name), getattr(b, field.name)), field.name


def test_file_round_trip(tmp_path, lite) -> None:
    features = replace(extract(two_shots(tmp_path / "a.mp4"), lite), captions=("Schöne Straße", "東京"))
    features.save(tmp_path / "new" / "a.npz")
    again = VideoFeatures.load(tmp_path / "new" / "a.npz")
    assert_same(features, again)
    assert again.captions == ("Schöne Straße", "東京")
    assert list((tmp_path / "new").iterdir()) == [tmp_path / "new" / "a.npz"]


def test_what_is_no_features_file(tmp_path, lite) -> None:
    path = tmp_path / "a.npz"
    extract(write_video(tmp_path / "a.mp4", ramp(5)), lite).save(path)
    whole = path.read_bytes()
    pickled = tmp_path / "pickled.npz"
    np.savez(pickled, **{field.name: np.array([{}], dtype=object) for field in fields(VideoFeatures)})
    for content in (
        whole[: len(whole) // 2],
        b"",
        b"words",
        whole[:300] + bytes(50) + whole[350:],
        pickled.read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.npz is not a whole features file; delete it"):
            VideoFeatures.load(path)
    with pytest.raises(InputError):
        VideoFeatures.load(tmp_path / "absent.npz")


class Counting(LiteExtractor):
    """Counts how often it is asked."""

    calls = 0

    def extract(self, path):
        self.calls += 1
        return super().extract(path)


def test_cache_knows_content_and_configuration(tmp_path, caplog) -> None:
    first, cache = write_video(tmp_path / "a.mp4", ramp(10)), tmp_path / "cache"
    extractor = Counting(LiteEncoder(), AdaptiveShots())
    features = cached(first, extractor, cache)
    assert_same(features, cached(first, extractor, cache))
    assert extractor.calls == 1
    renamed = first.rename(tmp_path / "b.mp4")
    cached(renamed, extractor, cache)
    assert extractor.calls == 1
    write_video(renamed, ramp(11))
    assert cached(renamed, extractor, cache).duration == pytest.approx(0.44)
    assert extractor.calls == 2
    other = Counting(LiteEncoder(rate=4), AdaptiveShots())
    assert cached(renamed, other, cache).rate == 4.0
    assert other.calls == 1
    assert not caplog.records
    assert len(list(cache.glob("*.npz"))) == 3


def test_damaged_and_foreign_entries_are_made_anew(tmp_path, caplog) -> None:
    path, cache = write_video(tmp_path / "a.mp4", ramp(10)), tmp_path / "cache"
    extractor = Counting(LiteEncoder(), AdaptiveShots())
    features = cached(path, extractor, cache)
    entry = cache_entry(path, extractor, cache)
    entry.write_bytes(entry.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        assert_same(cached(path, extractor, cache), features)
        assert "is damaged: extracting the features of" in caplog.text
        replace(features, extractor="another").save(entry)
        assert_same(cached(path, extractor, cache), features)
        assert "was made by another: extracting again" in caplog.text
    assert extractor.calls == 3
    (cache / "hashes").joinpath(next((cache / "hashes").iterdir()).name).write_text("{")
    cached(path, extractor, cache)
    assert extractor.calls == 3


def test_two_at_once_on_one_cache(tmp_path, lite) -> None:
    path, cache = write_video(tmp_path / "a.mp4", ramp(40)), tmp_path / "cache"
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: cached(path, lite, cache), range(4)))
    for result in results:
        assert_same(result, VideoFeatures.load(cache_entry(path, lite, cache)))
    assert len(list(cache.iterdir())) == 2  # the entry and the folder of hashes


def test_errors_pass_through_and_leave_nothing(tmp_path, lite) -> None:
    bad = tmp_path / "bad.mp4"
    bad.write_text("no video")
    with pytest.raises(InputError, match="not a video"):
        cached(bad, lite, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.npz"))
    with pytest.raises(InputError, match=r"cannot read .*absent\.mp4"):
        cached(tmp_path / "absent.mp4", lite, tmp_path / "cache")


def test_watching_counts_frames_and_time(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(30), fps=30)
    passed = watch(path, [])
    assert (passed.frames, passed.duration) == (30, pytest.approx(1.0))
    assert 0 <= passed.waited <= passed.seconds


def test_configs_build_the_extractors() -> None:
    from hydra.utils import instantiate

    def build(*overrides: str):
        return instantiate(configure("extract_features", ["videos=x", "out=y", *overrides]).features)

    lite = build("features=lite")
    assert lite.id == LiteExtractor(LiteEncoder(), AdaptiveShots()).id
    assert isinstance(build("features=lite", "features/shots=adaptive").shots, AdaptiveShots)
    clip = build("features=clip", "features.encoder.rate=4", "features.embedder.pooling=mean")
    assert (clip.visual_width, clip.language_width) == (512, 768)
    assert clip.id.startswith("clip-1/timm/vit_base_patch32_clip_224.openai@main-4/transnetv2-0.5/")
    assert clip.id.endswith("google-bert/bert-base-uncased@main-mean")
