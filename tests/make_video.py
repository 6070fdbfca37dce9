"""Small videos with known frames, for tests."""

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def write_video(
    path: Path,
    pictures: Iterable[np.ndarray],
    fps: float | Fraction = 25,
    times: list[float] | None = None,
    sound: float = 0.0,
    rotation: int = 0,
    faststart: bool = False,
    codec: str = "libx264",
    live: bool = False,
) -> Path:
    """Encode RGB pictures (H, W, 3) at `fps`, or at `times` (seconds); `sound` seconds of a 440 Hz tone beside them.

    `live`: a Matroska or WebM file as browsers record it, whose headers state no duration.
    """
    options = {"movflags": "+faststart"} if faststart else {"live": "1"} if live else {}
    with av.open(str(path), "w", options=options) as container:
        rate = Fraction(fps).limit_denominator(1001)
        video = container.add_stream(codec, rate=rate)
        video.pix_fmt = "yuv420p"
        video.codec_context.time_base = Fraction(1, 90000)
        if codec == "libx264":
            video.options = {"crf": "10", "preset": "ultrafast"}
        audio = container.add_stream("aac", rate=48000, layout="stereo") if sound else None
        for index, picture in enumerate(pictures):
            if index == 0:
                video.height, video.width = picture.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.time_base = Fraction(1, 90000)
            frame.pts = round((times[index] if times else index / rate) * 90000)
            if rotation and index == 0:
                video.set_display_rotation(rotation)
            container.mux(video.encode(frame))
        container.mux(video.encode(None))
        if audio is not None:
            tone = (8000 * np.sin(2 * np.pi * 440 * np.arange(int(sound * 48000)) / 48000)).astype(np.int16)
            for start in range(0, len(tone), 1024):
                block = av.AudioFrame.from_ndarray(
                    np.repeat(tone[start : start + 1024], 2)[None], format="s16", layout="stereo"
                )
                block.sample_rate, block.pts = 48000, start
                container.mux(audio.encode(block))
            container.mux(audio.encode(None))
    return path


def flat(level: int | tuple[int, int, int], size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """A picture of one colour; size is (width, height)."""
    return np.full((size[1], size[0], 3), level, dtype=np.uint8)


def ramp(count: int, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    """`count` grey pictures, each brighter than the one before by the same step, from 20 to 235."""
    return [flat(round(20 + 215 * k / max(count - 1, 1)), size) for k in range(count)]


def write_sound(path: Path, seconds: float = 1.0) -> Path:
    """An audio file without video."""
    with av.open(str(path), "w") as container:
        audio = container.add_stream("aac", rate=48000, layout="stereo")
        for start in range(0, int(seconds * 48000), 1024):
            block = av.AudioFrame.from_ndarray(np.zeros((1, 2048), dtype=np.int16), format="s16", layout="stereo")
            block.sample_rate, block.pts = 48000, start
            container.mux(audio.encode(block))
        container.mux(audio.encode(None))
    return path
