"""The two sets of features: `lite`, which needs no download, and `clip`, the paper's.

A video is decoded once for both its features and its shots. A thread decodes and scales up to `AHEAD` frames ahead
while the detectors and encoders work; only their results are kept.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.prefetch import Prefetched
from diffbgm.video.captions import MINILM_WIDTH, BertEmbedder, BlipCaptioner, MiniLMEmbedder, sentence_table
from diffbgm.video.decode import Frame, decoded, pictures_at, probe
from diffbgm.video.encoders import ClipEncoder, LiteEncoder
from diffbgm.video.features import Advance, Extractor, VideoFeatures, on_beats
from diffbgm.video.shots import AdaptiveShots, ShotDetector, TransNetV2Shots, intervals
from diffbgm.video.streams import SENTENCES, STREAMS
from diffbgm.video.weights import Weights

if TYPE_CHECKING:
    import torch

AHEAD = 64  # frames, already scaled
SENTENCE_SECONDS = 0.5  # length of the beats from which the built-in captions of shots are derived
CAPTION_SIDE = 384  # short side in pixels of the pictures that are captioned, as BLIP expects


class Watcher(Protocol):
    """A shot detector or frame encoder processing one video."""

    def take(self, frame: Frame) -> Any:
        """Extract from a frame what `see` needs; called in the decoding thread."""

    def see(self, item: Any) -> None:
        """Process the next frame."""


@dataclass(frozen=True)
class Passed:
    """The number of frames in one decoding pass, and its time."""

    duration: float  # of the video, seconds
    frames: int
    seconds: float  # time the pass took
    waited: float  # part of `seconds` spent waiting for a decoded frame


def watch(path: str | Path, watchers: Sequence[Watcher], advance: Advance | None = None) -> Passed:
    """Pass every frame of a video to all watchers; advance(1) is called after each. Raises errors as `decoded` does."""
    begin = time.perf_counter()
    duration, frames = 0.0, 0
    ahead = Prefetched(((frame.stop, [w.take(frame) for w in watchers]) for frame in decoded(path)), AHEAD)
    for stop, items in ahead:
        for watcher, item in zip(watchers, items, strict=True):
            watcher.see(item)
        duration, frames = stop, frames + 1
        if advance is not None:
            advance(1)
    return Passed(duration, frames, time.perf_counter() - begin, ahead.waited)


class LiteExtractor:
    """Measures motion, light and colour for each sample, and describes each shot by a built-in sentence."""

    visual_width = len(STREAMS)
    language_width = MINILM_WIDTH

    def __init__(self, encoder: LiteEncoder, shots: ShotDetector) -> None:
        self.encoder, self.shots = encoder, shots
        self.id = f"lite-1/{encoder.id}/{shots.id}"
        self.columns: tuple[str, ...] = encoder.columns

    def to(self, device: "torch.device") -> "LiteExtractor":
        """Move the shot detector to a device; the measures are always computed on the CPU."""
        self.shots.to(device)
        return self

    def prepare(self) -> None:
        """Load the shot detector. Raises InputError if it is missing."""
        self.shots.prepare()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts like the language features, (n,) -> (n, 384)."""
        return MiniLMEmbedder().embed(texts)

    def extract(self, path: str | Path, advance: Advance | None = None) -> VideoFeatures:
        """The features of a video; advance(1) is called after each frame. Raises errors as `decoded` does."""
        info = probe(path)
        detector, encoder = self.shots.watch(info), self.encoder.watch(info)
        passed = watch(path, [detector, encoder], advance)
        cuts = detector.cuts()
        shots = intervals(cuts, passed.duration)
        features = VideoFeatures(
            visual=encoder.rows(cuts),
            rate=self.encoder.rate,
            columns=self.encoder.columns,
            language=np.zeros((0, self.language_width), dtype=np.float32),
            shots=shots,
            captions=(),
            duration=passed.duration,
            extractor=self.id,
        )
        beats = int(np.ceil(passed.duration / SENTENCE_SECONDS)) + 1
        spoken = on_beats(features, beats, SENTENCE_SECONDS).captions
        last = max(sum(map(bool, spoken)) - 1, 0)
        captions = tuple(spoken[min(round(start / SENTENCE_SECONDS), last)] for start in shots[:, 0])
        language = sentence_table()[[SENTENCES.index(caption) for caption in captions]]
        return replace(features, captions=captions, language=language)


class ClipExtractor:
    """The paper's features: an image embedding per sample, and per shot an embedded caption of its middle frame."""

    def __init__(
        self, encoder: ClipEncoder, shots: ShotDetector, captioner: BlipCaptioner, embedder: BertEmbedder
    ) -> None:
        self.encoder, self.shots, self.captioner, self.embedder = encoder, shots, captioner, embedder
        self.id = f"clip-1/{encoder.id}/{shots.id}/{captioner.id}/{embedder.id}"
        self.columns, self.visual_width, self.language_width = encoder.columns, encoder.width, embedder.width

    def to(self, device: "torch.device") -> "ClipExtractor":
        """Move all models to a device."""
        for part in (self.encoder, self.shots, self.captioner, self.embedder):
            part.to(device)
        return self

    def prepare(self) -> None:
        """Load all four models. Raises InputError naming the first one that is missing."""
        for part in (self.encoder, self.shots, self.captioner, self.embedder):
            part.prepare()

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts like the language features, (n,) -> (n, Dl)."""
        return self.embedder.embed(texts)

    def extract(self, path: str | Path, advance: Advance | None = None) -> VideoFeatures:
        """The features of a video; advance(1) is called after each frame.

        Raises errors as `decoded` does, and InputError for missing weights.
        """
        info = probe(path)
        self.prepare()
        detector, encoder = self.shots.watch(info), self.encoder.watch(info)
        passed = watch(path, [detector, encoder], advance)
        cuts = detector.cuts()
        shots = intervals(cuts, passed.duration)
        captions = self._captions(path, list(shots.mean(axis=1)), info.fit(CAPTION_SIDE))
        return VideoFeatures(
            visual=encoder.rows(cuts),
            rate=self.encoder.rate,
            columns=self.encoder.columns,
            language=self.embedder.embed(captions),
            shots=shots,
            captions=tuple(captions),
            duration=passed.duration,
            extractor=self.id,
        )

    def _captions(self, path: str | Path, times: list[float], size: tuple[int, int]) -> list[str]:
        """Caption the picture at each time; only one batch of pictures is in memory at once."""
        pictures = pictures_at(path, times, size)
        captions: list[str] = []
        while batch := list(islice(pictures, self.captioner.batch_size)):
            captions += self.captioner.caption(batch)
        return captions


def build_extractor(name: str) -> Extractor:
    """The extractor `name` with the settings of configs/features/NAME.yaml. InputError for an unknown name."""
    if name == "lite":
        return LiteExtractor(LiteEncoder(), AdaptiveShots())
    if name == "clip":
        return ClipExtractor(
            ClipEncoder(Weights("timm/vit_base_patch32_clip_224.openai", folder="pretrained/clip-vit-base-patch32")),
            TransNetV2Shots(),
            BlipCaptioner(
                Weights("Salesforce/blip-image-captioning-base", folder="pretrained/blip-image-captioning-base")
            ),
            BertEmbedder(Weights("google-bert/bert-base-uncased", folder="pretrained/bert-base-uncased")),
        )
    raise InputError(f"features={name} is unknown; give lite or clip")
