"""Themes: what the bars of a passage have in common, as a vector per beat on which a network can be conditioned.

    harmony   12 numbers in [0, 1]: how long each pitch class sounds, relative to the one that sounds longest
    groove    4 numbers in [-1, 1], one for each sixteenth: 1 where a note starts in all bars, -1 where in none

Zeros mean that neither is known or asked for.

Shape legend: ... leading axes, S steps, P pitches, T beats, 12 pitch classes (C = 0), 4 sixteenths.
"""

import numpy as np

from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT
from diffbgm.music.pianoroll import ONSET

PITCH_CLASSES = 12
THEME_WIDTH = PITCH_CLASSES + STEPS_PER_BEAT
HARMONY, GROOVE = slice(0, PITCH_CLASSES), slice(PITCH_CLASSES, THEME_WIDTH)  # their places in the vector


def harmony_of(roll: np.ndarray, span: int) -> np.ndarray:
    """Harmony (..., T, 12) float32 of rolls (..., 2, S, P) of 0 and 1, S = 4 T, taken over every `span` beats.

    All beats of a span have the same harmony (the last span may be shorter); zeros for silence.
    """
    beats = roll.shape[-2] // STEPS_PER_BEAT
    starts = np.arange(0, beats, span) * STEPS_PER_BEAT
    sounding = np.add.reduceat(roll.sum(-3), starts, axis=-2)  # (..., spans, P)
    weights = np.stack([sounding[..., k::PITCH_CLASSES].sum(-1) for k in range(PITCH_CLASSES)], axis=-1)
    longest = weights.max(-1, keepdims=True)
    share = np.divide(weights, longest, out=np.zeros(weights.shape, np.float32), where=longest > 0)
    return np.repeat(share, span, axis=-2)[..., :beats, :]


def groove_of(roll: np.ndarray) -> np.ndarray:
    """Groove (..., T, 4) float32 of rolls (..., 2, S, P) of 0 and 1, the same for all bars."""
    steps = roll.shape[-2]
    bars = steps // STEPS_PER_BAR
    assert steps == bars * STEPS_PER_BAR, f"{steps} steps are not whole bars"
    starts = roll[..., ONSET, :, :].max(-1) > 0  # (..., S)
    share = starts.reshape(*starts.shape[:-1], bars, STEPS_PER_BAR).mean(-2, dtype=np.float32)
    by_beat = (2 * share - 1).reshape(*share.shape[:-1], BEATS_PER_BAR, STEPS_PER_BEAT)
    return np.concatenate([by_beat] * bars, axis=-2)
