"""Videos with music: the results are decoded again and measured."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from make_video import flat, ramp, write_sound, write_video

from diffbgm.errors import InputError
from diffbgm.video.mux import RATE, mux

MUSIC_HZ, ORIGINAL_HZ = 330, 440  # `write_video` gives its videos a tone of 440 Hz


def music(seconds: float, rate: int = RATE) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat(0.2 * np.sin(2 * np.pi * MUSIC_HZ * t)[:, None], 2, axis=1).astype(np.float32)


def times(path: Path) -> list[float]:
    with av.open(str(path)) as container:
        return [frame.time for frame in container.decode(video=0)]


def levels(path: Path) -> list[float]:
    """Mean brightness of each picture."""
    with av.open(str(path)) as container:
        return [float(frame.to_ndarray(format="gray").mean()) for frame in container.decode(video=0)]


def rotation(path: Path) -> int:
    with av.open(str(path)) as container:
        return next(container.decode(video=0)).rotation


def payload(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(video=0) if packet.size]


def sound(path: Path) -> np.ndarray:
    """The audio of a result, (n, 2)."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate, stream.layout.name) == ("aac", RATE, "stereo")
        return np.concatenate([frame.to_ndarray() for frame in container.decode(stream)], axis=1).T


def amplitude(path: Path, hertz: float, start: float, stop: float) -> float:
    part = sound(path)[round(start * RATE) : round(stop * RATE), 0]
    return float(2 * np.abs((part * np.exp(-2j * np.pi * hertz * np.arange(len(part)) / RATE)).mean()))


def seconds(path: Path) -> float:
    with av.open(str(path)) as container:
        return container.duration / 1e6


def test_the_picture_is_copied_and_the_sound_replaced(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(50), sound=2.0)
    done = mux(video, music(5), RATE, tmp_path / "out.mp4", fade=0.5)
    assert (done.seconds, done.picture, done.mix) == (pytest.approx(2), "copied", "replace")
    assert payload(tmp_path / "out.mp4") == payload(video)
    assert times(tmp_path / "out.mp4") == times(video)
    assert seconds(tmp_path / "out.mp4") == pytest.approx(2, abs=0.01)
    assert amplitude(tmp_path / "out.mp4", MUSIC_HZ, 0.2, 1.4) == pytest.approx(0.2, abs=0.01)
    assert amplitude(tmp_path / "out.mp4", ORIGINAL_HZ, 0.2, 1.4) < 0.002
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "out.mp4"]


def test_the_music_fades_out_at_the_end_of_the_video(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(75))
    mux(video, music(10), RATE, tmp_path / "out.mp4", fade=1.0)
    out = tmp_path / "out.mp4"
    assert amplitude(out, MUSIC_HZ, 1.9, 2.0) == pytest.approx(0.2, abs=0.01)
    assert amplitude(out, MUSIC_HZ, 2.45, 2.55) == pytest.approx(0.1, abs=0.01)
    assert np.abs(sound(out)[round(2.98 * RATE) : 3 * RATE]).max() < 0.005


def test_music_that_is_too_short_is_followed_by_silence(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(50))
    mux(video, music(1.0), RATE, tmp_path / "out.mp4")
    assert seconds(tmp_path / "out.mp4") == pytest.approx(2, abs=0.01)
    assert amplitude(tmp_path / "out.mp4", MUSIC_HZ, 0.2, 0.9) == pytest.approx(0.2, abs=0.01)
    assert np.abs(sound(tmp_path / "out.mp4")[round(1.1 * RATE) :]).max() < 0.005


def test_music_at_another_rate_keeps_its_pitch(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(50))
    mux(video, music(3, rate=22050), 22050, tmp_path / "out.mp4", fade=0)
    assert amplitude(tmp_path / "out.mp4", MUSIC_HZ, 0.2, 1.8) == pytest.approx(0.2, abs=0.01)


def test_keep_holds_both_throughout(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(75), sound=3.0)
    assert mux(video, music(3), RATE, tmp_path / "out.mp4", "keep", fade=0).mix == "keep"
    for start in (0.2, 1.0, 2.0):
        original = amplitude(tmp_path / "out.mp4", ORIGINAL_HZ, start, start + 0.8)
        under = amplitude(tmp_path / "out.mp4", MUSIC_HZ, start, start + 0.8)
        assert 20 * np.log10(under / original) == pytest.approx(-3, abs=0.5)


