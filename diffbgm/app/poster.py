"""The poster of a video: a small JPEG of one of its pictures, embedded in the page."""

import base64
import io
from pathlib import Path

import av
import numpy as np
from PIL import Image

WIDTH = 480  # pixels
QUALITY = 70
PLACES = (0.05, 0.35, 0.65)  # of the duration; the picture with the most contrast becomes the poster


def poster(video: str | Path, width: int = WIDTH) -> bytes | None:
    """A JPEG of the key frame with the most contrast out of three; None if the video has no readable picture.

    Only key frames are decoded, so that a long film costs no more than a short one.
    """
    try:
        pictures = _key_frames(Path(video))
    except (av.FFmpegError, OSError):
        return None
    if not pictures:
        return None
    best = max(pictures, key=lambda picture: float(np.asarray(picture.convert("L")).std()))
    best.thumbnail((width, width))
    buffer = io.BytesIO()
    best.save(buffer, "JPEG", quality=QUALITY, optimize=True)
    return buffer.getvalue()


def data_uri(content: bytes, kind: str) -> str:
    """Bytes as a `data:` address for an HTML page."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def _key_frames(video: Path) -> list[Image.Image]:
    """The key frames before each of `PLACES`, upright and with square pixels."""
    pictures = []
    with av.open(str(video.absolute())) as container:
        if not container.streams.video:
            return []
        stream = container.streams.video[0]
        stream.codec_context.skip_frame = "NONKEY"
        for place in PLACES:
            container.seek(int(place * (container.duration or 0)))
            frame = next(container.decode(stream), None)
            if frame is None:
                continue
            picture = frame.to_image()
            aspect = float(stream.sample_aspect_ratio or 1)
            if aspect != 1:
                picture = picture.resize((max(round(picture.width * aspect), 1), picture.height))
            pictures.append(picture.rotate(frame.rotation, expand=True) if frame.rotation else picture)
    return pictures
