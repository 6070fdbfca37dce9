"""The end of a video: fades to black are found and measured, and other endings are not fades."""

from pathlib import Path

import numpy as np
import pytest
from make_video import flat, write_video

from diffbgm.video import fade
from diffbgm.video.encoders import LiteEncoder
from diffbgm.video.extractors import LiteExtractor
from diffbgm.video.fade import fade_to_black, with_fade
from diffbgm.video.features import VideoFeatures, cache_entry, cached
from diffbgm.video.shots import AdaptiveShots

RATE = 25


def film(path: Path, levels: np.ndarray) -> float | None:
    """The fade found in a video whose frames have these levels."""
    write_video(path, [flat(int(level)) for level in levels], fps=RATE)
    return fade_to_black(path, len(levels) / RATE)


def test_a_fade_to_black_is_as_long_as_it_is(tmp_path: Path) -> None:
    levels = np.concatenate([np.full(75, 180), np.linspace(180, 0, 75)])
    assert film(tmp_path / "a.mp4", levels) == pytest.approx(3.0, abs=0.25)


def test_black_frames_after_the_fade_belong_to_it(tmp_path: Path) -> None:
    levels = np.concatenate([np.full(75, 180), np.linspace(180, 0, 50), np.zeros(25)])
    assert film(tmp_path / "a.mp4", levels) == pytest.approx(3.0, abs=0.25)


@pytest.mark.parametrize(
    "levels",
    [
        np.full(100, 180),
        np.zeros(100),
        np.concatenate([np.full(75, 180), np.zeros(25)]),  # a cut to black
        np.linspace(0, 180, 100),  # out of black
        np.full(2, 90),
    ],
    ids=["bright", "black", "cut", "rising", "two frames"],
)
def test_other_ends_are_no_fade(tmp_path: Path, levels: np.ndarray) -> None:
    assert film(tmp_path / "a.mp4", levels) is None


def test_what_is_no_film_has_no_fade(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no film")
    assert fade_to_black(tmp_path / "a.mp4", 3.0) is None


def test_a_fade_is_measured_once_and_stored_with_the_features(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached features without a fade remain valid, and the fade is added to them."""
    video, cache = tmp_path / "a.mp4", tmp_path / "cache"
    write_video(video, [flat(int(level)) for level in np.linspace(180, 0, 50)], fps=RATE)
    extractor = LiteExtractor(LiteEncoder(), AdaptiveShots())
    old = cached(video, extractor, cache)
    assert old.fade is None
    entry = cache_entry(video, extractor, cache)
    with np.load(entry) as file:
        assert "fade" not in file.files
    found = with_fade(video, old, extractor, cache)
    assert found.fade == fade_to_black(video, found.duration) == pytest.approx(2.0, abs=0.25)
    monkeypatch.setattr(fade, "fade_to_black", None)  # it must not be called again
    again = cached(video, extractor, cache)
    assert with_fade(video, again, extractor, cache).fade == found.fade
    np.testing.assert_array_equal(again.visual, old.visual)
    assert VideoFeatures.load(entry).captions == old.captions


def test_a_video_without_a_fade_is_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    video, cache = write_video(tmp_path / "a.mp4", [flat(180)] * 25, fps=RATE), tmp_path / "cache"
    extractor = LiteExtractor(LiteEncoder(), AdaptiveShots())
    assert with_fade(video, cached(video, extractor, cache), extractor, cache).fade == 0
    monkeypatch.setattr(fade, "fade_to_black", None)
    assert with_fade(video, cached(video, extractor, cache), extractor, cache).fade == 0