def test_duck_lowers_the_music_a_little_while_the_original_is_loud_without_speech(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(100), sound=2.0)
    assert mux(video, music(4), RATE, tmp_path / "out.mp4", "duck", fade=0).mix == "duck"
    under, alone = (amplitude(tmp_path / "out.mp4", MUSIC_HZ, *span) for span in ((0.2, 1.6), (2.8, 3.8)))
    assert 20 * np.log10(under / alone) == pytest.approx(-4, abs=0.5)
    assert amplitude(tmp_path / "out.mp4", ORIGINAL_HZ, 0.2, 1.6) > 1.3 * under
    assert amplitude(tmp_path / "out.mp4", ORIGINAL_HZ, 2.8, 3.8) < 0.002


@pytest.mark.parametrize("mix", ["duck", "replace"])
def test_the_video_s_own_sound_is_written_where_it_is_mixed_in(tmp_path: Path, mix: str) -> None:
    """As it was, without the music, as long as the picture; every second that is finished is counted."""
    video, own = write_video(tmp_path / "a.mp4", ramp(75), sound=2.0), tmp_path / "own.m4a"
    counted: list[int] = []
    mux(video, music(3), RATE, tmp_path / "out.mp4", mix, original=own, advance=counted.append)
    assert sum(counted) in (2, 3), "the last packet begins before the third second is over"
    assert own.exists() == (mix == "duck")
    if own.exists():
        assert amplitude(own, ORIGINAL_HZ, 0.2, 1.8) == pytest.approx(amplitude(video, ORIGINAL_HZ, 0.2, 1.8), rel=0.05)
        assert amplitude(own, MUSIC_HZ, 0.2, 1.8) < 0.005
        assert len(sound(own)) == pytest.approx(3 * RATE, abs=2048)


@pytest.mark.parametrize("mix", ["duck", "keep"])
def test_a_video_without_sound_gets_the_music_alone(tmp_path: Path, mix: str) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(25))
    done = mux(video, music(2), RATE, tmp_path / "out.mp4", mix, fade=0, original=tmp_path / "own.m4a")
    assert done.mix == "replace"
    assert not (tmp_path / "own.m4a").exists()
    assert amplitude(tmp_path / "out.mp4", MUSIC_HZ, 0.1, 0.9) == pytest.approx(0.2, abs=0.01)


def test_loud_music_is_limited_and_silent_music_is_silent(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(25))
    mux(video, 8 * music(2), RATE, tmp_path / "loud.mp4")
    assert 0.8 < np.abs(sound(tmp_path / "loud.mp4")).max() < 1
    mux(video, np.zeros((0, 2), np.float32), RATE, tmp_path / "none.mp4")
    assert not sound(tmp_path / "none.mp4").any()
    assert seconds(tmp_path / "none.mp4") == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("fps", [Fraction(30000, 1001), 12, 7.5, 60])
def test_odd_frame_rates_keep_their_times(tmp_path: Path, fps: float | Fraction) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(30), fps=fps)
    done = mux(video, music(9), RATE, tmp_path / "out.mp4")
    assert done.seconds == pytest.approx(30 / float(fps), abs=0.01)
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), times(video), atol=1e-4)


@pytest.mark.parametrize(("suffix", "codec"), [("mp4", "libx264"), ("mkv", "libx264"), ("mkv", "libvpx")])
def test_variable_frame_rate_keeps_its_times(tmp_path: Path, suffix: str, codec: str) -> None:
    shown = np.cumsum([0.0] + [0.04] * 20 + [0.2] * 5 + [0.04] * 10)
    video = write_video(tmp_path / f"a.{suffix}", ramp(len(shown)), times=shown.tolist(), codec=codec)
    done = mux(video, music(9), RATE, tmp_path / "out.mp4")
    assert done.picture == ("copied" if codec == "libx264" else "encoded")
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), shown, atol=2e-3)
    np.testing.assert_allclose(levels(tmp_path / "out.mp4"), levels(video), atol=3)


@pytest.mark.parametrize("turn", [90, 180, -90])
@pytest.mark.parametrize(("name", "codec"), [("a.mp4", "libx264"), ("a.mkv", "libvpx")])
def test_rotation_is_kept(tmp_path: Path, turn: int, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, ramp(10), rotation=turn, codec=codec)
    mux(video, music(1), RATE, tmp_path / "out.mp4")
    assert abs(rotation(video)) == abs(turn)
    assert rotation(tmp_path / "out.mp4") == rotation(video)


def test_a_portrait_of_odd_size_in_a_codec_no_mp4_holds(tmp_path: Path) -> None:
    video = tmp_path / "a.gif"
    with av.open(str(video), "w") as container:
        stream = container.add_stream("gif", rate=10)
        stream.width, stream.height, stream.pix_fmt = 49, 65, "rgb8"
        for index, picture in enumerate(ramp(20, size=(49, 65))):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    done = mux(video, music(9), RATE, tmp_path / "out.mp4")
    assert (done.picture, done.seconds) == ("encoded", pytest.approx(2, abs=0.01))
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), np.arange(20) / 10, atol=0.011)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert (container.streams.video[0].width, container.streams.video[0].height) == (48, 64)
        assert container.streams.video[0].codec_context.name == "h264"


