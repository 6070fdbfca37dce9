"""Decode a video file into frames and the times at which they are shown (PyAV; no system FFmpeg is needed).

Time 0 is the first frame. Each frame comes with its display interval, taken from presentation times, so later code need
not handle variable frame rates. A frame is scaled only when its pixels are asked for, and none is kept: memory does not
grow with the length of the video.
"""

# H, W height and width of a frame as displayed: rotated, with square pixels

import math
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TypeVar

import av
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation, VideoReformatter
from numpy.typing import NDArray

from diffbgm.errors import InputError

T = TypeVar("T")

SEEK_SECONDS = 5.0  # `pictures_at` decodes across smaller gaps and seeks across larger ones
CUT_SHORT = 0.1  # a stream that ends earlier than stated by more than this share and by more than 1 s is damaged
LONGEST, LONGEST_GAP = 12 * 3600, 3600  # seconds of a video, and between two of its pictures
MOST_PIXELS, LONGEST_SIDES = 1 << 26, 32  # of a picture, and its longer side by its shorter
DEFAULT_FPS = Fraction(25)  # for streams that state none (a single picture)


@dataclass(frozen=True)
class VideoInfo:
    """The properties of a video according to its headers."""

    path: Path
    duration: float  # seconds as stated; 0 if the file states none
    fps: float  # mean frame rate
    width: int  # as displayed
    height: int
    codec: str
    has_audio: bool

    def fit(self, short_side: int) -> tuple[int, int]:
        """(width, height) of the picture scaled to a short side of `short_side` pixels."""
        scale = short_side / min(self.width, self.height)
        return max(round(self.width * scale), 1), max(round(self.height * scale), 1)


@dataclass(frozen=True)
class Frame:
    """A decoded frame and its display interval [start, stop) in seconds."""

    start: float
    stop: float
    picture: av.VideoFrame
    scalers: dict[Any, VideoReformatter]  # shared by the frames of a stream, as a scaler reuses its tables

    def ticks(self, rate: float) -> range:
        """The numbers k of the samples, taken at k / rate seconds, that show this frame."""
        return range(math.ceil(self.start * rate - 1e-6), math.ceil(self.stop * rate - 1e-6))

    def rgb(self, size: tuple[int, int], smooth: bool = False) -> NDArray[np.uint8]:
        """RGB pixels (H, W, 3) scaled to `size` = (width, height), by area averaging or, if `smooth`, bicubically."""
        turns = round(self.picture.rotation / 90) % 4
        width, height = size if turns % 2 == 0 else size[::-1]
        scaler = self.scalers.setdefault((size, smooth), VideoReformatter())
        interpolation = Interpolation.BICUBIC if smooth else Interpolation.AREA
        scaled = scaler.reformat(self.picture, width, height, "rgb24", interpolation=interpolation)
        return np.ascontiguousarray(np.rot90(scaled.to_ndarray(), turns))


def probe(path: str | Path) -> VideoInfo:
    """The properties of a video from its headers and first frame. Raises InputError if it is not a readable video."""
    with _open(path) as container:
        stream = _picture_stream(container, path)
        first = next(_pictures(container, stream), None)
        if first is None:
            raise InputError(f"{path} holds no picture that can be read; copy or export it again")
        _check_size(path, first.width, first.height)
        aspect = stream.sample_aspect_ratio or 1
        width, height = max(round(first.width * aspect), 1), first.height
        if round(first.rotation / 90) % 2:
            width, height = height, width
        return VideoInfo(
            path=Path(path),
            duration=_stated_duration(container, stream),
            fps=float(stream.average_rate or DEFAULT_FPS),
            width=width,
            height=height,
            codec=stream.codec_context.name,
            has_audio=bool(container.streams.audio),
        )


def lasts_longer(path: str | Path, seconds: float) -> bool:
    """Whether a video is longer than `seconds` according to the times of its packets rather than its headers.

    Nothing is decoded, and nothing is read beyond the limit. Raises InputError if it is not a readable video.
    """
    with _open(path) as container:
        stream = _picture_stream(container, path)
        base, usual = stream.time_base or Fraction(1, 1000), float(1 / (stream.average_rate or DEFAULT_FPS))
        first, last = math.inf, 0.0
        for number, packet in enumerate(_packets(container, stream)):
            if packet.size == 0:  # end of the stream
                break
            start = number * usual if packet.pts is None else float(packet.pts * base)
            first = min(first, start)
            last = max(last, start + (float(packet.duration * base) if packet.duration else usual))
            if last - first > seconds:
                return True
    return False


def frame_count(path: str | Path) -> int:
    """How many frames a video has, at least 1: as its headers say, or counted undecoded where they state no duration.

    Raises InputError for anything but a readable video.
    """
    info = probe(path)
    if info.duration > 0:
        return max(round(info.duration * info.fps), 1)
    with _open(path) as container:
        return max(sum(packet.size > 0 for packet in _packets(container, _picture_stream(container, path))), 1)


