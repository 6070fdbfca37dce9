"""Write a video with music as an MP4: the video stream is copied if MP4 can hold it, the audio is 48 kHz stereo AAC.

Shape legend: n samples at 48 kHz. Audio is float32 (n, 2). The mixes (replace, duck, keep) are those of `music.mixing`.
"""

import heapq
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from av.container import InputContainer, OutputContainer
from av.stream import Disposition
from av.video.frame import PictureType

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.music.audio import fit_length, limit, resample
from diffbgm.music.mixing import MIXES, blend

RATE = 48000  # Hz, of the audio in the MP4
BIT_RATE = 192_000  # bits per second of AAC
COPIED = ("h264", "hevc", "av1", "vp9")  # video codecs that players and browsers support in MP4

if TYPE_CHECKING:
    Packet = av.Packet[Any]
else:
    Packet = av.Packet  # generic only in its type stubs
Pictures = Callable[[InputContainer, OutputContainer, Fraction], Iterator[Packet]]


@dataclass(frozen=True)
class Muxed:
    """The result of `mux`."""

    seconds: float  # length of video and audio
    picture: str  # "copied" or "encoded"
    mix: str  # the mix in effect: "replace" if the video has no audio of its own


@dataclass(frozen=True)
class _Picture:
    start: Fraction  # seconds: timestamp of the first displayed frame
    seconds: Fraction  # until the end of the last frame
    copyable: bool


def mux(
    video: str | Path,
    audio: np.ndarray,
    rate: int,
    out: str | Path,
    mix: str = "replace",
    fade: float = 1.0,
    original: str | Path | None = None,
    advance: Callable[[int], None] | None = None,
) -> Muxed:
    """Write `video` with the music `audio` (n, 2) at `rate` Hz as the MP4 `out`, as long as the video.

    Longer music is cut, and shorter music is followed by silence; it fades out over the last `fade` seconds of the
    video. Rotation is kept. The audio is held in memory (23 MB per minute and track), the frames are not.

    `original` is an .m4a file to which the video's own sound is written if it is mixed in. advance(1) is called after
    each second of the video. Raises InputError for a file that is not a video, for an unknown mix, and if `out` cannot
    be written.
    """
    if mix not in MIXES:
        raise InputError(f"the mix is {mix!r}; choose one of {', '.join(MIXES)}")
    picture = _scan(video)
    if Path(out).exists() and Path(out).samefile(video):
        raise InputError(f"{out} is the video itself; choose another folder for the results")
    samples = round(picture.seconds * RATE)
    music = fit_length(resample(audio, rate, RATE), samples, round(min(fade, float(picture.seconds) / 2) * RATE))
    own = None if mix == "replace" else _original_sound(video, picture.start, samples)
    if own is not None and original is not None:
        _write_sound(own, original)
    sound = limit(music, RATE) if own is None else blend(own, music, RATE, mix)
    for pictures in (_copy, _encode) if picture.copyable else (_encode,):
        try:
            _write(video, picture.start, sound, out, pictures, advance or (lambda done: None))
            break
        except av.error.FFmpegError as error:  # the container does not accept the packets: re-encode
            reason = error.strerror
    else:
        raise InputError(f"{video} cannot be written as {out} ({reason}); check the file and the space on the disk")
    in_effect = "replace" if own is None else mix
    return Muxed(float(picture.seconds), "copied" if pictures is _copy else "encoded", in_effect)


def _write(
    video: str | Path,
    start: Fraction,
    sound: np.ndarray,
    out: str | Path,
    pictures: Pictures,
    advance: Callable[[int], None],
) -> None:
    second = 0
    with (
        atomic(out) as temporary,
        _open(video) as source,
        av.open(str(temporary.absolute()), "w", format="mp4", options={"movflags": "+faststart"}) as target,
    ):
        streams = pictures(source, target, start), _encode_sound(sound, target)
        for packet in heapq.merge(*streams, key=_seconds):
            target.mux(packet)
            if (reached := int(_seconds(packet))) > second:
                advance(reached - second)
                second = reached


def _write_sound(sound: np.ndarray, out: str | Path) -> None:
    with atomic(out) as temporary, av.open(str(temporary.absolute()), "w", format="mp4") as target:
        for packet in _encode_sound(sound, target):
            target.mux(packet)


def _open(video: str | Path) -> InputContainer:
    try:
        return av.open(str(Path(video).absolute()))  # absolute, as FFmpeg would take "a:b.mp4" for a protocol
    except av.error.FFmpegError as error:
        raise InputError(f"{video} cannot be read as a video ({error.strerror}); check the file") from error


def _stream(source: InputContainer, video: str | Path) -> tuple[av.VideoStream, Fraction]:
    """The video stream and its time base in seconds."""
    pictures = [stream for stream in source.streams.video if not stream.disposition & Disposition.attached_pic]
    if not pictures or pictures[0].codec_context is None or pictures[0].time_base is None:
        raise InputError(f"{video} has no picture that can be read; give a video")
    return pictures[0], pictures[0].time_base


def _has_times(source: InputContainer) -> bool:
    """False for AVI, whose frames have a constant rate and no presentation times; those that FFmpeg adds are wrong."""
    return source.format.name != "avi"


def _packets(source: InputContainer, stream: av.VideoStream | av.AudioStream) -> Iterator[Packet]:
    """The packets of a stream, ending with an empty one that flushes the decoder; an error ends the iteration."""
    try:
        yield from source.demux(stream)
    except av.error.FFmpegError:
        return


