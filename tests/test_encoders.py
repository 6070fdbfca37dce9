"""Frame encoders: measures with closed forms on synthetic pictures, and CLIP with a tiny open_clip model."""

from pathlib import Path

import numpy as np
import pytest
import torch
from make_video import flat, ramp, write_video
from tiny_models import CLIP_WIDTH, save_clip

from diffbgm.errors import InputError
from diffbgm.video.decode import decoded, probe
from diffbgm.video.encoders import ClipEncoder, LiteEncoder, accent, colourfulness, warmth, without
from diffbgm.video.streams import MEASURES
from diffbgm.video.weights import Weights


def measure(path, encoder, cuts=()) -> np.ndarray:
    watcher = encoder.watch(probe(path))
    for frame in decoded(path):
        watcher.see(watcher.take(frame))
    return watcher.rows(list(cuts))


def column(rows: np.ndarray, name: str) -> np.ndarray:
    return rows[:, MEASURES.index(name)]


def bars(offset: int) -> np.ndarray:
    """Black and white bars of 16 pixels, moved to the right."""
    picture = flat(0, (64, 48))
    picture[:, (np.arange(64) - offset) % 32 < 16] = 255
    return picture


def test_colour_measures_in_closed_form() -> None:
    grey = flat(90).astype(np.float32)
    assert colourfulness(grey) == 0
    assert warmth(grey) == 0
    red = flat((255, 0, 0)).astype(np.float32)
    assert colourfulness(red) == pytest.approx(0.3 * np.hypot(255, 127.5))
    assert warmth(red) == 1
    assert warmth(flat((0, 0, 200)).astype(np.float32)) == -1
    assert warmth(flat((1, 0, 0)).astype(np.float32)) == pytest.approx(1 / 12)
    halves = np.concatenate([flat((255, 0, 0)), flat((0, 255, 0))]).astype(np.float32)
    assert colourfulness(halves) == pytest.approx(255 + 0.3 * 127.5)


def test_without_takes_the_next_kept_value() -> None:
    values = np.array([9.0, 1.0, 9.0, 9.0, 2.0, 9.0])
    assert without(values, values == 9).tolist() == [1, 1, 2, 2, 2, 2]
    assert without(values[:1], values[:1] == 9).tolist() == [0]


def test_accent_is_motion_above_its_recent_mean() -> None:
    assert accent(np.array([5.0, 1.0, 4.0, 1.0, 6.0]), 2).tolist() == [0, 0, 1, 0, 3.5]
    assert accent(np.full(4, 2.0), 3).tolist() == [0, 0, 0, 0]


def test_light_of_flat_pictures(tmp_path) -> None:
    rows = measure(write_video(tmp_path / "a.mp4", ramp(25)), LiteEncoder(rate=25))
    assert rows.shape == (25, len(MEASURES))
    assert rows.dtype == np.float32
    assert column(rows, "brightness") == pytest.approx(np.linspace(20, 235, 25) / 255, abs=0.01)
    assert column(rows, "contrast") == pytest.approx(0, abs=0.01)
    assert column(rows, "motion") == pytest.approx(0, abs=0.05)  # a fade of the whole picture is no motion