def decoded(path: str | Path) -> Iterator[Frame]:
    """Every frame of a video in display order. Their intervals cover the video from 0 to its end without gaps.

    Raises InputError if the file is not a readable video, and after the last frame if that comes well before the stated
    end of the file.
    """
    with _open(path) as container:
        stream = _picture_stream(container, path)
        usual = float(1 / (stream.average_rate or DEFAULT_FPS))
        scalers: dict[Any, VideoReformatter] = {}
        origin: float | None = None
        held: av.VideoFrame | None = None
        start = 0.0
        for picture in _pictures(container, stream):
            shown = picture.time if picture.time is not None else (origin or 0.0) + start + usual
            origin = shown if origin is None else origin
            _check_size(path, picture.width, picture.height)
            if shown - origin > LONGEST or (held is not None and shown - origin - start > LONGEST_GAP):
                raise InputError(
                    f"{path} has a picture at {(shown - origin) / 3600:.1f} h, after {start / 3600:.1f} h without one "
                    f"or past {LONGEST // 3600} h; its times are damaged: export it again, or cut it in pieces"
                )
            if held is not None:
                stop = max(shown - origin, start)
                yield Frame(start, stop, held, scalers)
                start = stop
            held = picture
        if held is None:
            raise InputError(f"{path} holds no picture that can be read; copy or export it again")
        lasts = float(held.duration * held.time_base) if held.duration and held.time_base else usual
        yield Frame(start, start + lasts, held, scalers)
        stated = _stated_duration(container, stream)
    if stated - (start + lasts) > max(1.0, CUT_SHORT * stated):
        raise InputError(
            f"{path} is damaged or cut short: its picture ends after {start + lasts:.1f} of {stated:.1f} s; "
            "copy or export it again"
        )


def pictures_at(path: str | Path, times: list[float], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """The RGB picture (H, W, 3) displayed at each of the ascending `times`; long gaps between them are skipped."""
    scalers: dict[Any, VideoReformatter] = {}
    with _open(path) as container:
        stream = _picture_stream(container, path)
        pictures = _pictures(container, stream)
        held = next(pictures)
        origin = held.time or 0.0
        following = next(pictures, None)
        for wanted in times:
            if wanted + origin - (held.time or 0.0) > SEEK_SECONDS and stream.time_base is not None:
                container.seek(int((wanted + origin) / stream.time_base), stream=stream)
                pictures = _pictures(container, stream)
                held = next(pictures, held)
                following = next(pictures, None)
            while following is not None and (following.time or 0.0) - origin <= wanted + 1e-6:
                held, following = following, next(pictures, None)
            yield Frame(wanted, wanted, held, scalers).rgb(size, smooth=True)


def _open(path: str | Path) -> av.container.InputContainer:
    """Open a file by its absolute path, as FFmpeg would take "a:b.mp4" for a protocol. Only local files are read."""
    path = Path(path)
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise InputError(f"the name of {str(path)!a} is not UTF-8; rename the file") from error
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            raise InputError(f"{path} is not a file; give a video file")
        if path.stat().st_size == 0:
            raise InputError(f"{path} is empty (0 bytes); copy or export it again")
        return av.open(str(path.absolute()), options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"{path} is not a video that can be read ({reason}); give a whole video file such as mp4, mov, mkv or webm"
        ) from error


def _check_size(path: str | Path, width: int, height: int) -> None:
    """Raise InputError for frames whose size or shape could exhaust the memory."""
    if width * height > MOST_PIXELS or max(width, height) > LONGEST_SIDES * min(width, height):
        raise InputError(
            f"{path} has pictures of {width} x {height} pixels; give a video with at most {MOST_PIXELS >> 20} million "
            f"pixels, and at most {LONGEST_SIDES} times as long as wide"
        )


def _picture_stream(container: av.container.InputContainer, path: str | Path) -> av.VideoStream:
    """The first video stream that is not cover art, decoded by several threads."""
    for stream in container.streams.video:
        if stream.disposition & Disposition.attached_pic:
            continue
        if stream.codec_context is None:
            raise InputError(
                f"{path} is coded in a way that cannot be decoded here; convert it to H.264 in an mp4 file"
            )
        stream.thread_type = "AUTO"
        return stream
    kind = "sound but no picture" if container.streams.audio else "no picture"
    raise InputError(f"{path} has {kind}; give a video file")


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[Any]:
    """The remaining packets of the stream; an error while reading ends the iteration."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, OSError):
            return
        if packet is None:
            return
        yield packet


def _pictures(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The remaining frames of the stream; packets that cannot be decoded are skipped."""
    for packet in _packets(container, stream):
        try:
            pictures = packet.decode()
        except (av.FFmpegError, OSError):
            continue
        yield from pictures


def _stated_duration(container: av.container.InputContainer, stream: av.VideoStream) -> float:
    """Duration of the video in seconds according to its headers; 0 if they state none."""
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    tag = stream.metadata.get("DURATION", "")
    if tag.count(":") == 2:
        hours, minutes, seconds = tag.split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    return container.duration / av.time_base if container.duration else 0.0
