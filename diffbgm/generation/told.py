"""The hints given to a network besides the video, per piece and cut into windows.

Shape legend: N beats of a piece, K windows of 32 beats, C planes, P pitches, T beats of a theme.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from diffbgm.datasets.batch import Condition
from diffbgm.music.notes import BEATS_PER_SEGMENT, PITCHES, STEPS_PER_BEAT
from diffbgm.music.theme import HARMONY, THEME_WIDTH
from diffbgm.video.features import BeatFeatures


@dataclass(frozen=True)
class Told:
    """Hints for every beat of a piece; None for no hint."""

    theme: np.ndarray | None = None  # (N, 16), as in music/theme.py
    reference: np.ndarray | None = None  # (C + 1, 4 N, P): passages to resemble, and how closely


def no_theme(beats: int) -> np.ndarray:
    """The theme (N, 16) that asks for nothing."""
    return np.zeros((beats, THEME_WIDTH), np.float32)


def in_chords(theme: np.ndarray, chords: np.ndarray | None, first: int) -> np.ndarray:
    """A theme (T, 16) of the beats from `first` on, with its harmony replaced by that of the chords (N, 12)."""
    if chords is None:
        return theme
    told, wished = theme.copy(), chords[first : first + len(theme)]
    told[: len(wished), HARMONY] = wished
    return told


def all_told(told: Sequence[Told], lengths: Sequence[int], planes: int) -> list[Told]:
    """Fill missing hints with zeros, as either all pieces of a batch have a hint or none. `lengths`: beats of each."""
    themes = any(own.theme is not None for own in told)
    passages = any(own.reference is not None for own in told)
    filled = []
    for own, beats in zip(told, lengths, strict=True):
        theme, reference = own.theme, own.reference
        if themes and theme is None:
            theme = no_theme(beats)
        if passages and reference is None:
            reference = np.zeros((planes + 1, beats * STEPS_PER_BEAT, PITCHES), np.float32)
        filled.append(Told(theme, reference))
    return filled


def cut_condition(features: BeatFeatures, starts: np.ndarray, window: np.ndarray, told: Told) -> Condition:
    """Cut the features of N beats into K windows of 32 beats that begin at `starts` (K,).

    Beats after the end of the piece are not valid. `window` (K,): beats per attention window.
    """
    total = starts.max() + BEATS_PER_SEGMENT
    index = starts[:, None] + np.arange(BEATS_PER_SEGMENT)

    def padded(array: np.ndarray) -> Tensor:
        room = np.zeros((max(total, len(array)), *array.shape[1:]), array.dtype)
        room[: len(array)] = array
        return torch.from_numpy(room[index])

    reference = None
    if told.reference is not None:
        planes, steps, pitches = told.reference.shape
        by_beat = told.reference.reshape(planes, steps // STEPS_PER_BEAT, STEPS_PER_BEAT, pitches).swapaxes(0, 1)
        reference = padded(by_beat).transpose(1, 2).flatten(2, 3)  # (K, T, C + 1, 4, P) -> (K, C + 1, S, P)
    return Condition(
        padded(features.visual),
        padded(features.language),
        padded(features.valid),
        torch.from_numpy(window),
        None if told.theme is None else padded(told.theme),
        reference,
    )
