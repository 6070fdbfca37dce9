"""Record intermediate states of sampling for figures.

Shape legend: n kept timesteps, C planes, L steps of the piece, P pitches.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from diffbgm.diffusion.longform import Progress


@dataclass(frozen=True)
class States:
    """A piece at n timesteps: the input of the network, and the clean roll predicted from it.

    At t = 0 both are the finished roll. The first x is the initial noise.
    """

    t: np.ndarray  # (n,) descending
    x: np.ndarray  # (n, C, L, P) x_t, noisy
    x0: np.ndarray  # (n, C, L, P) the clean roll predicted from x


class StateRecorder:
    """Records the states nearest to the requested timesteps while sampling runs."""

    def __init__(self, timesteps: Sequence[int], wishes: Sequence[int]) -> None:
        """`timesteps`: those at which the network is called, descending. `wishes`: the requested ones, or none."""
        self.timesteps = list(timesteps)
        ends = [*self.timesteps, 0]  # the finished roll counts as t = 0
        places = {min(range(len(ends)), key=lambda place: abs(ends[place] - wish)) for wish in wishes if wish > 0}
        if 0 in wishes:
            places.add(len(self.timesteps))
        self.places = places
        self.kept: dict[int, tuple[int, list[np.ndarray], list[np.ndarray]]] = {}

    def see(self, progress: Progress) -> None:
        """Record the state of this step if it is the nearest to a requested timestep."""
        if progress.sketch or not self.places:
            return
        place = progress.step % len(self.timesteps)
        if place in self.places:
            self.kept[place] = (self.timesteps[place], _arrays(progress.noisy), _arrays(progress.rolls))
        if place == len(self.timesteps) - 1 and place + 1 in self.places:
            rolls = _arrays(progress.rolls)
            self.kept[place + 1] = (0, rolls, rolls)

    def states(self, piece: int) -> States | None:
        """The states of one piece; None if none were requested."""
        if not self.kept:
            return None
        rows = [self.kept[place] for place in sorted(self.kept)]
        t, x, x0 = np.array([row[0] for row in rows]), [row[1][piece] for row in rows], [row[2][piece] for row in rows]
        return States(t, np.stack(x), np.stack(x0))


def _arrays(rolls: Sequence[Tensor]) -> list[np.ndarray]:
    return [roll.float().cpu().numpy() for roll in rolls]
