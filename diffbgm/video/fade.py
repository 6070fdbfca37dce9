"""How a film ends: how long its picture takes to fade to black, so that the music can go with it."""

from itertools import pairwise
from pathlib import Path

import av
import numpy as np

LONGEST = 8.0  # seconds before the end that are looked at
BLACK = 12.0  # mean level (16 is black in video levels, 0 in full range) above black that still counts as black
STEADY = 2.0  # levels that a fading picture may rise from one look to the next


def fade_to_black(video: str | Path, duration: float) -> float | None:
    """Seconds from where the picture begins to darken until its end, where it ends in black; None where it does not.

    A film of `duration` seconds; a fade of more than `LONGEST` seconds counts as that long. A picture that is black all
    through, or that jumps to black, does not fade. None, too, for a file that cannot be read from there.
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
        return None  # fewer than three looks on the way down: a cut to black
    return float(duration - times[brightest])


def _levels(video: Path, start: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean brightness (n,) of about eight pictures a second from `start` on, and their seconds (n,)."""
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
