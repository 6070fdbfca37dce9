"""Classifier two-sample test: can a small network trained on half of the songs tell generated music from real music?

An accuracy of 0.5 is chance, 1 is perfect. Source: Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR
2017. The songs of both kinds are split into two halves by name, so that a generated piece and the song that its
condition is from fall into the same half. A network is trained on each half and tested on the other: every segment is
judged once, by a network that was trained on no segment of its song. It sees the onsets and sustains of eight bars, but
not velocity, tempo or place in the piece. Training segments start at any bar and are transposed by up to six semitones.

Shape legend: n segments, B batch, L steps of a song, S = 128 steps, P pitches that the network sees.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import encode

FEWEST_SONGS = 8  # of each kind, with at least one full segment
LOWEST, HIGHEST = 24, 104  # MIDI pitches that the network sees
MOVED = 6  # largest transposition in training, in semitones
WIDTH = 16
STEPS, BATCH, RATE, DECAY = 200, 32, 4e-3, 0.05
RESAMPLES = 2000

Songs = Mapping[str, Sequence[Notes]]  # 8-bar segments by song, in order


@dataclass(frozen=True)
class TwoSample:
    """Balanced accuracy (mean over generated and real segments) with its 95 % interval over songs."""

    accuracy: float
    low: float
    high: float
    segments: int


class Judge(nn.Module):
    """Rolls (B, 2, S, P) -> logit (B,) of being generated. The first layer sees a beat and an octave."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(2, width, (4, 12), stride=(4, 3)),
            nn.BatchNorm2d(width, momentum=0.2),
            nn.ReLU(),
            nn.Conv2d(width, 2 * width, (4, 5), stride=2, padding=(1, 2)),
            nn.BatchNorm2d(2 * width, momentum=0.2),
            nn.ReLU(),
            nn.Conv2d(2 * width, 4 * width, (4, 3), stride=2, padding=1),
            nn.BatchNorm2d(4 * width, momentum=0.2),
            nn.ReLU(),
        )
        self.out = nn.Sequential(nn.Dropout(0.3), nn.Linear(8 * width, 1))

    def forward(self, rolls: Tensor) -> Tensor:
        maps = self.layers(rolls)
        return self.out(torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1))[:, 0]


def two_sample(generated: Songs, real: Songs, seed: int) -> TwoSample:
    """Accuracy on the 8-bar segments of the songs. Raises InputError for fewer than eight songs of either kind.

    The same seed gives the same result on the same machine. 48 songs of each kind take about a minute on one core.
    """
    kinds = [{name: _joined(parts) for name, parts in songs.items() if len(parts)} for songs in (real, generated)]
    if min(map(len, kinds)) < FEWEST_SONGS:
        raise InputError(
            f"{len(kinds[1])} generated and {len(kinds[0])} real songs have at least eight bars; "
            f"the classifier needs {FEWEST_SONGS} of each"
        )
    halves = _halves(kinds, seed)
    right: list[dict[str, list[bool]]] = [{}, {}]  # by kind and song
    for turn, half in enumerate(halves):
        judge = _trained([[kind[name] for name in sorted(set(kind) & half)] for kind in kinds], seed + turn)
        for label, kind in enumerate(kinds):
            for name in sorted(set(kind) - half):
                right[label][name] = _judged(judge, kind[name], bool(label))
    rng = np.random.default_rng(seed)
    boots = np.mean([_resampled(list(part.values()), rng) for part in right], axis=0)
    low, high = (float(bound) for bound in np.quantile(boots, (0.025, 0.975)))
    accuracy = np.mean([np.mean([ok for oks in part.values() for ok in oks]) for part in right])
    return TwoSample(float(accuracy), low, high, sum(len(oks) for part in right for oks in part.values()))


def _joined(segments: Sequence[Notes]) -> Tensor:
    """The segments of a song joined in time, (2, L, 128) uint8."""
    rolls = [encode(part, STEPS_PER_SEGMENT).astype(np.uint8) for part in segments]
    return torch.from_numpy(np.concatenate(rolls, axis=1))


def _halves(kinds: Sequence[Mapping[str, Tensor]], seed: int) -> list[set[str]]:
    """Split the names into halves, each with half of those in both kinds and half of those in only one kind."""
    names = np.random.default_rng(seed).permutation(sorted({*kinds[0], *kinds[1]})).tolist()
    names.sort(key=lambda name: (name in kinds[0], name in kinds[1]))
    return [set(names[0::2]), set(names[1::2])]


def _windows(songs: Sequence[Tensor], hop: int) -> Tensor:
    """All eight-bar windows of songs (2, L, 128), one every `hop` steps: (n, 2, S, 128)."""
    return torch.cat([song.unfold(1, STEPS_PER_SEGMENT, hop).permute(1, 0, 3, 2) for song in songs])


def _trained(kinds: Sequence[Sequence[Tensor]], seed: int) -> Judge:
    """A judge trained on songs of both kinds (real, generated), equally many of each in every batch."""
    rolls = [_windows(songs, STEPS_PER_BAR) for songs in kinds]
    label = torch.arange(len(kinds)).repeat_interleave(BATCH // len(kinds)).float()
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        judge = Judge(WIDTH).train()
        optimizer = torch.optim.AdamW(judge.parameters(), RATE, weight_decay=DECAY)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, STEPS)
        for _ in range(STEPS):
            chosen = [part[torch.from_numpy(rng.integers(0, len(part), BATCH // len(kinds)))] for part in rolls]
            moves = rng.integers(-MOVED, MOVED, BATCH, endpoint=True)
            batch = torch.stack([_shown(roll, int(by)) for roll, by in zip(torch.cat(chosen), moves, strict=True)])
            loss = nn.functional.binary_cross_entropy_with_logits(judge(batch), label)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    return judge.eval()


def _shown(rolls: Tensor, by: int = 0) -> Tensor:
    """The pitches that a judge sees of rolls (..., 128), transposed down by `by` semitones."""
    return rolls[..., LOWEST + by : HIGHEST + by].float()


@torch.no_grad()
def _judged(judge: Judge, song: Tensor, generated: bool) -> list[bool]:
    """Whether the judge classifies each segment of a song correctly."""
    return [bool(found) for found in (judge(_shown(_windows([song], STEPS_PER_SEGMENT))) > 0) == generated]


def _resampled(songs: Sequence[Sequence[bool]], rng: np.random.Generator) -> np.ndarray:
    """The accuracy over resampled songs, (RESAMPLES,)."""
    counts = np.array([(sum(answers), len(answers)) for answers in songs])
    drawn = counts[rng.integers(0, len(counts), (RESAMPLES, len(counts)))].sum(axis=1)
    return drawn[:, 0] / drawn[:, 1]
