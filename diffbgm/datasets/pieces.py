"""Whole pieces from prepared data: the conditions of a song to generate from, and its music to compare with.

Shape legend: n beats of a piece.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from diffbgm.datasets.cache import Cache
from diffbgm.errors import InputError
from diffbgm.music.notes import BARS_PER_SEGMENT, BEATS_PER_BAR, BEATS_PER_SEGMENT, STEPS_PER_BEAT, Notes
from diffbgm.video.features import BeatFeatures
from diffbgm.video.streams import STREAMS


@dataclass(frozen=True)
class Piece:
    """The longest passage of a song in continuous 4/4: its music, and the features used in place of a video."""

    song: str
    notes: Notes  # from step 0
    features: BeatFeatures  # n beats, without the noise of training


def pieces(
    cache: Cache, split: str, bars: int | None = None, count: int | None = None, whole: bool = False
) -> list[Piece]:
    """One piece for each song of a split with eight bars of 4/4, or for `count` of them, spread evenly.

    Longer pieces are cut to `bars`; with `whole`, shorter ones are left out. Raises InputError for fewer than 8 bars,
    and if no song has enough consecutive bars of 4/4.
    """
    if bars is not None and bars < BARS_PER_SEGMENT:
        raise InputError(f"bars={bars} is less than one segment of {BARS_PER_SEGMENT} bars: give at least that many")
    spans = list(_spans(cache, split))
    if not spans:
        raise InputError(f"no song of the split {split!r} in {cache.path} has eight consecutive bars of 4/4")
    most = None if bars is None else bars * BEATS_PER_BAR
    if whole and most is not None:
        spans = [span for span in spans if span[2] >= most]
        if not spans:
            raise InputError(f"no song of the split {split!r} in {cache.path} has {bars} bars of 4/4: give fewer bars")
    if count is not None and count < len(spans):
        spans = [spans[i] for i in np.linspace(0, len(spans) - 1, count).round().astype(int)]
    return [_piece(cache, song, first, min(length, most or length)) for song, first, length in spans]


def _spans(cache: Cache, split: str) -> Iterator[tuple[int, int, int]]:
    """(song, first beat, beats) of each piece."""
    segments = cache.segments(split)
    songs = np.asarray(cache.arrays["segment_song"])[segments]
    first_beats = np.asarray(cache.arrays["segment_beat"], np.int64)[segments]
    for song in np.unique(songs):
        starts = first_beats[songs == song]
        runs = np.split(starts, np.flatnonzero(np.diff(starts) != BEATS_PER_BAR) + 1)
        longest = max(runs, key=len)
        yield int(song), int(longest[0]), int(longest[-1] - longest[0]) + BEATS_PER_SEGMENT


def _piece(cache: Cache, song: int, first: int, length: int) -> Piece:
    arrays = cache.arrays
    where = slice(start := int(arrays["beat_start"][song]) + first, start + length)
    visual_row, language_row = (np.asarray(arrays[name][where], np.int64) for name in ("visual_row", "language_row"))
    valid = (visual_row >= 0) & (language_row >= 0)
    visual = np.where(valid[:, None], arrays["visual"][visual_row], 0).astype(np.float32)
    language = np.where(valid[:, None], arrays["language"][language_row], 0).astype(np.float32)
    low, high = (int(arrays["note_start"][song + k]) for k in (0, 1))
    onset, pitch, duration = (np.asarray(arrays[name][low:high], np.int64) for name in ("onset", "pitch", "duration"))
    part = np.asarray(arrays["part"][low:high], np.int64)
    columns = STREAMS if cache.self_paired else ()
    music = Notes(onset, pitch, duration, np.full(high - low, 80), part).select(duration > 0)
    return Piece(
        cache.songs[song],
        music.window(first * STEPS_PER_BEAT, (first + length) * STEPS_PER_BEAT),
        BeatFeatures(visual, language, valid, ("",) * length, np.array(arrays["cut"][where]), columns=columns),
    )
