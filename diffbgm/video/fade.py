"""How a video ends: how long its picture takes to fade to black, so that the music can fade with it."""

import contextlib
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import av
import numpy as np

from diffbgm.errors import InputError
from diffbgm.video.features import Extractor, VideoFeatures, cache_entry

LONGEST = 8.0  # seconds before the end that are examined
BLACK = 12.0  # mean level (16 is black in video levels, 0 in full range) above black that still counts as black
STEADY = 2.0  # levels that a fading picture may rise from one sample to the next


def with_fade(
    path: str | Path, features: VideoFeatures, extractor: Extractor, cache_dir: str | Path | None
) -> VideoFeatures:
    """The features of a video with `fade`, which is measured if it is missing and stored in the cache, if there is one.

    Cache entries without it, made by an earlier version or for training, remain valid.
    """
    if features.fade is not None:
        return features
    features = replace(features, fade=fade_to_black(path, features.duration) or 0.0)
    if cache_dir is not None:
        with contextlib.suppress(InputError):  # a cache that cannot be written is used as it is
            features.save(cache_entry(path, extractor, cache_dir))
    return features


def fade_to_black(video: str | Path, duration: float) -> float | None:
    """Seconds from the moment the picture begins to darken to the end of the video; None if it does not end in black.

    `duration` is that of the video in seconds; a fade of more than `LONGEST` seconds counts as that long. A picture
    that is black throughout, or that cuts to black, does not fade. None also for a file that cannot be read there.
    """
    try:
        times, levels = _levels(Path(video), max(0.0, duration - LONGEST))
    except (av.error.FFmpegError, ValueError):
        return None
    if len(levels) < 3 or levels[-1] > BLACK + 16 or levels.max() < 2 * BLACK + 16:
        return None
    start = len(levels) - 1
    for later, earlier in pairwise(range(len(levels) - 1, -1, -1)):
        if levels[earlier] < levels[later] - STEADY:
            break
        start = earlier
    brightest = start + int(np.flatnonzero(levels[start:] >= levels[start:].max() - STEADY)[-1])
    if levels[brightest] < 2 * BLACK + 16 or (levels[brightest:] > BLACK + 16).sum() < 3:
        return None  # fewer than three samples on the way down: a cut to black
    return float(duration - times[brightest])


def _levels(video: Path, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Times (n,) in seconds and mean brightness (n,) of about eight frames per second from `start` on."""
    with av.open(str(video.absolute())) as container:
        stream = container.streams.video[0]
        if stream.time_base is not None and start > 0:
            offset = (stream.start_time or 0) + round(start / stream.time_base)
            container.seek(offset, stream=stream, backward=True)
        first = float((stream.start_time or 0) * stream.time_base) if stream.time_base is not None else 0.0
        times: list[float] = []
        levels: list[float] = []
        for frame in container.decode(stream):
            time = (frame.time or 0.0) - first
            if time < start or (times and time < times[-1] + 0.12):
                continue
            times.append(time)
            levels.append(float(frame.reformat(format="gray", width=32, height=18).to_ndarray().mean()))
    return np.array(times), np.array(levels)
