"""Does the music follow the picture? Four numbers, each with its chance level.

The chance level is measured on the same music with the picture rotated in time by a random amount (what is pushed off
the end comes back at the start). A rotation changes only the alignment: the number of cuts, how they cluster and how
slowly motion changes stay the same.

Shape legend: T beats, A accents, C cuts, R random rotations.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.rhythm import accents, volume
from diffbgm.evaluation.songs import SongFile
from diffbgm.music.density import FEWEST_BEATS, note_density, rank, standardised
from diffbgm.music.midi import Score
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.video.features import Extractor, cached, on_beats
from diffbgm.video.streams import STREAMS

TURNS = 1000


@dataclass(frozen=True)
class Aligned:
    """A number of one song, and the same number for R random rotations of its picture."""

    value: float
    turned: np.ndarray  # (R,)


def register(notes: Notes, beats: int) -> np.ndarray:
    """Mean MIDI pitch of the notes that start in each beat, (T,) float; NaN for a beat in which none starts."""
    beat = notes.onset // STEPS_PER_BEAT
    inside = beat < beats
    total = np.bincount(beat[inside], weights=notes.pitch[inside], minlength=beats)
    count = note_density(notes, beats)
    return np.divide(total, count, out=np.full(beats, np.nan), where=count > 0)


def follows(music: np.ndarray, picture: np.ndarray, rng: np.random.Generator) -> Aligned | None:
    """Spearman correlation of a measure of the music per beat (T,) and one of the picture (T,), in [-1, 1].

    Beats where the music has no value (NaN) are left out. None for fewer than 4 beats, and if either is constant.
    """
    assert len(music) == len(picture), f"{len(music)} beats of music, {len(picture)} of picture"
    known = np.flatnonzero(~np.isnan(music))
    if len(known) < FEWEST_BEATS or np.ptp(music[known]) == 0 or np.ptp(picture[known]) == 0:
        return None
    turns = np.concatenate([[0], rng.integers(0, len(picture), TURNS)])
    seen = picture[(known + turns[:, None]) % len(picture)]  # (1 + R, known beats)
    heard = standardised(rank(music[known]))
    found = np.array([standardised(rank(row)) @ heard for row in seen])
    return Aligned(float(found[0]), found[1:])


def cuts_on_accents(
    cuts: np.ndarray, accent_times: np.ndarray, length: float, rng: np.random.Generator, tolerance: float = 1.0
) -> Aligned | None:
    """Share of the cuts (C,) with an accent (A,) at most `tolerance` away; all in beats, in a piece of `length` beats.

    Music has an accent in most beats, so the share is high by chance alone: compare it with `turned`, or use a small
    tolerance. None without cuts.
    """
    if not len(cuts):
        return None
    if not len(accent_times):
        return Aligned(0.0, np.zeros(TURNS))
    turns = np.concatenate([[0.0], rng.uniform(0, length, TURNS)])
    moved = (cuts + turns[:, None]) % length
    order = np.sort(accent_times)
    after = np.searchsorted(order, moved)
    distance = np.minimum(
        np.abs(moved - order[np.minimum(after, len(order) - 1)]), np.abs(moved - order[np.maximum(after - 1, 0)])
    )
    shares = (distance <= tolerance + 1e-9).mean(axis=1)
    return Aligned(float(shares[0]), shares[1:])


def p_value(songs: list[Aligned]) -> float:
    """One-sided permutation test over songs: how often randomly rotated pictures give a mean at least as high."""
    observed = np.mean([song.value for song in songs])
    turned = np.mean([song.turned for song in songs], axis=0)
    return float((1 + (turned >= observed - 1e-12).sum()) / (1 + len(turned)))


def align(
    song: SongFile, video: Path, extractor: Extractor, cache: Path, rng: np.random.Generator
) -> dict[str, Aligned | None]:
    """The alignment metrics of a song and its video, whose features must have named columns (features=lite).

    `motion_density` correlates motion with notes per beat, `light_register` brightness with mean pitch per beat;
    `cuts_on_accents` is the share of cuts within a beat of an accent, `cuts_on_accents_tight` within a sixteenth. None
    where a number cannot be computed. Raises InputError if the music or the video cannot be read.
    """
    score: Score = song.score
    features = cached(video, extractor, cache)
    if not features.columns:
        raise InputError("alignment needs features that measure motion; leave features= out or give features=lite")
    beat_seconds = 60.0 / score.tempo
    beats = max(1, round(features.duration / beat_seconds))
    visual = on_beats(features, beats, beat_seconds).visual
    motion, light = (visual[:, STREAMS.index(name)] for name in ("motion", "brightness"))
    cuts = features.shots[1:, 0] / beat_seconds
    times = accents(volume(score.notes)) / STEPS_PER_BEAT
    return {
        "motion_density": follows(note_density(score.notes, beats), motion, rng),
        "light_register": follows(register(score.notes, beats), light, rng),
        "cuts_on_accents": cuts_on_accents(cuts, times, float(beats), rng),
        "cuts_on_accents_tight": cuts_on_accents(cuts, times, float(beats), rng, tolerance=1 / STEPS_PER_BEAT),
    }
