"""Features of a video's frames and shots, their file and cache, and their values on the beats of a piece."""

# N samples, Dv width of visual and Dl of language features, S shots, T beats

import hashlib
import json
import logging
import stat
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.files import atomic, sha256
from diffbgm.video.captions import sentence_table
from diffbgm.video.streams import MEASURES, QUANTILES, SENTENCES, STREAMS, Measures, Reference, describe, levels

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)
Advance = Callable[[int], None]  # advance(done more)


# Raised by numpy and zipfile for damaged archives; RuntimeError for encrypted ones and later versions of the format.
DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class VideoFeatures:
    """Features of one video."""

    visual: NDArray[np.float32]  # (N, Dv), row k belongs to the frame displayed at k / rate seconds
    rate: float  # Hz
    columns: tuple[str, ...]  # names of the visual columns; () for image embeddings
    language: NDArray[np.float32]  # (S, Dl), embeddings of the captions
    shots: NDArray[np.float64]  # (S, 2) seconds, covering [0, duration]
    captions: tuple[str, ...]  # (S,)
    duration: float  # seconds
    extractor: str  # id of the extractor with its settings
    fade: float | None = None  # seconds in which the picture fades to black at its end, 0 if not; None: not measured

    def save(self, path: str | Path) -> None:
        """Write one .npz file atomically."""
        known = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        content: dict[str, Any] = {name: np.asarray(value) for name, value in known.items()}
        with atomic(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, **content)

    @classmethod
    def load(cls, path: str | Path) -> "VideoFeatures":
        """Read a file written by `save`. Raises InputError for any other file. Nothing is unpickled."""
        try:
            with np.load(path, allow_pickle=False) as file:
                names = {field.name for field in fields(cls)} - ({"fade"} - {*file.files})
                content = {name: file[name] for name in names}
            for name in ("columns", "captions"):
                content[name] = tuple(str(text) for text in content[name])
            for name in {"rate", "duration", "extractor", "fade"} & names:
                content[name] = content[name].item()
        except DAMAGE as error:
            raise InputError(
                f"{path} is not a whole features file; delete it and extract the features again"
            ) from error
        return cls(**content)


class Extractor(Protocol):
    """Computes `VideoFeatures`; built from configs/features/*.yaml."""

    id: str
    columns: tuple[str, ...]  # names of the visual columns, if they can be steered; () for image embeddings
    visual_width: int  # of the features per beat that the model is given
    language_width: int

    def extract(self, path: str | Path, advance: Advance | None = None) -> VideoFeatures:
        """The features of a video; advance(1) is called after each frame.

        Raises InputError if the file is not a readable video, or if weights are missing.
        """

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts like the language features, (n,) -> (n, language_width)."""

    def to(self, device: "torch.device") -> "Extractor":
        """Move to a device."""

    def prepare(self) -> None:
        """Load models, if there are any. Raises InputError if one is missing."""


def extract(path: str | Path, extractor: Extractor, advance: Advance | None = None) -> VideoFeatures:
    """The features of a video."""
    return extractor.extract(path) if advance is None else extractor.extract(path, advance)


def cached(
    path: str | Path, extractor: Extractor, cache_dir: str | Path, advance: Advance | None = None
) -> VideoFeatures:
    """The features of a video, read from the cache or computed and stored there.

    Entries are named after the content of the video and the id of the extractor, so that renamed and copied videos are
    found and other configurations are kept apart. A damaged or foreign entry is replaced, with a warning in the log.
    """
    entry = cache_entry(path, extractor, cache_dir)
    if entry.exists():
        try:
            features = VideoFeatures.load(entry)
            if features.extractor == extractor.id:
                return features
            log.warning("%s was made by %s: extracting again with %s", entry, features.extractor, extractor.id)
        except InputError:
            log.warning("%s is damaged: extracting the features of %s again", entry, path)
    features = extract(path, extractor, advance)
    features.save(entry)
    return features


def cache_entry(path: str | Path, extractor: Extractor, cache_dir: str | Path) -> Path:
    """The file in the cache for a video's features. Raises InputError if the video cannot be read."""
    configuration = hashlib.sha256(extractor.id.encode()).hexdigest()[:8]
    return Path(cache_dir) / f"{content_hash(path, cache_dir)[:20]}-{configuration}.npz"


def content_hash(path: str | Path, cache_dir: str | Path) -> str:
    """SHA-256 of a file. It is stored in the cache, so that an unchanged file (path, size, time) is read only once.

    Raises InputError if the file cannot be read.
    """
    path, cache_dir = Path(path), Path(cache_dir)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would block
            raise InputError(f"{path} is not a file; give a video file or a folder of videos")
        name = str(path.absolute())
        stamp = [name, status.st_size, status.st_mtime_ns]
        note = cache_dir / "hashes" / f"{hashlib.sha256(name.encode(errors='surrogateescape')).hexdigest()[:20]}.json"
        try:
            known = json.loads(note.read_text())
            if known["stamp"] == stamp:
                return known["sha256"]
        except (OSError, ValueError, KeyError, TypeError):
            pass
        digest = sha256(path)
    except OSError as error:
        raise InputError(
            f"cannot read {path}: {error.strerror}; check that the file is there and may be read"
        ) from error
    with atomic(note) as temporary:
        temporary.write_text(json.dumps({"stamp": stamp, "sha256": digest}))
    return digest


