"""Frame encoders: the built-in measures of motion and colour, and CLIP image features.

An encoder is a configuration (and, for CLIP, a network). Its `watch` returns an object for one video: `take` extracts
the pixels of sampled frames (in the decoding thread), `see` measures them, and `rows` returns one row per sample at
`rate` Hz. Sample k is the frame displayed at k / rate seconds.
"""

# N samples, D width of a row, H, W height and width, B batch

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.extras import extra
from diffbgm.fields import check, field
from diffbgm.video.decode import Frame, VideoInfo
from diffbgm.video.streams import MEASURES
from diffbgm.video.weights import Weights, loading, on_device

if TYPE_CHECKING:
    import torch

LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
ACCENT_SECONDS = 0.5  # an accent is motion above its mean over this time before it

Item = tuple[int, NDArray[np.uint8]] | None  # the number of samples that show a frame, and its pixels (H, W, 3)


@dataclass(frozen=True)
class LiteSettings:
    """features.encoder of configs/features/lite.yaml."""

    rate: float = field(8.0, low=0.1, high=240, help="samples per second")
    side: int = field(90, low=8, high=2160, help="short side in pixels of the frames that are measured")


@dataclass(frozen=True)
class ClipSettings:
    """features.encoder of configs/features/clip.yaml."""

    weights: Weights
    width: int = field(512, low=1, high=8192, help="length of a picture's vector")
    rate: float = field(2.0, low=0.1, high=240, help="samples per second")
    batch_size: int = field(64, low=1, high=65_536)
    normalise: bool = field(False, help="unit length")
    half: bool = field(True, help="float16 on a GPU")


class LiteEncoder:
    """Raw measures of a video, one row of `MEASURES` per sample, from frames with a short side of `side` pixels.

    motion: mean absolute change of luma per second after subtracting the change of its mean (a fade is not motion)
    accent: motion above its mean over the half second before, at least 0
    brightness, contrast: mean and standard deviation of luma, in [0, 1]
    colourfulness: Hasler and Süsstrunk, "Measuring colourfulness in natural images" (2003); 0 grey, 33 moderate
    warmth: (R - B) / (R + G + B) of the mean colour, in [-1, 1]

    Luma is computed from gamma-encoded pixels. A change across a cut is not motion: the next sample's value is used.
    """

    columns = MEASURES

    def __init__(self, rate: float = 8.0, side: int = 90) -> None:
        check(LiteSettings, {"rate": rate, "side": side}, "features.encoder")
        self.rate, self.side = rate, side
        self.id = f"measures-{rate:g}-{side}"

    def watch(self, info: VideoInfo) -> "LiteWatcher":
        """A watcher for one video."""
        return LiteWatcher(self.rate, info.fit(self.side))


class LiteWatcher:
    """The measures of one video."""

    def __init__(self, rate: float, size: tuple[int, int]) -> None:
        self._rate, self._size = rate, size
        self._luma: NDArray[np.floating] | None = None
        self._shown = 0  # number of samples that show the previous frame
        self._rows: list[tuple[float, ...]] = []  # motion, brightness, contrast, colourfulness, warmth
        self._picture: list[int] = []  # the number of the frame that each row shows

    def take(self, frame: Frame) -> Item:
        ticks = frame.ticks(self._rate)
        return (len(ticks), frame.rgb(self._size)) if ticks else None

    def see(self, item: Item) -> None:
        if item is None:
            return
        count, pixels = item
        rgb = pixels.astype(np.float32)
        luma = (rgb @ LUMA) / np.float32(255)
        brightness, contrast = float(luma.mean()), float(luma.std())
        motion = 0.0
        if self._luma is not None:
            change = luma - self._luma
            motion = float(np.abs(change - change.mean()).mean()) * self._rate / self._shown
        row = (motion, brightness, contrast, colourfulness(rgb), warmth(rgb))
        self._picture += [self._picture[-1] + 1 if self._picture else 0] * count
        self._rows += [row] * count
        self._luma, self._shown = luma, count

    def rows(self, cuts: list[float]) -> NDArray[np.float32]:
        table = np.array(self._rows, dtype=np.float64)
        picture = np.array(self._picture)
        first = np.ceil(np.array([0.0, *cuts]) * self._rate - 1e-6).astype(np.int64)  # the first sample of each shot
        motion = without(table[:, 0], np.isin(picture, picture[first[first < len(table)]]))
        accents = accent(motion, max(round(ACCENT_SECONDS * self._rate), 1))
        return np.column_stack([motion, accents, table[:, 1:]]).astype(np.float32)


def colourfulness(rgb: NDArray[np.float32]) -> float:
    """Hasler and Süsstrunk's measure of a picture (H, W, 3) with values from 0 to 255.

    sqrt(s_rg^2 + s_yb^2) + 0.3 sqrt(m_rg^2 + m_yb^2), where m and s are the means and standard deviations of
    rg = R - G and yb = (R + G) / 2 - B.
    """
    red_green = rgb[..., 0] - rgb[..., 1]
    yellow_blue = (rgb[..., 0] + rgb[..., 1]) / 2 - rgb[..., 2]
    spread = math.hypot(float(red_green.std()), float(yellow_blue.std()))
    return spread + 0.3 * math.hypot(float(red_green.mean()), float(yellow_blue.mean()))