def test_motion_is_change_per_second(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", [bars(k) for k in range(24)], fps=8)
    rows = measure(path, LiteEncoder(rate=8, side=48))
    assert column(rows, "motion") == pytest.approx(8 * 4 / 64, rel=0.06)  # 4 of 64 columns turn over, 8 times a second
    assert column(rows, "contrast") == pytest.approx(0.5, rel=0.03)
    assert column(rows, "accent") == pytest.approx(0, abs=0.03)


def test_motion_does_not_depend_on_the_frame_rate_below_the_sampling_rate(tmp_path) -> None:
    slow = write_video(tmp_path / "slow.mp4", [bars(2 * k) for k in range(12)], fps=4)
    rows = measure(slow, LiteEncoder(rate=8, side=48))
    assert len(rows) == 24
    assert column(rows, "motion") == pytest.approx(8 * 4 / 64, rel=0.06)


def test_a_still_video_does_not_move(tmp_path) -> None:
    generator = np.random.default_rng(0)
    picture = generator.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    rows = measure(write_video(tmp_path / "a.mp4", [picture] * 50), LiteEncoder())
    assert column(rows, "motion").max() < 0.03


def test_a_cut_is_no_motion(tmp_path) -> None:
    path = write_video(
        tmp_path / "a.mp4", [bars(k // 2) for k in range(24)] + [bars(40 - k // 2) for k in range(24)], fps=8
    )
    seen = column(measure(path, LiteEncoder(rate=8, side=48), cuts=[3.0]), "motion")
    blind = column(measure(path, LiteEncoder(rate=8, side=48)), "motion")
    assert blind[24] > 2 * np.delete(blind, 24).max()
    assert seen.max() < blind[24] / 2
    assert np.delete(seen, 24) == pytest.approx(np.delete(blind, 24))
    assert seen[24] == seen[25]


@pytest.fixture(scope="module")
def clip(tmp_path_factory) -> Weights:
    return Weights("tiny-clip", folder=str(save_clip(tmp_path_factory.mktemp("clip"))))


def noise(tmp_path, count: int = 12, size: tuple[int, int] = (64, 48)):
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (count, size[1] // 8, size[0] // 8, 3), dtype=np.uint8)
    return write_video(tmp_path / "noise.mp4", coarse.repeat(8, 1).repeat(8, 2), fps=4)


def test_clip_rows_are_those_of_open_clip(clip, tmp_path) -> None:
    import open_clip
    from PIL import Image

    path = noise(tmp_path, size=(48, 48))
    rows = measure(path, ClipEncoder(clip, width=CLIP_WIDTH, rate=2, batch_size=4))
    assert rows.shape == (6, CLIP_WIDTH)
    assert rows.dtype == np.float32
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{clip.folder}")
    info = probe(path)
    shown = [frame.rgb((info.width, info.height)) for frame in decoded(path) for _ in frame.ticks(2)]
    pictures = torch.stack([preprocess(Image.fromarray(picture)) for picture in shown])
    with torch.no_grad():
        expected = model.encode_image(pictures).numpy()
    cosine = (rows * expected).sum(1) / np.linalg.norm(rows, axis=1) / np.linalg.norm(expected, axis=1)
    assert cosine.min() > 0.995  # two implementations of bicubic scaling


def test_clip_batches_sizes_and_devices(clip, tmp_path) -> None:
    path = noise(tmp_path)
    whole = measure(path, ClipEncoder(clip, width=CLIP_WIDTH, rate=4))
    assert whole.shape == (12, CLIP_WIDTH)
    assert measure(path, ClipEncoder(clip, width=CLIP_WIDTH, rate=4, batch_size=5)) == pytest.approx(whole, abs=1e-5)
    again = ClipEncoder(clip, width=CLIP_WIDTH, rate=4).to(torch.device("cpu"))
    assert (measure(path, again) == whole).all()
    assert next(ClipEncoder(clip, width=CLIP_WIDTH).to(torch.device("meta")).network.parameters()).device.type == "meta"
    repeated = measure(path, ClipEncoder(clip, width=CLIP_WIDTH, rate=8))
    assert repeated == pytest.approx(whole.repeat(2, axis=0), abs=1e-5)
    unit = measure(path, ClipEncoder(clip, width=CLIP_WIDTH, rate=4, normalise=True))
    assert np.linalg.norm(unit, axis=1) == pytest.approx(1, abs=1e-5)
    assert len(measure(noise(tmp_path, size=(32, 72)), ClipEncoder(clip, width=CLIP_WIDTH, rate=1))) == 3


def test_clip_of_another_width_or_without_weights(clip, tmp_path) -> None:
    with pytest.raises(InputError, match="gives 24 numbers a picture, the configuration says 512"):
        ClipEncoder(clip).prepare()
    folder = tmp_path / "half"
    folder.mkdir()
    (folder / "open_clip_config.json").write_bytes(Path(clip.folder, "open_clip_config.json").read_bytes())
    with pytest.raises(InputError, match=r"cannot load the model tiny-clip from .*half.*features=lite"):
        ClipEncoder(Weights("tiny-clip", folder=str(folder)), width=CLIP_WIDTH).prepare()
