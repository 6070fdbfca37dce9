"""Condition features computed from the music itself, for training without paired videos (self-pairing).

Di et al. (2021) train on rhythm features of the music and replace them with those of a video at run time. Here the same
is done for all nine lite streams (video/streams.py): each measure of a video has a counterpart in the notes.

    motion          notes that start in a beat
    accent          notes that start together on the beat, above the local average
    cut             phrase boundaries: bar lines at which harmony, density or register change most
    brightness      register: mean pitch
    contrast        spread of pitch
    colourfulness   number of pitch classes that sound within a bar
    warmth          correlation with the best major key minus that with the best minor key (Krumhansl), and the
                    annotated mode

Training adds the noise of perturb.py to them.

Shape legend: n beats of a song, P pitches, 12 pitch classes.
"""

import numpy as np

from diffbgm.datasets.song import Song
from diffbgm.music.key import key_correlations
from diffbgm.music.notes import BEATS_PER_BAR, PITCHES, STEPS_PER_BEAT, Notes
from diffbgm.video.streams import Measures

BEAT_SECONDS = 0.5  # the duration of a beat at the nominal tempo of all training music (120 BPM)
LOCAL_BEATS = BEATS_PER_BAR  # window over which register and spread are smoothed
KEY_BEATS = 8 * BEATS_PER_BAR  # window from which the mode is estimated
PHRASE_BEATS = 2 * BEATS_PER_BAR  # beats before and after a bar line that are compared to find phrase boundaries
ACCENT_BEATS = 2 * BEATS_PER_BAR + 1  # window of the local average that an accent rises above
LEAST_NOVELTY = 0.1  # smallest novelty of a phrase boundary, as a share of the song's largest
MODE_WEIGHT = 0.1  # weight of the annotated mode, added to a difference of correlations


def measures(song: Song) -> Measures:
    """The raw measures of a song, one value per beat (n,), from its notes and, if annotated, its chords and mode."""
    notes, beats = song.notes, song.beats
    starts = np.bincount(notes.onset // STEPS_PER_BEAT, minlength=beats)[:beats].astype(np.float64)
    on_beat = notes.onset[notes.onset % STEPS_PER_BEAT == 0] // STEPS_PER_BEAT
    together = np.bincount(on_beat, minlength=beats)[:beats].astype(np.float64)

    sounding = _sounding(notes, beats)  # (n, P)
    pitches = np.arange(PITCHES)
    weight = _moving_mean(sounding.sum(1), LOCAL_BEATS)
    mean = _ratio(_moving_mean(sounding @ pitches, LOCAL_BEATS), weight)
    square = _ratio(_moving_mean(sounding @ pitches**2, LOCAL_BEATS), weight)
    spread = np.sqrt(np.maximum(square - mean**2, 0.0))
    chroma = np.stack([sounding[:, k::12].sum(1) for k in range(12)], axis=1)  # (n, 12)
    harmony = chroma if song.chords is None else chroma + STEPS_PER_BEAT * song.chords

    return Measures(
        motion=starts,
        accent=np.maximum(together - _moving_mean(together, ACCENT_BEATS), 0.0),
        brightness=_carried(mean, weight > 0),
        contrast=_carried(spread, weight > 0),
        colourfulness=(_moving_mean(chroma, BEATS_PER_BAR) > 0).sum(1).astype(np.float64),
        warmth=_majorness(harmony, song.mode),
        cut=_phrases(song.downbeats, harmony, starts, mean),
    )


def _sounding(notes: Notes, beats: int) -> np.ndarray:
    """Sounding steps of each pitch in each beat, (n, P) float; several notes on one pitch count once."""
    steps = beats * STEPS_PER_BEAT
    cells = (steps + 1) * PITCHES
    stop = np.minimum(notes.onset + notes.duration, steps)
    change = np.bincount(notes.onset * PITCHES + notes.pitch, minlength=cells)
    change = change - np.bincount(stop * PITCHES + notes.pitch, minlength=cells)
    active = np.cumsum(change.reshape(steps + 1, PITCHES), axis=0)[:steps] > 0
    return active.reshape(beats, STEPS_PER_BEAT, PITCHES).sum(1).astype(np.float64)


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """Mean over `width` beats around each beat (n, ...), or fewer at the ends."""
    total = np.concatenate([np.zeros_like(values[:1]), np.cumsum(values, axis=0)])
    beat = np.arange(len(values))
    low, high = np.maximum(beat - width // 2, 0), np.minimum(beat + (width + 1) // 2, len(values))
    return (total[high] - total[low]) / (high - low).reshape(-1, *[1] * (values.ndim - 1))


def _ratio(top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)


def _carried(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Values (n,) with silent beats interpolated; zeros for a silent song."""
    at = np.flatnonzero(known)
    return np.interp(np.arange(len(values)), at, values[at]) if len(at) else np.zeros_like(values)


def _majorness(harmony: np.ndarray, mode: np.ndarray | None) -> np.ndarray:
    """Best correlation with a major key minus the best with a minor key (n,), shifted by the annotated mode."""
    correlations = key_correlations(_moving_mean(harmony, KEY_BEATS))
    major, minor = correlations[:, :12].max(1), correlations[:, 12:].max(1)
    return major - minor + MODE_WEIGHT * (mode if mode is not None else 0)


def _phrases(downbeats: np.ndarray, harmony: np.ndarray, starts: np.ndarray, register: np.ndarray) -> np.ndarray:
    """Phrase boundaries (n,) bool: bar lines with more novelty than both neighbouring ones, one in two to four bars.

    Novelty is the distance between the two bars before and the two bars after, in harmony (chroma of unit length),
    density and register (each standardised over the song).
    """
    beats = len(starts)
    chroma = _ratio(harmony, np.broadcast_to(np.linalg.norm(harmony, axis=1, keepdims=True), harmony.shape))
    scaled = [_ratio(x - x.mean(), np.full_like(x, x.std())) for x in (starts, register)]
    features = np.column_stack([chroma, 0.5 * np.stack(scaled, axis=1)])
    total = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, axis=0)])
    line = downbeats[(downbeats > 0) & (downbeats < beats)]
    low, high = np.maximum(line - PHRASE_BEATS, 0), np.minimum(line + PHRASE_BEATS, beats)
    before = (total[line] - total[low]) / (line - low)[:, None]
    after = (total[high] - total[line]) / (high - line)[:, None]
    novelty = np.concatenate([[0.0], np.linalg.norm(after - before, axis=1), [0.0]])
    peak = (novelty[1:-1] > novelty[:-2]) & (novelty[1:-1] >= novelty[2:])
    peak &= novelty[1:-1] > max(LEAST_NOVELTY * novelty.max(), 1e-6)
    cut = np.zeros(beats, bool)
    cut[line[peak]] = True
    return cut
