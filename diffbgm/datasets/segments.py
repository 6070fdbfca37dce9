"""Batches of 8-bar segments from prepared songs: deterministic, sharded over processes, resumable at any batch.

The k-th segment of epoch e and all its random draws depend only on (seed, e, k). With W processes of batch size b, the
concatenated batches of ranks 0 to W-1 therefore equal the batch of one process with batch size W b.

Shape legend: B segments of a batch, T = 32 beats, N notes of a batch, C planes, S steps, P pitches.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from diffbgm.datasets.batch import Batch, Condition
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.hints import ReferenceHint, ThemeHint, likeness
from diffbgm.datasets.perturb import Perturbation
from diffbgm.errors import InputError
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_BEAT, STEPS_PER_SEGMENT
from diffbgm.music.parts import PLANES, merged, reference_planes
from diffbgm.music.pianoroll import encode_batch
from diffbgm.video.windows import WINDOWS

USUAL_NOISE = Perturbation()


class SegmentLoader:
    """Batches of a split. `train` is shuffled and augmented; any other split comes unchanged and in fixed order.

    batch_size    segments per process
    transpose     range of semitones, inclusive, by which the music (not its condition) is transposed
    noise         what is added to self-paired conditions (perturb.py); features of real videos are never changed
    theme         gives training segments their own theme (hints.py); None: no theme
    reference     gives training segments another segment of their song (hints.py); None: no reference
    planes        2: all notes in one roll; 4: one roll each for lead and accompaniment (music/parts.py)
    window        beats per attention window, or "dynamic": the one closest to the segment's median shot length
    limit         use at most this many segments, spread evenly over the split

    Raises InputError for an unknown number of planes or window, and if the split has no segments.
    """

    def __init__(
        self,
        cache: Cache | str | Path,
        split: str,
        batch_size: int,
        seed: int = 0,
        transpose: tuple[int, int] = (-6, 5),
        noise: Perturbation | None = USUAL_NOISE,
        theme: ThemeHint | None = None,
        reference: ReferenceHint | None = None,
        planes: int = 2,
        rank: int = 0,
        world_size: int = 1,
        window: int | str = 8,
        limit: int | None = None,
    ) -> None:
        assert 0 <= rank < world_size
        assert batch_size > 0
        if planes not in PLANES:
            raise InputError(f"model.unet.in_channels is {planes}: rolls have 2 planes, or 4 with separate parts")
        if window != "dynamic" and window not in WINDOWS:
            raise InputError(f"the attention window is {window!r}: choose 4, 8, 16, 32 or dynamic")
        self.cache = cache if isinstance(cache, Cache) else Cache.open(cache)
        self.split, self.seed, self.window = split, seed, window
        self.training = split == "train"
        self.transpose = tuple(transpose) if self.training else (0, 0)
        self.noise = noise if self.training and self.cache.self_paired else None
        self.theme = theme if self.training else None
        self.reference = reference if self.training else None
        self.planes = planes
        self.batch_size, self.rank, self.world_size = batch_size, rank, world_size
        self.segments = self.cache.segments(split)
        if limit is not None and limit < len(self.segments):
            self.segments = self.segments[np.linspace(0, len(self.segments) - 1, limit).round().astype(np.int64)]
        if len(self.segments) == 0:
            songs = len(self.cache.songs)
            remedy = "choose a larger share for it" if songs > 1 else "training needs two songs or more"
            raise InputError(
                f"the split {split!r} has no segments, with {songs} usable songs and {len(self.cache.skipped)} skipped "
                f"({self.cache.path}/skipped.txt says why): {remedy}"
            )
        self.visual_width, self.language_width = self.cache.visual_width, self.cache.language_width
        self._arrays = {name: self._loaded(name) for name in self.cache.arrays}

    def _loaded(self, name: str) -> np.ndarray:
        """An array in memory, in a type wide enough to compute with; features of real videos stay on disk."""
        array = self.cache.arrays[name]
        if name in ("visual", "language"):
            return np.array(array, np.float32) if self.cache.self_paired else array
        return np.array(array, np.int32 if name in ("onset", "pitch", "duration", "part_duration") else np.int64)

    @property
    def global_batch(self) -> int:
        """Segments per step over all processes."""
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Batches per epoch. Training drops a partial last one (a split smaller than one batch is repeated)."""
        whole, rest = divmod(len(self.segments), self.global_batch)
        return max(whole, 1) if self.training else whole + (rest > 0)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of an epoch for this rank, starting with number `start`."""
        order = self._order(epoch)
        for index in range(start, len(self)):
            yield self._batch(order, epoch, index)

    def batch(self, epoch: int, index: int) -> Batch:
        """Batch number `index` of an epoch for this rank."""
        return self._batch(self._order(epoch), epoch, index)

    def _order(self, epoch: int) -> np.ndarray:
        """Indices of all segments of the epoch, in order."""
        if not self.training:
            return self.segments
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.segments)
        return np.resize(shuffled, len(self) * self.global_batch)

    def _batch(self, order: np.ndarray, epoch: int, index: int) -> Batch:
        first = index * self.global_batch + self.rank * self.batch_size
        segments = order[first : min(first + self.batch_size, (index + 1) * self.global_batch)]
        slots = range(first, first + len(segments))
        generators = [np.random.default_rng([self.seed, epoch, slot]) for slot in slots] if self.training else []
        names = [self.cache.songs[song] for song in self._arrays["segment_song"][segments]]
        low, high = self.transpose
        semitones = np.array([int(g.integers(low, high, endpoint=True)) for g in generators], np.int64)
        rolls, condition = self._rolls(segments, semitones), self._conditions(segments, generators)
        if self.theme is not None:
            condition = replace(condition, theme=torch.from_numpy(self.theme(merged(rolls), generators)))
        if self.reference is not None:
            condition = replace(condition, reference=self._reference(segments, rolls, semitones, generators))
        return Batch(torch.from_numpy(rolls), condition, tuple(names))

    def _rolls(self, segments: np.ndarray, semitones: np.ndarray) -> np.ndarray:
        """The rolls of segments (B, C, S, P), each transposed by its entry of `semitones` (empty: no transposition)."""
        first, stop = self._arrays["segment_notes"][segments].T
        count = stop - first
        index = np.repeat(np.arange(len(segments)), count)
        note = np.arange(count.sum()) + np.repeat(first - np.cumsum(count) + count, count)
        if self.planes == 2:
            seen = self._arrays["duration"][note] > 0
            note, index = note[seen], index[seen]
        onset = self._arrays["onset"][note] - STEPS_PER_BEAT * self._arrays["segment_beat"][segments][index]
        pitch = self._arrays["pitch"][note]
        if len(semitones):
            pitch = pitch + semitones[index]
        if self.planes == 2:
            duration = self._arrays["duration"][note]
            return encode_batch(onset, pitch, duration, index, len(segments), STEPS_PER_SEGMENT)
        duration, line = self._arrays["part_duration"][note], 2 * index + self._arrays["part"][note]
        rolls = encode_batch(onset, pitch, duration, line, 2 * len(segments), STEPS_PER_SEGMENT)
        return rolls.reshape(len(segments), 4, *rolls.shape[2:])

    def _reference(
        self, segments: np.ndarray, rolls: np.ndarray, semitones: np.ndarray, generators: list[np.random.Generator]
    ) -> torch.Tensor:
        """The reference hint of each segment (B, C + 1, S, P), transposed like the segment itself."""
        assert self.reference is not None
        pairs = zip(segments, generators, strict=True)
        chosen = np.array([self.reference.choose(int(segment), self._arrays, g) for segment, g in pairs], np.int64)
        planes = np.zeros((len(rolls), rolls.shape[1] + 1, *rolls.shape[2:]), np.float32)
        told = np.flatnonzero(chosen >= 0)
        others: Sequence[np.ndarray] = list(self._rolls(chosen[told], semitones[told])) if len(told) else []
        for row, other in zip(told, others, strict=True):
            planes[row] = reference_planes(other, likeness(rolls[row], other))
        return torch.from_numpy(planes)

    def _conditions(self, segments: np.ndarray, generators: list[np.random.Generator]) -> Condition:
        """The condition of the segments, with noise in self-paired training."""
        a = self._arrays
        song = a["segment_song"][segments]
        beat = (a["beat_start"][song] + a["segment_beat"][segments])[:, None] + np.arange(BEATS_PER_SEGMENT)
        valid = beat < a["beat_start"][song + 1][:, None]
        beat = np.where(valid, beat, 0)
        visual_row, language_row = a["visual_row"][beat], a["language_row"][beat]
        valid &= (visual_row >= 0) & (language_row >= 0)
        visual = a["visual"][visual_row].astype(np.float32, copy=False)
        language = a["language"][language_row].astype(np.float32, copy=False)
        if self.noise is not None:
            visual, visible = self.noise(visual, generators)
            valid &= visible
        visual[~valid], language[~valid] = 0.0, 0.0
        window = a["segment_window"][segments]
        if self.window != "dynamic":
            window[:] = self.window
        return Condition(*map(torch.from_numpy, (visual, language, valid, window)))