def _scan(video: str | Path) -> _Picture:
    """Read the video packets once without decoding: where the video starts and ends, and whether it can be copied."""
    shown: list[tuple[int, int]] = []  # first and last + 1 tick of each packet
    decoding: list[int | None] = []
    with _open(video) as source:
        stream, base = _stream(source, video)
        frame = max(1, round(1 / (stream.average_rate or Fraction(25)) / base))
        for packet in _packets(source, stream):
            if packet.size:
                decoding.append(packet.dts if packet.pts is not None else None)
                time = packet.pts if _has_times(source) and packet.pts is not None else packet.dts
                if time is not None and not packet.is_discard:
                    shown.append((time, time + (packet.duration or frame)))
        holdable = stream.codec_context.codec.canonical_name in COPIED and _has_times(source)
    if not shown:
        raise InputError(f"{video} has no frames; check the file")
    start, end = min(first for first, _ in shown), max(last for _, last in shown)
    # Matroska omits the first decoding timestamps; `_copy` fills them in.
    known = decoding[next((i for i, dts in enumerate(decoding) if dts is not None), len(decoding)) :]
    ordered = all(a is not None and b is not None and a < b for a, b in pairwise(known))
    return _Picture(start * base, (end - start) * base, holdable and bool(known) and ordered)


def _copy(source: InputContainer, target: OutputContainer, start: Fraction) -> Iterator[Packet]:
    """The video packets, shifted in time so that the first displayed frame is at 0."""
    stream, base = _stream(source, source.name)
    copied = target.add_stream_from_template(stream, opaque=True)  # opaque: works without an encoder for that codec
    if stream.codec_context.name == "hevc":
        copied.codec_context.codec_tag = "hvc1"  # the tag that Apple's players accept
    offset = round(start / base)
    early: list[Packet] = []  # packets without a decoding timestamp, which is extrapolated backwards from the first one
    for packet in _packets(source, stream):
        if packet.size == 0 or packet.pts is None:
            continue
        packet.pts -= offset
        packet.stream = copied
        if packet.dts is None:
            early.append(packet)
            continue
        packet.dts -= offset
        for back, waiting in zip(range(len(early), 0, -1), early, strict=True):
            waiting.dts = packet.dts - back * max(1, packet.duration or 0)
        yield from early
        early.clear()
        yield packet


def _encode(source: InputContainer, target: OutputContainer, start: Fraction) -> Iterator[Packet]:
    """The video re-encoded as H.264, each frame at its own time; odd sizes are scaled down to even ones."""
    stream, base = _stream(source, source.name)
    frames = _frames(source, stream)
    first = next(frames, None)
    if first is None:
        raise InputError(f"{source.name} has no picture that can be decoded; check the file")
    rate = stream.average_rate or Fraction(25)
    encoder = target.add_stream("libx264", rate=rate, options={"crf": "20", "preset": "veryfast"})
    encoder.width, encoder.height = max(2, first.width // 2 * 2), max(2, first.height // 2 * 2)
    encoder.pix_fmt = "yuv420p"
    encoder.codec_context.sample_aspect_ratio = stream.sample_aspect_ratio or Fraction(1)
    encoder.codec_context.time_base = base
    if first.rotation:
        encoder.set_display_rotation(first.rotation)
    last = -1
    for number, frame in enumerate(chain([first], frames)):
        time = number / rate if frame.pts is None or not _has_times(source) else frame.pts * base - start
        tick = round(time / base)
        if tick <= last:
            continue
        scaled = frame.reformat(encoder.width, encoder.height, "yuv420p")
        scaled.pts = last = tick
        scaled.time_base = base
        scaled.pict_type = PictureType.NONE  # the encoder chooses
        yield from encoder.encode(scaled)
    yield from encoder.encode(None)


def _frames(source: InputContainer, stream: av.VideoStream | av.AudioStream) -> Iterator[Any]:
    """The frames of a stream; damaged packets are skipped."""
    for packet in _packets(source, stream):
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue


def _encode_sound(sound: np.ndarray, target: OutputContainer) -> Iterator[Packet]:
    encoder = target.add_stream("aac", rate=RATE, layout="stereo", bit_rate=BIT_RATE)
    for first in range(0, len(sound), RATE):
        block = np.ascontiguousarray(sound[first : first + RATE].T, np.float32)
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = RATE, first, Fraction(1, RATE)
        yield from encoder.encode(frame)
    yield from encoder.encode(None)


def _original_sound(video: str | Path, start: Fraction, samples: int) -> np.ndarray | None:
    """The video's own audio (samples, 2) at 48 kHz, in sync with its frames; None if none can be decoded."""
    with _open(video) as source:
        if not source.streams.audio:
            return None
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
        sound = np.zeros((samples, 2), np.float32)
        position = None
        for frame in chain(_frames(source, source.streams.audio[0]), [None]):
            for piece in resampler.resample(frame):
                block = piece.to_ndarray().T
                at = position or 0
                if piece.pts is not None and piece.time_base is not None:
                    at = round((piece.pts * piece.time_base - start) * RATE)
                if position is not None and abs(at - position) < RATE // 20:
                    at = position  # jitter is ignored; only a real gap shifts the audio
                position = at + len(block)
                kept = block[max(0, -at) : max(0, samples - at)]
                sound[max(0, at) : max(0, at) + len(kept)] = kept
        return None if position is None else sound


def _seconds(packet: Packet) -> float:
    return float((packet.dts or 0) * packet.time_base)
