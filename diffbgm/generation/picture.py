"""The picture of a piece: its piano roll over time, with the cuts of the video and its motion.

It consists of rectangles and a few words, which NumPy and Pillow draw in less time than a plotting library is imported.

Shape legend: H, W pixels of the picture, N notes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from diffbgm.files import atomic
from diffbgm.music.notes import STEPS_PER_BEAT, Notes

if TYPE_CHECKING:
    from PIL import Image

HEIGHT, NARROWEST, WIDEST, PER_SECOND = 462, 880, 2640, 44  # pixels: H, the bounds of W, and W per second of video
LEFT, RIGHT = 57, 15  # columns beside the panels
ROLL, MOTION = (11, 328), (347, 410)  # first and last row of each panel
MOST_TICKS = 10
_INK, _NOTE, _CUT, _MOVING = (31, 36, 48), (47, 111, 159), (200, 85, 61), (138, 154, 91)
Colour = tuple[int, int, int]
Places = np.ndarray | Sequence[float]  # seconds or pitches


@dataclass(frozen=True)
class _Scale:
    """Where seconds and pitches lie in the picture."""

    width: int  # W
    duration: float  # seconds
    low: float  # pitch at the bottom of the roll
    high: float  # pitch at its top

    @property
    def right(self) -> int:
        return self.width - RIGHT

    def columns(self, seconds: Places) -> NDArray[np.float64]:
        return LEFT + np.clip(np.asarray(seconds) / self.duration, 0, 1) * (self.right - LEFT)

    def rows(self, pitches: Places) -> NDArray[np.float64]:
        return ROLL[1] - (np.asarray(pitches) - self.low) / (self.high - self.low) * (ROLL[1] - ROLL[0])

    @property
    def octaves(self) -> NDArray[np.int64]:
        """The pitches of each C."""
        return np.arange(-(-self.low // 12) * 12, self.high + 1, 12).astype(np.int64)

    @property
    def ticks(self) -> NDArray[np.float64]:
        """Round numbers of seconds from 0 to the end, at most `MOST_TICKS` steps apart."""
        power = 10.0 ** np.floor(np.log10(self.duration / MOST_TICKS))
        each = next(power * factor for factor in (1, 2, 5, 10) if self.duration <= MOST_TICKS * power * factor)
        return each * np.arange(int(self.duration / each + 1e-6) + 1)


def draw_roll(
    notes: Notes, path: Path, tempo: float, cuts: Sequence[float], pace: np.ndarray | None, duration: float
) -> None:
    """Write a PNG: the notes over seconds, shot cuts as vertical lines, and the pace of the picture below them.

    notes: N notes; tempo: BPM; cuts: seconds; pace: (beats,) in [0, 1], if known; duration: seconds of the video.
    """
    from PIL import Image

    beat = 60.0 / tempo
    step = beat / STEPS_PER_BEAT
    low, high = min(36, notes.pitch.min(initial=127) - 2), max(96, notes.pitch.max(initial=0) + 2)
    scale = _Scale(round(min(WIDEST, max(NARROWEST, PER_SECOND * duration))), duration, low, high)
    pixels = np.full((HEIGHT, scale.width, 3), 255, np.float32)
    starts, ends = scale.columns(notes.onset * step), scale.columns((notes.onset + notes.duration - 0.15) * step)
    for box in zip(scale.rows(notes.pitch + 0.4), scale.rows(notes.pitch - 0.4), starts, ends, strict=True):
        _rectangle(pixels, *box, _NOTE)
    if pace is not None and len(pace):
        _area(pixels[slice(*MOTION)], scale.columns((np.arange(len(pace)) + 0.5) * beat), pace, _MOVING, 0.6)
    for top, bottom in (ROLL, MOTION):
        for x in scale.columns(cuts):
            _rectangle(pixels, top, bottom, x - 0.7, x + 0.7, _CUT, 0.8)
        _rectangle(pixels, top, bottom, LEFT - 0.5, LEFT + 0.5, _INK)
        _rectangle(pixels, bottom - 0.5, bottom + 0.5, LEFT, scale.right, _INK)
        for x in scale.columns(scale.ticks):
            _rectangle(pixels, bottom, bottom + 5, x - 0.5, x + 0.5, _INK)
    for y in scale.rows(scale.octaves):
        _rectangle(pixels, y - 0.5, y + 0.5, LEFT - 5, LEFT, _INK)
    image = Image.fromarray(np.rint(pixels).astype(np.uint8))
    _letter(image, scale)
    with atomic(path) as temporary:
        image.save(temporary, "PNG")


def _letter(image: "Image.Image", scale: _Scale) -> None:
    """Write the names of octaves, seconds and axes into the picture."""
    from PIL import Image, ImageDraw, ImageFont

    draw, font = ImageDraw.Draw(image), ImageFont.load_default(14)
    upright = ImageFont.TransposedFont(font, Image.Transpose.ROTATE_90)
    for pitch, y in zip(scale.octaves, scale.rows(scale.octaves), strict=True):
        draw.text((LEFT - 9, y), f"C{pitch // 12 - 1}", _INK, font, anchor="rm")
    for second, x in zip(scale.ticks, scale.columns(scale.ticks), strict=True):
        draw.text((x, MOTION[1] + 9), f"{second:g}", _INK, font, anchor="mt")
    draw.text(((LEFT + scale.right) / 2, HEIGHT - 18), "seconds (red: cuts)", _INK, font, anchor="mt")
    for words, panel, x in (("pitch (C4 = 60)", ROLL, 4), ("motion", MOTION, 34)):
        draw.text((x, sum(panel) / 2 - font.getlength(words) / 2), words, _INK, upright)


def _rectangle(
    pixels: np.ndarray, top: float, bottom: float, left: float, right: float, colour: Colour, opacity: float = 1.0
) -> None:
    """Blend a rectangle into the pixels (H, W, 3); a pixel that it covers in part takes on as much of its colour."""
    (rows, tall), (columns, wide) = _covered(top, bottom), _covered(left, right)
    _blend(pixels[rows, columns], tall[:, None] * wide, colour, opacity)


def _covered(start: float, stop: float) -> tuple[slice, np.ndarray]:
    """The pixels between two places, and the share of each that lies between them."""
    first, last = int(np.floor(start)), int(np.ceil(stop))
    pixel = np.arange(first, last)
    return slice(first, last), np.minimum(pixel + 1, stop) - np.maximum(pixel, start)


def _area(pixels: np.ndarray, columns: np.ndarray, heights: np.ndarray, colour: Colour, opacity: float) -> None:
    """Fill what lies under a line through heights in [0, 1] at these columns, in a panel (H, W, 3)."""
    tall, wide = pixels.shape[:2]
    line = np.interp(np.arange(wide) + 0.5, columns, heights, left=0, right=0) * tall
    _blend(pixels, np.clip(line - np.arange(tall)[::-1, None], 0, 1), colour, opacity)


def _blend(pixels: np.ndarray, share: np.ndarray, colour: Colour, opacity: float) -> None:
    """Move pixels (H, W, 3) towards a colour, each by its share (H, W) of the opacity."""
    pixels += opacity * share[..., None] * (np.array(colour, np.float32) - pixels)
