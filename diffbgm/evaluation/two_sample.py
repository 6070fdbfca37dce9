"""Two-sample test by a classifier: can a small network that has heard half of the songs tell generated music from real?

0.5 is chance, 1 is always. Source: Lopez-Paz & Oquab, "Revisiting classifier two-sample tests", ICLR 2017. The songs of
both kinds are split into two halves by name (a generated piece and the song whose condition it was given fall into the
same half); a network is trained on one half and tested on the other, and the other way round, so that every segment is
judged once by a network that knows no other segment of its song. It sees onsets and sustains of eight bars, nothing of
velocity, tempo or place in the piece, and in training every bar as a beginning, moved by up to six semitones.

Shape legend: n segments, B of a batch, S = 128 steps, P pitches that are shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from diffbgm.errors import InputError
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import encode

FEWEST_SONGS = 8  # with a full segment, of each kind
LOWEST, HIGHEST = 24, 104  # pitches that are shown
MOVED = 6  # semitones up and down in training
WIDTH = 16
STEPS, BATCH, RATE, DECAY = 200, 32, 4e-3, 0.05
RESAMPLES = 2000

Songs = Mapping[str, Sequence[Notes]]  # 8-bar segments by name, in their order


@dataclass(frozen=True)
class TwoSample:
    """Accuracy (mean of that on generated and on real segments) with its 95 % interval over songs."""

    accuracy: float
    low: float
    high: float
    segments: int


class Judge(nn.Module):
    """Rolls (B, 2, S, P) -> how much they look generated (B,), a logit. The first layer sees a beat and an octave."""

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
    """Accuracy on the songs' 8-bar segments. InputError where either kind has fewer than eight songs with one.

    The same seed gives the same number on the same machine; about a minute on one core for 48 songs of each kind.
    """
    kinds = [{name: _joined(parts) for name, parts in songs.items() if len(parts)} for songs in (real, generated)]
    if min(map(len, kinds)) < FEWEST_SONGS:
        raise InputError(
            f"{len(kinds[1])} generated and {len(kinds[0])} real songs are eight bars long or more; "
            f"a classifier needs {FEWEST_SONGS} of each"
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
    """The segments of a song end to end, (2, L, 128) uint8."""
    rolls = [encode(part, STEPS_PER_SEGMENT).astype(np.uint8) for part in segments]
    return torch.from_numpy(np.concatenate(rolls, axis=1))


def _halves(kinds: Sequence[Mapping[str, Tensor]], seed: int) -> list[set[str]]:
    """Names in two halves: of those in both kinds and of those in one alone, every second is in the first."""
    names = np.random.default_rng(seed).permutation(sorted({*kinds[0], *kinds[1]})).tolist()
    names.sort(key=lambda name: (name in kinds[0], name in kinds[1]))
    return [set(names[0::2]), set(names[1::2])]


def _windows(songs: Sequence[Tensor], hop: int) -> Tensor:
    """Every eight bars of songs (2, L, 128), one beginning every `hop` steps, (n, 2, S, 128)."""
    return torch.cat([song.unfold(1, STEPS_PER_SEGMENT, hop).permute(1, 0, 3, 2) for song in songs])


def _trained(kinds: Sequence[Sequence[Tensor]], seed: int) -> Judge:
    """A judge that knows pieces of both kinds, as many of each in every batch."""
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
    """What a judge sees of rolls (..., 128), `by` semitones lower."""
    return rolls[..., LOWEST + by : HIGHEST + by].float()


@torch.no_grad()
def _judged(judge: Judge, song: Tensor, generated: bool) -> list[bool]:
    """Whether each segment of a song is classified correctly."""
    return [bool(found) for found in (judge(_shown(_windows([song], STEPS_PER_SEGMENT))) > 0) == generated]


def _resampled(songs: Sequence[Sequence[bool]], rng: np.random.Generator) -> np.ndarray:
    """Share of right answers over resampled songs, (RESAMPLES,)."""
    counts = np.array([(sum(answers), len(answers)) for answers in songs])
    drawn = counts[rng.integers(0, len(counts), (RESAMPLES, len(counts)))].sum(axis=1)
    return drawn[:, 0] / drawn[:, 1]