@dataclass(frozen=True)
class BeatFeatures:
    """Features of a video on the beats of the music to be composed: the input of the model."""

    visual: NDArray[np.float32]  # (T, Dv)
    language: NDArray[np.float32]  # (T, Dl)
    valid: NDArray[np.bool_]  # (T,) False after the end of the video, where features are 0
    captions: tuple[str, ...]  # (T,) "" after the end
    cut: NDArray[np.bool_]  # (T,) beats in which a shot other than the first begins
    columns: tuple[str, ...] = ()  # names of the visual columns, if they can be steered; () for image embeddings

    def __getitem__(self, span: slice) -> "BeatFeatures":
        """A range of beats."""
        parts = {entry.name: getattr(self, entry.name)[span] for entry in fields(self) if entry.name != "columns"}
        return replace(self, **parts)


def on_beats(
    features: VideoFeatures, beats: int, beat_seconds: float, reference: Reference | None = None
) -> BeatFeatures:
    """Features for `beats` beats of `beat_seconds` each, from the start of the video.

    A cut belongs to the nearest beat. Built-in measures (named columns) are averaged over each beat (accents: their
    maximum) and become the nine streams, by their levels in `reference` (default: `video_reference()`) and their ranks
    over the whole video; each span between cuts gets a sentence. Embeddings are sampled at the start of each beat.
    """
    total = max(int(np.ceil(features.duration / beat_seconds - 1e-6)), 1)
    cuts = np.round(features.shots[1:, 0] / beat_seconds).astype(np.int64)
    if features.columns:
        measures = _measures(features, total, beat_seconds, cuts)
        visual = levels(measures, reference or video_reference(), beat_seconds)
        index = describe(visual)
        language, captions = sentence_table()[index], [SENTENCES[i] for i in index]
    else:
        sample = np.floor(np.arange(total) * beat_seconds * features.rate + 1e-6).astype(np.int64)
        visual = features.visual[np.minimum(sample, len(features.visual) - 1)]
        shot = np.searchsorted(cuts, np.arange(total), side="right")
        language, captions = features.language[shot], [features.captions[i] for i in shot]
    shown = min(beats, total)
    missing = beats - shown
    return BeatFeatures(
        visual=np.pad(visual[:shown], ((0, missing), (0, 0))),
        language=np.pad(language[:shown], ((0, missing), (0, 0))),
        valid=np.arange(beats) < total,
        captions=(*captions[:shown], *[""] * missing),
        cut=np.isin(np.arange(beats), cuts),
        columns=STREAMS if features.columns else (),
    )


def _measures(features: VideoFeatures, beats: int, beat_seconds: float, cuts: NDArray[np.int64]) -> Measures:
    """Raw measures per beat from samples; a beat without a sample takes the last one before its start."""
    samples = len(features.visual)
    beat = np.floor(np.arange(samples) / features.rate / beat_seconds + 1e-6).astype(np.int64)
    counts = np.bincount(beat, minlength=beats)[:beats]
    nearest = np.minimum(np.floor(np.arange(beats) * beat_seconds * features.rate + 1e-6).astype(np.int64), samples - 1)
    pooled = {}
    for name in MEASURES:
        column = features.visual[:, features.columns.index(name)].astype(np.float64)
        if name == "accent":
            value = np.zeros(beats)
            np.maximum.at(value, np.minimum(beat, beats - 1), column)
        else:
            value = np.bincount(beat, weights=column, minlength=beats)[:beats] / np.maximum(counts, 1)
        pooled[name] = np.where(counts > 0, value, column[nearest])
    cut = np.zeros(beats, dtype=bool)
    cut[cuts[cuts < beats]] = True
    return Measures(**pooled, cut=cut)


@lru_cache
def video_reference() -> Reference:
    """The population that a video's measures are compared with: a prior set by hand, for beats of about half a second.

    No collection of videos ships with the project; centres and spreads come from the demo videos and from the meaning
    of the measures. Motion of 0.15 of the luma range per second is a person in front of a fixed camera, 0.5 a ride,
    0.02 a talking head; it is log-normally distributed, as accents are (a fifth of all beats has none). Mean luma is
    about 0.42 and its standard deviation within a picture about 0.21. A colourfulness of 28 lies between "slightly" and
    "moderately" in the words of Hasler and Süsstrunk; film and daylight are slightly warm. Values beyond the outermost
    quantiles are equivalent, so that the coding noise of a still picture does not count as motion.
    """
    shares = np.linspace(0.0, 1.0, QUANTILES)

    def normal(mean: float, deviation: float) -> NDArray[np.float64]:
        distribution = NormalDist(mean, deviation)
        return np.array([distribution.inv_cdf(min(max(share, 0.002), 0.998)) for share in shares])

    still = 0.2  # share of beats without an accent
    accents = np.interp((shares - still) / (1 - still), shares, np.exp(normal(np.log(0.08), 1.1)))
    return Reference(
        {
            "motion": np.exp(normal(np.log(0.15), 1.0)),
            "accent": np.where(shares <= still, 0.0, accents),
            "brightness": normal(0.42, 0.16),
            "contrast": normal(0.21, 0.06),
            "colourfulness": np.exp(normal(np.log(28.0), 0.6)),
            "warmth": normal(0.03, 0.07),
        }
    )
