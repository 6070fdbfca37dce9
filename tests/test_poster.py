"""Posters: frames that are not blank, upright and small."""

import io
from pathlib import Path

import numpy as np
from make_video import flat, write_video
from PIL import Image

from diffbgm.app.poster import data_uri, poster


def pictured(content: bytes | None) -> np.ndarray:
    assert content is not None
    return np.asarray(Image.open(io.BytesIO(content)))


def half_white(size: tuple[int, int]) -> np.ndarray:
    picture = flat(0, size).copy()
    picture[:, size[0] // 2 :] = 255
    return picture


def test_the_picture_with_the_most_contrast_is_chosen(tmp_path: Path):
    pictures = [flat(0)] * 240 + [half_white((64, 48))] * 500  # a key frame every 250 pictures at the latest
    shown = pictured(poster(write_video(tmp_path / "a.mp4", pictures, fps=25)))
    assert shown.shape == (48, 64, 3)
    assert shown.std() > 100


def test_large_and_turned_videos_are_small_and_upright(tmp_path: Path):
    video = write_video(tmp_path / "a.mp4", [half_white((1200, 600))] * 3, rotation=90)
    shown = pictured(poster(video))
    assert shown.shape == (480, 240, 3)
    top, bottom = shown[:200].mean(), shown[-200:].mean()
    assert abs(top - bottom) > 200, "what was left and right is now above and below"


def test_what_has_no_picture_has_no_poster(tmp_path: Path):
    (tmp_path / "a.mp4").write_text("no video")
    assert poster(tmp_path / "a.mp4") is None
    assert poster(tmp_path / "missing.mp4") is None
    assert data_uri(b"abc", "image/jpeg") == "data:image/jpeg;base64,YWJj"
