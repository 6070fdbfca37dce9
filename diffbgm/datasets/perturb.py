"""The noise of self-paired training: what makes a real video's streams lie inside what the network saw.

A video moves more smoothly than note counts do, cuts where it likes (or never), and its levels sit elsewhere.

Shape legend: B segments, T beats of a segment, 9 streams.
"""

from dataclasses import dataclass

import numpy as np

from diffbgm.datasets.self_paired import BEAT_SECONDS
from diffbgm.video.streams import CUT_MEMORY_SECONDS, STREAMS

MOTION = [STREAMS.index("motion"), STREAMS.index("motion_onset")]
CUT, SINCE, UNTIL = (STREAMS.index(name) for name in ("cut", "since_cut", "until_cut"))
MEASURED = [k for k in range(len(STREAMS)) if k not in (CUT, SINCE, UNTIL)]
FARTHEST_BEATS = 1e4  # stands for "no cut on this side"


@dataclass(frozen=True)
class Perturbation:
    """How strong each kind of noise is. Probabilities are per segment, unless said otherwise."""

    widest: int = 4  # motion is averaged over 1 to this many beats
    regain: float = 0.25  # and drawn apart again by up to this share for each beat beyond the first
    shift: float = 0.06  # deviation of a stream's offset over the whole segment
    noise: float = 0.04  # deviation of each value
    dropout: float = 0.1  # probability, per stream, of a constant 0.5
    jitter: float = 0.3  # probability, per cut, of moving by a beat
    lost_cut: float = 0.1  # probability, per cut, of going unseen
    extra_cut: float = 0.02  # probability, per beat, of a cut that the music does not answer
    no_cuts: float = 0.1  # probability of no cut at all
    early_end: float = 0.05  # probability that the video ends somewhere within the segment

    def __call__(self, streams: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Noisy streams (B, T, 9) float32 in [0, 1]; a function of the input and the generator's state alone."""
        batch, beats, _ = streams.shape
        noisy = streams.astype(np.float32)
        noisy[..., MOTION] = self._smoothed(noisy[..., MOTION], generator)
        size = (batch, 1, len(MEASURED))
        shift = self.shift * generator.standard_normal(size, np.float32)
        noise = self.noise * generator.standard_normal((batch, beats, len(MEASURED)), np.float32)
        measured = np.clip(noisy[..., MEASURED] + shift + noise, 0.0, 1.0)
        noisy[..., MEASURED] = np.where(generator.random(size) < self.dropout, np.float32(0.5), measured)
        noisy[..., [CUT, SINCE, UNTIL]] = self._moved(streams[..., [CUT, SINCE, UNTIL]], generator)
        return noisy

    def visible(self, batch: int, beats: int, generator: np.random.Generator) -> np.ndarray:
        """Which beats there still is a video for, (B, T) bool: all of them, or those before an early end."""
        end = generator.integers(1, beats, size=batch)
        end[generator.random(batch) >= self.early_end] = beats
        return np.arange(beats) < end[:, None]

    def _smoothed(self, motion: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Moving averages of a width drawn per segment, spread out again about the segment's mean."""
        batch, beats, _ = motion.shape
        beat = np.arange(beats)
        offset = beat[None, :] - beat[:, None]
        near = np.stack([(offset >= -(w // 2)) & (offset < (w + 1) // 2) for w in range(1, self.widest + 1)])
        kernels = np.divide(near, near.sum(2, keepdims=True), dtype=np.float32)  # (widest, T, T)
        width = generator.integers(self.widest, size=batch)
        gain = np.asarray(1.0 + self.regain * width * generator.random(batch), np.float32)
        smooth = kernels[width] @ motion
        mean = smooth.mean(1, keepdims=True)
        return np.clip(mean + (smooth - mean) * gain[:, None, None], 0.0, 1.0)

    def _moved(self, cuts: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """Cuts lost, added and moved by a beat; the times since and until a cut follow. (B, T, 3) -> (B, T, 3)."""
        batch, beats, _ = cuts.shape
        draws = generator.random((4, batch, beats))
        cut = (cuts[..., 0] > 0.5) & (draws[0] >= self.lost_cut)
        step = np.where(draws[1] < self.jitter, np.where(draws[2] < 0.5, -1, 1), 0)
        row, beat = np.nonzero(cut)
        moved = np.zeros_like(cut)
        moved[row, np.clip(beat + step[row, beat], 0, beats - 1)] = True
        moved |= draws[3] < self.extra_cut
        none = generator.random(batch) < self.no_cuts
        moved[none] = False
        before = np.where(none, FARTHEST_BEATS, _beats_of(cuts[:, 0, 1]))  # from the last cut to the first beat
        after = np.where(none, FARTHEST_BEATS, _beats_of(cuts[:, -1, 2]))  # from the last beat to the next cut
        at = np.arange(beats, dtype=np.float64)
        last = np.maximum.accumulate(np.where(moved, at, -before[:, None]), axis=1)
        coming = np.concatenate([np.where(moved, at, np.inf)[:, 1:], beats - 1 + after[:, None]], axis=1)
        following = np.minimum.accumulate(coming[:, ::-1], axis=1)[:, ::-1]
        decay = BEAT_SECONDS / CUT_MEMORY_SECONDS
        return np.stack([moved, np.exp(-(at - last) * decay), np.exp(-(following - at) * decay)], axis=2)


def _beats_of(level: np.ndarray) -> np.ndarray:
    """Beats to the cut that a since_cut or until_cut level tells of."""
    floor = np.exp(-FARTHEST_BEATS * BEAT_SECONDS / CUT_MEMORY_SECONDS)
    return -np.log(np.maximum(level, max(floor, 1e-7)).astype(np.float64)) * CUT_MEMORY_SECONDS / BEAT_SECONDS