def warmth(rgb: NDArray[np.float32]) -> float:
    """(R - B) / (R + G + B) of the mean colour of a picture; it approaches 0 near black (a mean below 4 of 255)."""
    red, green, blue = rgb.reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return float((red - blue) / max(red + green + blue, 3 * 4))


def without(values: NDArray[np.float64], gap: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Values (N,) where each value in a gap is replaced by the next one outside it, else the last one, else 0."""
    kept = np.flatnonzero(~gap)
    if not len(kept):
        return np.zeros_like(values)
    index = np.minimum(np.searchsorted(kept, np.arange(len(values))), len(kept) - 1)
    return values[kept[index]]


def accent(motion: NDArray[np.float64], before: int) -> NDArray[np.float64]:
    """Motion (N,) minus its mean over the `before` preceding samples, at least 0; 0 for the first sample."""
    total = np.concatenate([[0.0], np.cumsum(motion)])
    index = np.arange(len(motion))
    low = np.maximum(index - before, 0)
    mean = (total[index] - total[low]) / np.maximum(index - low, 1)
    return np.where(index > 0, np.maximum(motion - mean, 0.0), 0.0)


class ClipEncoder:
    """Image features (N, width) of an open_clip model, computed from the central square of each sampled frame.

    `normalise` scales rows to unit length. `half` computes in float16 on a GPU; the returned rows are always float32.
    """

    columns: tuple[str, ...] = ()

    def __init__(
        self,
        weights: Weights,
        width: int = 512,
        rate: float = 2.0,
        batch_size: int = 64,
        normalise: bool = False,
        half: bool = True,
        device: "torch.device | None" = None,
    ) -> None:
        given = {"width": width, "rate": rate, "batch_size": batch_size, "normalise": normalise, "half": half}
        check(ClipSettings, given | {"weights": vars(weights)}, "features.encoder")
        self.weights, self.width, self.rate, self.batch_size = weights, width, rate, batch_size
        self.normalise, self.half, self.device = normalise, half, device
        self.id = f"{weights.id}-{rate:g}" + ("-unit" if normalise else "")

    def to(self, device: "torch.device") -> "ClipEncoder":
        """Move to a device; the model is loaded there when it is next used."""
        self.device = device
        self.__dict__.pop("network", None)
        return self

    def prepare(self) -> None:
        """Load the model now. Raises InputError if it cannot be found or loaded."""
        _ = self.network

    @cached_property
    def network(self) -> Any:
        """The image encoder in evaluation mode."""
        with extra("clip"):
            import open_clip

        with loading(self.weights) as folder:
            model = open_clip.create_model(f"local-dir:{folder.absolute()}", require_pretrained=True)
        visual = model.visual
        if visual.output_dim != self.width:
            raise InputError(
                f"{self.weights.name} gives {visual.output_dim} numbers a picture, the configuration says "
                f"{self.width}; set width to what the model gives"
            )
        return on_device(visual, self.device, self.half)

    def watch(self, info: VideoInfo) -> "ClipWatcher":
        """A watcher for one video."""
        return ClipWatcher(self, info)

    def encode(self, pictures: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Rows (B, width) for square RGB pictures (B, H, H, 3) of the size that the model expects."""
        import torch

        settings = self.network.preprocess_cfg
        weight = next(self.network.parameters())
        mean, std = (torch.tensor(settings[key], device=weight.device).view(3, 1, 1) for key in ("mean", "std"))
        pixels = torch.from_numpy(np.stack(pictures)).to(weight.device).permute(0, 3, 1, 2).float() / 255
        with torch.inference_mode():
            rows = self.network(((pixels - mean) / std).to(weight.dtype)).float()
        rows = torch.nn.functional.normalize(rows, dim=-1) if self.normalise else rows
        return rows.cpu().numpy()


class ClipWatcher:
    """The image features of one video, computed in batches."""

    def __init__(self, encoder: ClipEncoder, info: VideoInfo) -> None:
        size = encoder.network.image_size
        self._encoder = encoder
        self._side = size[0] if isinstance(size, tuple) else size
        self._size = info.fit(self._side)
        self._pictures: list[NDArray[np.uint8]] = []
        self._counts: list[int] = []
        self._rows: list[NDArray[np.float32]] = []

    def take(self, frame: Frame) -> Item:
        ticks = frame.ticks(self._encoder.rate)
        if not ticks:
            return None
        pixels = frame.rgb(self._size, smooth=True)
        top, left = ((length - self._side) // 2 for length in pixels.shape[:2])
        return len(ticks), pixels[top : top + self._side, left : left + self._side]

    def see(self, item: Item) -> None:
        if item is None:
            return
        self._counts.append(item[0])
        self._pictures.append(item[1])
        if len(self._pictures) == self._encoder.batch_size:
            self._run()

    def rows(self, cuts: list[float]) -> NDArray[np.float32]:
        self._run()
        return np.repeat(np.concatenate(self._rows), self._counts, axis=0)

    def _run(self) -> None:
        if self._pictures:
            self._rows.append(self._encoder.encode(self._pictures))
            self._pictures = []
