"""Couplings between the cells of a roll, which a posterior of independent cells lacks.

The network gives every cell its own probability. Sampling in few steps at a low temperature then decides the cells one
by one, and what depends on several of them is lost: songs return after four bars, have one melody note at a time and
keep to a scale. A coupling adds to the logit of a cell a weight times a function of the other cells' probabilities,
which is one mean-field update of a pairwise model (Koller and Friedman 2009, section 11.5.1). It costs no call of the
network.

Shape legend: ... rows, C planes (lead onset, lead sustain, accompaniment onset and sustain; or onset and sustain of
both parts merged), S steps, P pitches.
"""

from dataclasses import asdict, astuple, dataclass, replace
from typing import Self

import torch
from torch import Tensor
from torch.nn import functional as F

from diffbgm.fields import field
from diffbgm.music.notes import STEPS_PER_BAR
from diffbgm.music.parts import OCTAVE

FOUR_BARS = 4 * STEPS_PER_BAR
MEMORY = STEPS_PER_BAR  # steps for which the lead's last pitch counts
USUAL = 0.25  # probability of a cell four bars away that leaves a cell as it is
RARE = 0.05  # keeps the penalty of a pitch class that does not occur finite


@dataclass(frozen=True)
class Couplings:
    """The weight of each coupling; 0 and None leave it out. Those of the lead need four planes."""

    returns: float | None = field(None, low=-10, high=10, help="bars four apart resemble each other")
    single_lead: float | None = field(None, low=0, high=10, help="lead notes that start together compete")
    thin_chords: float | None = field(None, low=0, high=10, help="accompaniment notes that start together compete")
    in_scale: float | None = field(None, low=0, high=10, help="pitch classes that are rare in a window get rarer")
    no_repeat: float | None = field(None, low=-10, high=10, help="the lead leaves its last pitch")
    semitones: float | None = field(None, low=-10, high=10, help="the lead moves by semitones")
    tones: float | None = field(None, low=-10, high=10, help="the lead moves by whole tones")

    def __bool__(self) -> bool:
        """Whether there is any coupling."""
        return any(astuple(self))

    @property
    def lead(self) -> bool:
        """Whether any coupling needs the planes of a lead."""
        return bool(self.single_lead or self.no_repeat or self.semitones or self.tones)

    def completed(self, usual: Self) -> Self:
        """These weights with `usual` ones for those that are None."""
        own = {name: weight for name, weight in asdict(self).items() if weight is not None}
        return replace(usual, **own)

    def __call__(self, logits: Tensor) -> Tensor:
        """The coupled logits (..., C, S, P) of the logits (..., C, S, P) of independent cells."""
        probabilities, coupled = logits.sigmoid(), logits.clone()
        if self.returns:
            coupled += self.returns * (_four_bars_away(probabilities) - USUAL)
        if self.in_scale:
            coupled += self.in_scale * _scale(probabilities[..., ::2, :, :])[..., None, None, :]
        if self.thin_chords:
            coupled[..., -2, :, :] -= self.thin_chords * _rivals(logits[..., -2, :, :])
        if logits.shape[-3] == 4:
            if self.single_lead:
                coupled[..., 0, :, :] -= self.single_lead * _rivals(logits[..., 0, :, :])
            if self.no_repeat or self.semitones or self.tones:
                last = _last_pitch(probabilities[..., 0, :, :])
                coupled[..., 0, :, :] += self._moves(last)
        return coupled

    def _moves(self, last: Tensor) -> Tensor:
        """What the lead's last pitch, with probabilities (..., S, P), adds to its next onset (..., S, P)."""
        tones, semitones, stay = self.tones or 0.0, self.semitones or 0.0, -(self.no_repeat or 0.0)
        kernel = last.new_tensor([tones, semitones, stay, semitones, tones])
        return F.conv1d(last.flatten(0, -2).unsqueeze(1), kernel.reshape(1, 1, -1), padding=2).reshape(last.shape)


UNCOUPLED = Couplings()


def _four_bars_away(probabilities: Tensor) -> Tensor:
    """For each cell the mean of the same cells four bars before and after (..., C, S, P); of none, its own value."""
    steps = probabilities.shape[-2]
    if steps <= FOUR_BARS:
        return probabilities
    total = torch.zeros_like(probabilities)
    total[..., FOUR_BARS:, :] += probabilities[..., :-FOUR_BARS, :]
    total[..., :-FOUR_BARS, :] += probabilities[..., FOUR_BARS:, :]
    place = torch.arange(steps, device=probabilities.device)
    count = (place >= FOUR_BARS).int() + (place < steps - FOUR_BARS).int()
    return torch.where((count > 0)[:, None], total / count.clamp(min=1)[:, None], probabilities)


def _rivals(logits: Tensor) -> Tensor:
    """log(1 + the summed odds of the step's other pitches), for logits (..., S, P)."""
    odds = logits.clamp(max=30).exp()
    return torch.log1p((odds.sum(-1, keepdim=True) - odds).clamp(min=0))


def _scale(onsets: Tensor) -> Tensor:
    """A penalty (..., P) of at most 0 for pitch classes below a twelfth of all onsets (..., planes, S, P)."""
    expected = onsets.sum((-3, -2))
    classes = torch.arange(expected.shape[-1], device=onsets.device) % OCTAVE
    counts = expected.new_zeros(*expected.shape[:-1], OCTAVE).index_add_(-1, classes, expected)
    share = counts / counts.sum(-1, keepdim=True).clamp(min=1e-6)
    return torch.log(OCTAVE * share + RARE).clamp(max=0)[..., classes]


def _last_pitch(onsets: Tensor) -> Tensor:
    """The probability (..., S, P) that the last onset before each step had a pitch, for those of onsets (..., S, P)."""
    silent = torch.exp(torch.log1p(-onsets.clamp(max=0.999)).sum(-1, keepdim=True))
    since, last = torch.ones_like(silent), torch.zeros_like(onsets)
    for back in range(1, min(MEMORY, onsets.shape[-2] - 1) + 1):
        last[..., back:, :] += since[..., back:, :] * onsets[..., :-back, :]
        since[..., back:, :] = since[..., back:, :] * silent[..., :-back, :]
    return last