@pytest.mark.parametrize("codec", ["libx264", "mpeg4"])
def test_avi_has_no_times_and_is_encoded_in_order(tmp_path: Path, codec: str) -> None:
    with av.open(str(tmp_path / "a.avi"), "w") as container:
        stream = container.add_stream(codec, rate=25)  # x264 reorders pictures (B-frames), which AVI cannot say
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for picture in ramp(40):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    assert mux(tmp_path / "a.avi", music(3), RATE, tmp_path / "out.mp4").picture == "encoded"
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), np.arange(40) / 25, atol=1e-4)
    brightness = levels(tmp_path / "out.mp4")
    assert brightness == sorted(brightness)


@pytest.mark.parametrize(("codec", "tag"), [("libx265", "hvc1"), ("libsvtav1", "av01"), ("libvpx-vp9", "vp09")])
def test_newer_codecs_are_copied_under_the_names_players_know(tmp_path: Path, codec: str, tag: str) -> None:
    video = write_video(tmp_path / "a.mkv", [flat(90)] * 10, codec=codec)
    assert mux(video, music(1), RATE, tmp_path / "out.mp4").picture == "copied"
    assert len(times(tmp_path / "out.mp4")) == 10
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == tag


def test_a_trimmed_video_starts_where_it_is_shown(tmp_path: Path) -> None:
    """Phones trim by an edit list: packets before the cut stay in the file, marked as not shown."""
    whole = write_video(tmp_path / "whole.mp4", ramp(50), sound=2.0)
    with av.open(str(whole)) as source, av.open(str(tmp_path / "a.mp4"), "w") as target:
        streams = {s.index: target.add_stream_from_template(s, opaque=True) for s in source.streams}
        for packet in source.demux():
            if packet.size:
                early = round(0.4 / packet.time_base)
                packet.pts, packet.dts, packet.stream = (
                    packet.pts - early,
                    packet.dts - early,
                    streams[packet.stream_index],
                )
                target.mux(packet)
    assert len(times(tmp_path / "a.mp4")) == 40
    done = mux(tmp_path / "a.mp4", music(3), RATE, tmp_path / "out.mp4", "keep")
    assert done.seconds == pytest.approx(1.6, abs=0.01)
    np.testing.assert_allclose(times(tmp_path / "out.mp4"), np.arange(40) / 25, atol=1e-3)
    np.testing.assert_allclose(levels(tmp_path / "out.mp4"), levels(whole)[10:], atol=1)
    assert seconds(tmp_path / "out.mp4") == pytest.approx(1.6, abs=0.02)


@pytest.mark.parametrize("pictures", [1, 8])
def test_a_single_picture_and_a_third_of_a_second(tmp_path: Path, pictures: int) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(pictures))
    done = mux(video, music(4), RATE, tmp_path / "out.mp4", fade=2.0)
    assert done.seconds == pytest.approx(pictures / 25, abs=0.01)
    assert len(times(tmp_path / "out.mp4")) == pictures


@pytest.mark.parametrize("name", ["-dash.mp4", "mit Leerzeichen.mp4", "映画 № 1.mp4", "file:a%03d.mp4", "http:x.mp4"])
def test_odd_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(tmp_path / "a.mp4", ramp(10)).rename(tmp_path / name)
    (tmp_path / "out").mkdir()
    mux(name, music(1), RATE, Path("out") / name)
    assert len(payload(tmp_path / "out" / name)) == 10


def test_files_that_are_no_videos_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video")
    write_sound(tmp_path / "sound.m4a")
    for name in ("text.mp4", "sound.m4a", "none.mp4"):
        with pytest.raises(InputError, match=name):
            mux(tmp_path / name, music(1), RATE, tmp_path / "out.mp4")
    assert not (tmp_path / "out.mp4").exists()


def test_mistakes_leave_nothing_behind(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4", ramp(10))
    before = video.read_bytes()
    with pytest.raises(InputError, match="'louder'; choose one of replace, duck, keep"):
        mux(video, music(1), RATE, tmp_path / "out.mp4", "louder")
    with pytest.raises(InputError, match="is the video itself"):
        mux(video, music(1), RATE, video)
    (tmp_path / "taken").write_text("x")
    with pytest.raises(InputError, match="taken"):
        mux(video, music(1), RATE, tmp_path / "taken" / "out.mp4")
    assert video.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "taken"]
