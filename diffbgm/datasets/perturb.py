"""Noise on self-paired conditions, so that the streams of real videos fall inside the distribution seen in training.

The streams of a video differ from those computed from music: motion is smoother than note counts, cuts are frequent or
absent, light changes from shot to shot where music keeps its register and mode, and the levels are different. A video
is also short: its ranks are taken over ten seconds, those of a song over minutes.

Shape legend: B segments, T beats of a segment, 9 streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.datasets.self_paired import BEAT_SECONDS
from diffbgm.fields import field
from diffbgm.music.notes import BEATS_PER_SEGMENT
from diffbgm.video.streams import CUT_MEMORY_SECONDS, STREAMS

MOTION = [STREAMS.index("motion"), STREAMS.index("motion_onset")]
LOOK = [STREAMS.index(name) for name in ("brightness", "contrast", "colourfulness", "warmth")]
CLOCK = [STREAMS.index(name) for name in ("cut", "since_cut", "until_cut")]
MEASURED = [k for k in range(len(STREAMS)) if k not in CLOCK]
FARTHEST_BEATS = 1e4  # distance that means "no cut on this side"


@dataclass(frozen=True)
class Perturbation:
    """The strength of each kind of noise. Probabilities are per segment unless stated otherwise."""

    widest: int = field(4, low=1, high=BEATS_PER_SEGMENT, help="motion is averaged over 1 to this many beats")
    regain: float = field(
        0.25, low=0, high=10, help="greatest gain applied after averaging, per beat of width beyond the first"
    )
    shift: float = field(0.08, low=0, high=1, help="standard deviation of a stream's offset over the whole segment")
    shot_shift: float = field(
        0.12,
        low=0,
        high=1,
        help="standard deviation of light and colour offsets between shots, in half of all segments",
    )
    noise: float = field(0.04, low=0, high=1, help="standard deviation of the noise on each value")
    dropout: float = field(0.1, low=0, high=1, help="probability, per stream, of a constant 0.5")
    jitter: float = field(0.3, low=0, high=1, help="probability, per cut, of moving by a beat")
    lost_cut: float = field(0.1, low=0, high=1, help="probability, per cut, of being removed")
    extra_cut: float = field(0.02, low=0, high=1, help="probability, per beat, of an additional cut")
    restless: float = field(0.15, low=0, high=1, help="probability of a higher rate of additional cuts")
    most_cuts: float = field(0.4, low=0, high=1, help="highest such rate, per beat")
    no_cuts: float = field(0.1, low=0, high=1, help="probability of no cuts at all")
    short: float = field(0.3, low=0, high=1, help="probability that the segment is treated as a complete short video")
    shortest: int = field(
        8,
        low=1,
        high=BEATS_PER_SEGMENT,
        help="smallest length of such a video in beats (half of them fill the segment)",
    )

    def __call__(self, streams: np.ndarray, generators: Sequence[np.random.Generator]) -> tuple[np.ndarray, np.ndarray]:
        """Noisy streams (B, T, 9) float32 in [0, 1], and which beats are inside the video, (B, T) bool.

        `streams` (B, T, 9) are in [0, 1]. Each segment has its own generator, so its noise does not depend on the rest
        of the batch.
        """
        beats = streams.shape[1]
        normal = np.stack([g.standard_normal((beats + 1, len(MEASURED)), np.float32) for g in generators])
        by_shot = np.stack([g.standard_normal((beats + 1, len(LOOK)), np.float32) for g in generators])
        dropped = np.stack([g.random(len(MEASURED)) for g in generators])
        share = np.stack([g.random(9) for g in generators])
        width, regain, none, restless, rate, steps, short, length, whole = share.T
        draws = np.stack([g.random((4, beats)) for g in generators], axis=1)

        is_short = short < self.short
        end = np.where(is_short & (whole < 0.5), self.shortest + np.floor(length * (beats - self.shortest)), beats)
        noisy = streams.astype(np.float32)
        noisy[is_short] = _as_whole(noisy[is_short], end[is_short])
        draws[3] /= np.where(restless < self.restless, rate * self.most_cuts, self.extra_cut)[:, None] + 1e-12
        noisy[..., CLOCK] = self._moved(noisy[..., CLOCK], draws, none < self.no_cuts, is_short, end)
        noisy[..., MOTION] = self._smoothed(noisy[..., MOTION], width, regain)
        shot = np.cumsum(noisy[..., CLOCK[0]] > 0.5, axis=1, dtype=np.int64)
        shifts = np.take_along_axis(by_shot, shot[:, :, None], axis=1)  # (B, T, looks), constant within a shot
        noisy[..., LOOK] += self.shot_shift * shifts * (steps < 0.5)[:, None, None]
        measured = noisy[..., MEASURED] + self.shift * normal[:, :1] + self.noise * normal[:, 1:]
        measured = np.where(dropped[:, None] < self.dropout, np.float32(0.5), np.clip(measured, 0.0, 1.0))
        noisy[..., MEASURED] = measured
        return noisy, np.arange(beats) < end[:, None]

    def _smoothed(self, motion: np.ndarray, width: np.ndarray, regain: np.ndarray) -> np.ndarray:
        """Moving averages of motion (B, T, 2), amplified around the segment's mean.

        `width` and `regain` (B,) in [0, 1) choose each segment's width and gain.
        """
        beat = np.arange(motion.shape[1])
        offset = beat[None, :] - beat[:, None]
        widths = range(1, self.widest + 1)
        near = np.stack([(offset >= -(w // 2)) & (offset < (w + 1) // 2) for w in widths])
        kernels = np.divide(near, near.sum(2, keepdims=True), dtype=np.float32)  # (widest, T, T)
        which = np.floor(width * self.widest).astype(np.int64)
        gain = np.asarray(1.0 + self.regain * which * regain, np.float32)
        smooth = kernels[which] @ motion
        mean = smooth.mean(1, keepdims=True)
        return np.clip(mean + (smooth - mean) * gain[:, None, None], 0.0, 1.0)

    def _moved(
        self, clock: np.ndarray, draws: np.ndarray, none: np.ndarray, is_short: np.ndarray, end: np.ndarray
    ) -> np.ndarray:
        """Remove, move and add cuts, and recompute the times since and until a cut: (B, T, 3) -> (B, T, 3).

        `draws` (4, B, T) are uniform numbers, the last divided by the rate of new cuts. `none` (B,) marks the segments
        that lose all cuts, `is_short` (B,) those treated as a complete video, from beat 0 to beat `end` (B,).
        """
        beats = clock.shape[1]
        cut = (clock[..., 0] > 0.5) & (draws[0] >= self.lost_cut)
        step = np.where(draws[1] < self.jitter, np.where(draws[2] < 0.5, -1, 1), 0)
        row, beat = np.nonzero(cut)
        moved = np.zeros_like(cut)
        moved[row, np.clip(beat + step[row, beat], 0, beats - 1)] = True
        moved |= draws[3] < 1.0
        moved[none] = False
        moved[is_short, 0] = False  # a video does not begin with a cut
        before = np.where(none, FARTHEST_BEATS, _beats_of(clock[:, 0, 1]))  # from the last cut to the first beat
        before[is_short] = 0.0
        after = np.where(none, FARTHEST_BEATS, _beats_of(clock[:, -1, 2]))  # from the last beat to the next cut
        after[is_short] = FARTHEST_BEATS
        at = np.arange(beats, dtype=np.float64)
        last = np.maximum.accumulate(np.where(moved, at, -before[:, None]), axis=1)
        coming = np.concatenate([np.where(moved, at, np.inf)[:, 1:], beats - 1 + after[:, None]], axis=1)
        following = np.minimum.accumulate(coming[:, ::-1], axis=1)[:, ::-1]
        following[is_short] = np.minimum(following[is_short], end[is_short, None])
        decay = BEAT_SECONDS / CUT_MEMORY_SECONDS
        until = np.maximum(following - at, 0.0)
        return np.stack([moved, np.exp(-(at - last) * decay), np.exp(-until * decay)], axis=2)


def _as_whole(streams: np.ndarray, end: np.ndarray) -> np.ndarray:
    """Streams of segments treated as complete videos of `end` (B,) beats: ranked within the segment, not the song.

    A stream is half level and half rank. The level itself is no longer known here; the stream, which grows with it,
    takes its place.
    """
    beats = streams.shape[1]
    inside = np.arange(beats) < end[:, None]
    values = np.where(inside[:, :, None], np.round(streams[..., MEASURED], 2), np.inf)
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    starts = np.ones(ordered.shape, bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    stops = np.ones(ordered.shape, bool)
    stops[:, :-1] = starts[:, 1:]
    place = np.arange(beats)[None, :, None]
    first = np.maximum.accumulate(np.where(starts, place, 0), axis=1)
    last = np.minimum.accumulate(np.where(stops, place, beats)[:, ::-1], axis=1)[:, ::-1]
    rank = np.empty(values.shape, np.float32)
    np.put_along_axis(rank, order, (first + last + 1) / 2 / end[:, None, None], axis=1)
    whole = streams.copy()
    whole[..., MEASURED] = np.clip(0.5 * streams[..., MEASURED] + 0.5 * rank, 0.0, 1.0)
    return whole


def _beats_of(level: np.ndarray) -> np.ndarray:
    """The distance to the cut in beats that a value of since_cut or until_cut encodes."""
    return -np.log(np.maximum(level, 1e-7).astype(np.float64)) * CUT_MEMORY_SECONDS / BEAT_SECONDS
