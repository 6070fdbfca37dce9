"""Decoding: known frames at known times, odd files, and one sentence for files that are not videos."""

import itertools
import tracemalloc
from fractions import Fraction

import numpy as np
import pytest
from make_video import flat, ramp, write_sound, write_video

from diffbgm.errors import InputError
from diffbgm.video.decode import decoded, frame_count, pictures_at, probe


def frames(path, rate):
    """(seconds, RGB picture at full size) at k / rate for k = 0, 1, ..."""
    info = probe(path)
    for frame in decoded(path):
        for tick in frame.ticks(rate):
            yield tick / rate, frame.rgb((info.width, info.height))


def levels(path, rate) -> tuple[list[float], list[float]]:
    """Times and mean grey levels of a video's samples."""
    samples = [(time, float(picture.mean())) for time, picture in frames(path, rate)]
    return [time for time, _ in samples], [level for _, level in samples]


def test_probe_and_constant_rate(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(50), fps=25, sound=2.0)
    info = probe(path)
    assert (info.width, info.height, info.fps, info.codec) == (64, 48, 25.0, "h264")
    assert info.duration == pytest.approx(2.0)
    assert info.has_audio
    times, grey = levels(path, 5)
    assert times == pytest.approx(np.arange(10) / 5)
    assert grey == pytest.approx([20 + 215 * k / 49 for k in range(0, 50, 5)], abs=2)


def test_faster_than_the_video_repeats_pictures(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", [flat(40), flat(200)], fps=2)
    times, grey = levels(path, 8)
    assert times == pytest.approx(np.arange(8) / 8)
    assert grey == pytest.approx([40] * 4 + [200] * 4, abs=2)
    assert not probe(path).has_audio


@pytest.mark.parametrize("fps", [Fraction(24000, 1001), Fraction(30000, 1001), Fraction(60), Fraction(15, 2)])
def test_odd_frame_rates(tmp_path, fps) -> None:
    count = 30
    path = write_video(tmp_path / "a.mp4", ramp(count), fps=fps)
    times, grey = levels(path, 4)
    shown = [min(int(k / 4 * fps + 1e-6), count - 1) for k in range(len(times))]
    assert len(times) == int(np.ceil(count / fps * 4))
    assert grey == pytest.approx([20 + 215 * k / (count - 1) for k in shown], abs=2)


def test_variable_frame_rate_uses_presentation_times(tmp_path) -> None:
    path = write_video(tmp_path / "a.mkv", [flat(30), flat(90), flat(150), flat(220)], times=[0.0, 0.1, 1.0, 1.25])
    intervals = [(frame.start, frame.stop) for frame in decoded(path)]
    assert np.array(intervals)[:, 0] == pytest.approx([0.0, 0.1, 1.0, 1.25], abs=1e-3)
    assert [a[1] for a in intervals[:-1]] == [b[0] for b in intervals[1:]]
    _, grey = levels(path, 4)
    assert grey[:6] == pytest.approx([30, 90, 90, 90, 150, 220], abs=2)


def test_time_zero_is_the_first_picture(tmp_path) -> None:
    path = write_video(tmp_path / "a.mkv", ramp(10), times=[3.0 + k / 10 for k in range(10)])
    first = next(decoded(path))
    assert first.start == 0.0
    assert first.stop == pytest.approx(0.1, abs=1e-3)


@pytest.mark.parametrize(("count", "fps", "samples"), [(1, 25, 1), (9, 30, 3), (3, 10, 3)])
def test_very_short_videos(tmp_path, count, fps, samples) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(count), fps=fps)
    times, grey = levels(path, 8)
    assert len(times) == samples
    assert grey[0] == pytest.approx(20, abs=2)


def test_rotated_video_is_shown_upright(tmp_path) -> None:
    picture = flat(20)
    picture[:, 32:] = 220  # bright on the right
    path = write_video(tmp_path / "a.mp4", [picture] * 3, rotation=90)
    info = probe(path)
    assert (info.width, info.height) == (48, 64)
    _, shown = next(frames(path, 1))
    assert shown.shape == (64, 48, 3)
    assert shown[:24].mean() == pytest.approx(220, abs=3)  # turned by 90 degrees against the clock: right is up
    assert shown[40:].mean() == pytest.approx(20, abs=3)


