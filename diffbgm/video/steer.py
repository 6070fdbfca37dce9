"""The user's settings applied to the features of a video.

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
MOOD_PULL = 0.4  # share of the way to the end of its range that a stream goes at full valence or arousal
# Of the notes that start in a beat of POP909's training songs (773 songs): the share of beats with fewer than 0, 1, ..
# 12 notes and half of those with as many, which is the level of motion that asks for them; and notes a second, at the
# songs' own tempi, in all but the busiest twentieth of the beats.
DENSITY_LEVELS = (0.019, 0.054, 0.111, 0.211, 0.348, 0.508, 0.670, 0.805, 0.892, 0.942, 0.969, 0.984, 0.991)
BUSIEST = 12.8


def has_streams(beats: BeatFeatures) -> bool:
    """Whether the extractor measures streams that can be steered (else: image embeddings)."""
    return beats.columns == STREAMS


def pace(beats: BeatFeatures) -> NDArray[np.float32] | None:
    """The motion stream (T,) in [0, 1]; None for image embeddings, which have none."""
    return beats.visual[:, MOTION[0]] if has_streams(beats) else None


def warmth(beats: BeatFeatures) -> NDArray[np.float32] | None:
    """The warmth stream (T,) in [0, 1]; None for image embeddings, which have none."""
    return beats.visual[:, STREAMS.index("warmth")] if has_streams(beats) else None


def looks(beats: BeatFeatures) -> NDArray[np.float32]:
    """What is seen in each beat, apart from accents and cuts: (T, 5) streams in [0, 1], or embeddings as they are."""
    return beats.visual[:, [STREAMS.index(name) for name in LOOKS]] if has_streams(beats) else beats.visual


def curves(beats: BeatFeatures) -> dict[str, list[float]]:
    """Motion and light of each beat that the video has, in [0, 1], to be drawn; {} for image embeddings."""
    if not has_streams(beats):
        return {}
    shown = beats.visual[beats.valid].astype(float).round(3)
    return {"motion": shown[:, MOTION[0]].tolist(), "light": shown[:, STREAMS.index("brightness")].tolist()}


def with_intensity(beats: BeatFeatures, factor: float) -> BeatFeatures:
    """Lite features with the motion streams times `factor` (kept in [0, 1]) and the sentences that then fit.

    Raises InputError for image embeddings.
    """
    if not has_streams(beats):
        raise InputError("intensity= needs features=lite, whose motion it scales; leave it out for this checkpoint")
    visual = beats.visual.copy()
    visual[:, MOTION] = np.clip(visual[:, MOTION] * factor, 0.0, 1.0)
    return _described(beats, visual)


def with_mood(beats: BeatFeatures, valence: np.ndarray, arousal: np.ndarray, bpm: float) -> BeatFeatures:
    """Lite features moved towards a mood, (T,) each in -1..1, and the sentences that then fit.

    Arousal moves motion, valence light and warmth, which stand for density, register and mode: at 1 a stream goes
    `MOOD_PULL` of its way to the end of its range. Arousal raises motion no further than `busiest` says; what the
    picture itself asks for beyond that comes down to it as arousal goes to 1. Image embeddings stay as they are.
    """
    if not has_streams(beats):
        return beats
    visual = beats.visual.copy()
    for streams, wish, most in ((MOTION, arousal, busiest(bpm)), (LIGHT, valence, 1.0)):
        wish = np.asarray(wish)[: len(visual), None]
        end = (wish > 0).astype(np.float32)
        own = visual[:, streams]
        pulled = own + MOOD_PULL * np.abs(wish) * (end - own)
        beyond = (1 - np.maximum(wish, 0)) * np.maximum(own - most, 0)
        visual[:, streams] = np.minimum(pulled, most + beyond).astype(np.float32)
    return _described(beats, visual)


def busiest(bpm: float) -> float:
    """The level of motion, 0 to 1, beyond which a mood asks for no more notes: as many a second as POP909 has.

    A mood that makes a piece faster has it play more notes a second already, so the level falls with the tempo.
    """
    return float(np.interp(BUSIEST * 60 / bpm, np.arange(len(DENSITY_LEVELS)), DENSITY_LEVELS))


def _described(beats: BeatFeatures, visual: NDArray[np.float32]) -> BeatFeatures:
    """Other streams with the sentences that fit them."""
    shown = int(beats.valid.sum())
    index = describe(visual[:shown])
    language = beats.language.copy()
    language[:shown] = sentence_table()[index]
    captions = (*(SENTENCES[i] for i in index), *beats.captions[shown:])
    return replace(beats, visual=visual, language=language, captions=captions)


def with_accents_on_cuts(beats: BeatFeatures) -> BeatFeatures:
    """Lite features that ask for an accent in every beat with a cut; image embeddings as they are.

    Motion says little about cuts: without this, the music has no more accents there than elsewhere (docs/log.md).
    """
    if not has_streams(beats):
        return beats
    visual = beats.visual.copy()
    visual[beats.cut, MOTION[1]] = 1.0
    return replace(beats, visual=visual)


def with_caption(beats: BeatFeatures, caption: str, embedding: NDArray[np.float32]) -> BeatFeatures:
    """The same features with one caption, of the given embedding (Dl,), on all beats of the video."""
    language = np.where(beats.valid[:, None], embedding[None], beats.language).astype(np.float32)
    captions = tuple(caption if shown else "" for shown in beats.valid)
    return replace(beats, language=language, captions=captions)
