"""A short drawn video as an example for the app: three shots, one calm, one lively and one dark."""

from pathlib import Path

import av
import numpy as np

SIZE, FPS, SECONDS = (320, 180), 12, 9


def write_example(path: Path) -> Path:
    """Write the video (9 s, 320 x 180, H.264) and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options={"preset": "veryfast", "crf": "24"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for number in range(FPS * SECONDS):
            frame = av.VideoFrame.from_ndarray(_picture(number / FPS), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _picture(seconds: float) -> np.ndarray:
    """What is shown at a time: a slow sun, fast bars, a dim moon; (H, W, 3) uint8."""
    width, height = SIZE
    y, x = np.mgrid[0:height, 0:width].astype(float)
    if seconds < 3:
        sun = np.hypot(x - 60 - 30 * seconds, y - 100 + 10 * seconds) < 34
        return np.where(sun[..., None], (255, 214, 120), (148, 196, 232)).astype(np.uint8)
    if seconds < 6:
        bars = np.sin((x + 260 * seconds) / 14) + np.sin((y - 90 * seconds) / 22) > 0.4
        return np.where(bars[..., None], (240, 90, 60), (250, 232, 190)).astype(np.uint8)
    moon = np.hypot(x - 230, y - 60 - 4 * (seconds - 6)) < 22
    return np.where(moon[..., None], (150, 156, 178), (22, 26, 48)).astype(np.uint8)
