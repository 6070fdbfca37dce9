"""The noise of self-paired training: what makes a real video's streams lie inside what the network saw.

A video moves more smoothly than note counts do, cuts where it likes (often, or never), changes its light from one shot
to the next, where a piece of music keeps its register and mode, and has its levels elsewhere.

Shape legend: B segments, T beats of a segment, 9 streams.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from diffbgm.datasets.self_paired import BEAT_SECONDS
from diffbgm.video.streams import CUT_MEMORY_SECONDS, STREAMS

MOTION = [STREAMS.index("motion"), STREAMS.index("motion_onset")]
LOOK = [STREAMS.index(name) for name in ("brightness", "contrast", "colourfulness", "warmth")]
CLOCK = [STREAMS.index(name) for name in ("cut", "since_cut", "until_cut")]
MEASURED = [k for k in range(len(STREAMS)) if k not in CLOCK]
FARTHEST_BEATS = 1e4  # stands for "no cut on this side"


@dataclass(frozen=True)
class Perturbation:
    """How strong each kind of noise is. Probabilities are per segment, unless said otherwise."""

    widest: int = 4  # motion is averaged over 1 to this many beats
    regain: float = 0.25  # and drawn apart again by up to this share for each beat beyond the first
    shift: float = 0.08  # deviation of a stream's offset over the whole segment
    shot_shift: float = 0.12  # deviation of an offset of light and colour from shot to shot, in half of all segments
    noise: float = 0.04  # deviation of each value
    dropout: float = 0.1  # probability, per stream, of a constant 0.5
    jitter: float = 0.3  # probability, per cut, of moving by a beat
    lost_cut: float = 0.1  # probability, per cut, of going unseen
    extra_cut: float = 0.02  # probability, per beat, of a cut that the music does not answer,
    restless: float = 0.15  # or, with this probability for the segment,
    most_cuts: float = 0.4  # up to this one
    no_cuts: float = 0.1  # probability of no cut at all
    early_end: float = 0.05  # probability that the video ends somewhere within the segment

    def __call__(self, streams: np.ndarray, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Noisy streams (B, T, 9) float32 in [0, 1], with one generator a segment: its noise depends on no other's."""
        beats = streams.shape[1]
        count = len(MEASURED)
        normal = np.stack([g.standard_normal((beats + 1, count), np.float32) for g in generators])
        by_shot = np.stack([g.standard_normal((beats + 1, len(LOOK)), np.float32) for g in generators])
        dropped, width, regain, none, restless, rate, steps = np.split(
            np.stack([g.random(count + 6) for g in generators]), range(count, count + 6), axis=1
        )
        draws = np.stack([g.random((4, beats)) for g in generators], axis=1)

        noisy = streams.astype(np.float32)
        draws[3] /= np.where(restless < self.restless, rate * self.most_cuts, self.extra_cut) + 1e-12
        noisy[..., CLOCK] = self._moved(streams[..., CLOCK], draws, none[:, 0] < self.no_cuts)
        noisy[..., MOTION] = self._smoothed(noisy[..., MOTION], width[:, 0], regain[:, 0])
        shot = np.cumsum(noisy[..., CLOCK[0]] > 0.5, axis=1, dtype=np.int64)
        shifts = np.take_along_axis(by_shot, shot[:, :, None], axis=1)  # (B, T, looks), constant within a shot
        noisy[..., LOOK] += self.shot_shift * shifts * (steps < 0.5)[:, :, None]
        measured = noisy[..., MEASURED] + self.shift * normal[:, :1] + self.noise * normal[:, 1:]
        measured = np.where(dropped[:, None] < self.dropout, np.float32(0.5), np.clip(measured, 0.0, 1.0))
        noisy[..., MEASURED] = measured
        return noisy

    def visible(self, beats: int, generators: Sequence[np.random.Generator]) -> np.ndarray:
        """Which beats there still is a video for, (B, T) bool: all of them, or those before an early end."""
        share = np.stack([g.random(2) for g in generators])
        end = np.where(share[:, 0] < self.early_end, 1 + np.floor(share[:, 1] * (beats - 1)), beats)
        return np.arange(beats) < end[:, None]

    def _smoothed(self, motion: np.ndarray, width: np.ndarray, regain: np.ndarray) -> np.ndarray:
        """Moving averages of a width per segment, spread out again about the segment's mean; both drawn as (B,)."""
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

    def _moved(self, clock: np.ndarray, draws: np.ndarray, none: np.ndarray) -> np.ndarray:
        """Cuts lost, moved by a beat and added; the times since and until a cut follow. (B, T, 3) -> (B, T, 3).

        `draws` (4, B, T) uniform numbers (the last divided by the rate of new cuts), `none` (B,) the segments that
        lose all cuts.
        """
        beats = clock.shape[1]
        cut = (clock[..., 0] > 0.5) & (draws[0] >= self.lost_cut)
        step = np.where(draws[1] < self.jitter, np.where(draws[2] < 0.5, -1, 1), 0)
        row, beat = np.nonzero(cut)
        moved = np.zeros_like(cut)
        moved[row, np.clip(beat + step[row, beat], 0, beats - 1)] = True
        moved |= draws[3] < 1.0
        moved[none] = False
        before = np.where(none, FARTHEST_BEATS, _beats_of(clock[:, 0, 1]))  # from the last cut to the first beat
        after = np.where(none, FARTHEST_BEATS, _beats_of(clock[:, -1, 2]))  # from the last beat to the next cut
        at = np.arange(beats, dtype=np.float64)
        last = np.maximum.accumulate(np.where(moved, at, -before[:, None]), axis=1)
        coming = np.concatenate([np.where(moved, at, np.inf)[:, 1:], beats - 1 + after[:, None]], axis=1)
        following = np.minimum.accumulate(coming[:, ::-1], axis=1)[:, ::-1]
        decay = BEAT_SECONDS / CUT_MEMORY_SECONDS
        return np.stack([moved, np.exp(-(at - last) * decay), np.exp(-(following - at) * decay)], axis=2)


def _beats_of(level: np.ndarray) -> np.ndarray:
    """Beats to the cut that a since_cut or until_cut level tells of."""
    return -np.log(np.maximum(level, 1e-7).astype(np.float64)) * CUT_MEMORY_SECONDS / BEAT_SECONDS
