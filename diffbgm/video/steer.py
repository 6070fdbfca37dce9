"""Apply the user's settings to the features of a video.

Shape legend: T beats, Dv width of visual and Dl of language features.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.video.captions import sentence_table
from diffbgm.video.features import BeatFeatures
from diffbgm.video.streams import SENTENCES, STREAMS, describe

MOTION = [STREAMS.index("motion"), STREAMS.index("motion_onset")]
LIGHT = [STREAMS.index("brightness"), STREAMS.index("warmth")]
LOOKS = ("motion", "brightness", "contrast", "colourfulness", "warmth")
MIDDLE = 0.5  # of a stream that is not measured
MOOD_PULL = 0.4  # share of the distance to the end of its range that a stream moves at full valence or arousal
# Note onsets per beat in the 773 training songs of POP909. DENSITY_LEVELS[n]: the share of beats with fewer than n
# notes plus half the share with exactly n, which is the level of motion that asks for n notes. BUSIEST: the 95th
# percentile of notes per second, at the songs' own tempi.
DENSITY_LEVELS = (0.019, 0.054, 0.111, 0.211, 0.348, 0.508, 0.670, 0.805, 0.892, 0.942, 0.969, 0.984, 0.991)
BUSIEST = 12.8


def has_streams(features: BeatFeatures) -> bool:
    """Whether the features are streams that can be steered rather than image embeddings."""
    return features.columns == STREAMS


def pace(features: BeatFeatures) -> NDArray[np.float32] | None:
    """The motion stream (T,) in [0, 1]; None for image embeddings."""
    return features.visual[:, MOTION[0]] if has_streams(features) else None


def warmth(features: BeatFeatures) -> NDArray[np.float32] | None:
    """The warmth stream (T,) in [0, 1]; None for image embeddings."""
    return features.visual[:, STREAMS.index("warmth")] if has_streams(features) else None


def average(
    stream: NDArray[np.float32] | None, features: BeatFeatures, among: NDArray[np.bool_] | None = None
) -> float:
    """The mean of a stream over the beats of the video, or those of `among` (T,); MIDDLE if it is not measured."""
    valid = features.valid if among is None else features.valid & among
    shown = np.empty(0) if stream is None else stream[valid]
    return float(shown.mean()) if len(shown) else MIDDLE


def looks(features: BeatFeatures) -> NDArray[np.float32]:
    """The appearance of each beat apart from accents and cuts: (T, 5) streams in [0, 1], or embeddings unchanged."""
    return features.visual[:, [STREAMS.index(name) for name in LOOKS]] if has_streams(features) else features.visual


def curves(features: BeatFeatures) -> dict[str, list[float]]:
    """Motion and light in [0, 1] for each beat of the video, for drawing; {} for image embeddings."""
    if not has_streams(features):
        return {}
    shown = features.visual[features.valid].astype(float).round(3)
    return {"motion": shown[:, MOTION[0]].tolist(), "light": shown[:, STREAMS.index("brightness")].tolist()}


def with_intensity(features: BeatFeatures, factor: float) -> BeatFeatures:
    """Lite features with the motion streams multiplied by `factor`, clipped to [0, 1], and sentences updated to match.

    Raises InputError for image embeddings.
    """
    if not has_streams(features):
        raise InputError("intensity= needs features=lite, whose motion it scales; leave it out for this checkpoint")
    visual = features.visual.copy()
    visual[:, MOTION] = np.clip(visual[:, MOTION] * factor, 0.0, 1.0)
    return _described(features, visual)


def with_motion_contrast(features: BeatFeatures, factor: float) -> BeatFeatures:
    """Lite features whose motion is `factor` times as far from its mean, clipped to [0, 1].

    The network plays smaller differences of density than it is asked for (docs/log.md). Sentences stay those of the
    picture, and image embeddings are returned unchanged.
    """
    if not has_streams(features) or not features.valid.any():
        return features
    visual = features.visual.copy()
    motion = visual[:, MOTION]
    mean = motion[features.valid].mean(axis=0)
    visual[:, MOTION] = np.clip(mean + factor * (motion - mean), 0.0, 1.0)
    return replace(features, visual=visual)


def with_mood(features: BeatFeatures, valence: np.ndarray, arousal: np.ndarray, bpm: float) -> BeatFeatures:
    """Lite features moved towards a mood, with valence and arousal (T,) in [-1, 1], and sentences updated to match.

    Arousal moves motion, which stands for density; valence moves light and warmth, which stand for register and mode.
    At 1, a stream moves by `MOOD_PULL` of its distance to the end of its range. Arousal does not raise motion above
    `busiest`; motion that is already above it is lowered towards it as arousal approaches 1. Image embeddings are
    returned unchanged.
    """
    if not has_streams(features):
        return features
    visual = features.visual.copy()
    for streams, wish, most in ((MOTION, arousal, busiest(bpm)), (LIGHT, valence, 1.0)):
        wish = np.asarray(wish)[: len(visual), None]
        end = (wish > 0).astype(np.float32)
        own = visual[:, streams]
        pulled = own + MOOD_PULL * np.abs(wish) * (end - own)
        beyond = (1 - np.maximum(wish, 0)) * np.maximum(own - most, 0)
        visual[:, streams] = np.minimum(pulled, most + beyond).astype(np.float32)
    return _described(features, visual)


def busiest(bpm: float) -> float:
    """The level of motion in [0, 1] above which a mood does not ask for more notes: POP909's notes per second.

    A mood that raises the tempo already yields more notes per second, so the level falls with the tempo.
    """
    return float(np.interp(BUSIEST * 60 / bpm, np.arange(len(DENSITY_LEVELS)), DENSITY_LEVELS))


def _described(features: BeatFeatures, visual: NDArray[np.float32]) -> BeatFeatures:
    """The features with other streams, and sentences updated to match."""
    shown = int(features.valid.sum())
    index = describe(visual[:shown])
    language = features.language.copy()
    language[:shown] = sentence_table()[index]
    captions = (*(SENTENCES[i] for i in index), *features.captions[shown:])
    return replace(features, visual=visual, language=language, captions=captions)


def with_accents_on_cuts(features: BeatFeatures) -> BeatFeatures:
    """Lite features that ask for an accent in every beat with a cut; image embeddings are returned unchanged.

    Motion says little about cuts: without this, music has no more accents on cuts than elsewhere (docs/log.md).
    """
    if not has_streams(features):
        return features
    visual = features.visual.copy()
    visual[features.cut, MOTION[1]] = 1.0
    return replace(features, visual=visual)


def with_caption(features: BeatFeatures, caption: str, embedding: NDArray[np.float32]) -> BeatFeatures:
    """The features with one caption and its embedding (Dl,) on all beats of the video."""
    language = np.where(features.valid[:, None], embedding[None], features.language).astype(np.float32)
    captions = tuple(caption if shown else "" for shown in features.valid)
    return replace(features, language=language, captions=captions)