def test_portrait_keeps_its_shape(tmp_path) -> None:
    info = probe(write_video(tmp_path / "a.mp4", ramp(3, (36, 64))))
    assert (info.width, info.height) == (36, 64)
    assert info.fit(18) == (18, 32)


def test_scaled_by_area(tmp_path) -> None:
    stripes = flat(0)
    stripes[:, ::2] = 255
    path = write_video(tmp_path / "a.mp4", [stripes])
    picture = next(decoded(path)).rgb((8, 6))
    assert picture.shape == (6, 8, 3)
    assert picture == pytest.approx(np.full((6, 8, 3), 127.5), abs=4)


@pytest.mark.parametrize("name", ["with space.mp4", "película-видео.mp4", "-dash.mp4", "a:b.mp4", "50%d.mp4"])
def test_names(tmp_path, name, monkeypatch) -> None:
    write_video(tmp_path / "plain.mp4", ramp(3)).rename(tmp_path / name)
    monkeypatch.chdir(tmp_path)
    assert len(list(frames(name, 25))) == 3


def test_pictures_at_seeks_and_walks(tmp_path) -> None:
    path = write_video(tmp_path / "a.mp4", ramp(160), fps=10)
    wanted = [0.0, 0.35, 1.0, 9.97, 15.95, 99.0]
    grey = [picture.mean() for picture in pictures_at(path, wanted, (64, 48))]
    assert grey == pytest.approx([20 + 215 * k / 159 for k in (0, 3, 10, 99, 159, 159)], abs=2)


def test_memory_does_not_grow_with_length(tmp_path) -> None:
    def peak(count: int) -> int:
        path = write_video(tmp_path / f"{count}.mp4", itertools.islice(itertools.cycle(ramp(50, (320, 240))), count))
        tracemalloc.start()
        for _ in frames(path, 25):
            pass
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(400) < 1.2 * peak(100)


def test_what_is_no_video_is_one_sentence(tmp_path) -> None:
    video = write_video(tmp_path / "whole.mp4", ramp(50), sound=1.0).read_bytes()
    cases = {
        "text.mp4": (b"these are words, not pictures\n" * 40, "not a video that can be read"),
        "empty.mp4": (b"", "is empty"),
        "no_moov.mp4": (video[: len(video) // 2], "not a video that can be read"),
        "absent.mp4": (None, "No such file"),
    }
    for name, (content, message) in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message) as error:
            probe(tmp_path / name)
        assert name in str(error.value)
        assert ";" in str(error.value)
    with pytest.raises(InputError, match=r"sound.m4a has sound but no picture; give a video file"):
        probe(write_sound(tmp_path / "sound.m4a"))


def test_video_that_breaks_off_is_an_error_at_its_end(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (200, 48, 64, 3), dtype=np.uint8)
    whole = write_video(tmp_path / "whole.mp4", noise, fps=25, faststart=True).read_bytes()
    path = tmp_path / "part.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    shown = []
    with pytest.raises(InputError, match=r"part\.mp4 is damaged or cut short: its picture ends after .* of 8\.0 s"):
        shown.extend(decoded(path))
    assert 50 < len(shown) < 150


def test_damage_in_the_middle_is_passed_over(tmp_path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 48, 64, 3), dtype=np.uint8)
    path = write_video(tmp_path / "a.mp4", noise, fps=25, faststart=True)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 2000] = bytes(2000)
    path.write_bytes(content)
    assert list(decoded(path))[-1].stop == pytest.approx(4.0, abs=0.1)


@pytest.mark.parametrize(("name", "live"), [("stated.mp4", False), ("live.mkv", True)])
def test_frames_are_counted_where_the_headers_state_no_duration(tmp_path, name, live):
    video = write_video(tmp_path / name, ramp(50), live=live)
    assert (probe(video).duration == 0) == live
    assert frame_count(video) == 50
