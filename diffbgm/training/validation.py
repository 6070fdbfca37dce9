"""The validation loss on fixed noise and timesteps, so that its curve depends only on the weights.

It is reported for all timesteps and for the two bands of the feature selector: t > 200 (melody) and t <= 200 (rhythm).

Shape legend: K validation segments.
"""

from collections.abc import Mapping, Sequence

import torch
from accelerate import Accelerator
from torch import Tensor

from diffbgm.datasets.batch import Batch
from diffbgm.models.denoiser import Denoiser
from diffbgm.training.draws import fixed


class Validation:
    """Computes the validation loss on `batches` by dataset name. Every process holds all batches and does its share."""

    def __init__(self, batches: Mapping[str, Sequence[Batch]], seed: int, switch: int) -> None:
        self.batches, self.seed, self.switch = {name: list(parts) for name, parts in batches.items()}, seed, switch

    def first(self, count: int) -> Batch:
        """The first `count` segments of the first dataset (fewer if its first batch is smaller)."""
        batch = next(iter(self.batches.values()))[0]
        return Batch(batch.roll[:count], batch.condition[:count], batch.songs[:count])

    @torch.no_grad()
    def __call__(self, denoiser: Denoiser, accelerator: Accelerator) -> dict[str, float]:
        """Losses "val_loss", "val_loss_high" (t > switch), "val_loss_low" and, for several datasets, "val_loss_<name>".

        val_loss weights the bands by their share of the timesteps, like an average over uniform t.
        """
        low_share = (self.switch + 1) / len(denoiser.objective.schedule)
        sums = {name: self._sums(parts, denoiser, accelerator) for name, parts in self.batches.items()}

        def mean(total: Tensor) -> tuple[float, float]:
            (high, highs), (low, lows) = total.tolist()
            return high / max(highs, 1), low / max(lows, 1)

        high, low = mean(sum(sums.values(), torch.zeros(2, 2)))
        losses = {"val_loss": (1 - low_share) * high + low_share * low, "val_loss_high": high, "val_loss_low": low}
        if len(sums) > 1:
            for name, total in sums.items():
                high, low = mean(total)
                losses[f"val_loss_{name}"] = (1 - low_share) * high + low_share * low
        return losses

    def _sums(self, batches: Sequence[Batch], denoiser: Denoiser, accelerator: Accelerator) -> Tensor:
        """[[sum of losses, number of segments] of the high band, the same of the low band] over all processes."""
        sums = torch.zeros(2, 2, device=accelerator.device)
        for index, batch in enumerate(batches):
            if index % accelerator.num_processes != accelerator.process_index:
                continue
            draws = fixed(
                self.seed + index, len(batch), batch.roll.shape[1:], len(denoiser.objective.schedule), self.switch
            )
            draws, batch = draws.to(accelerator.device), batch.to(accelerator.device)
            with accelerator.autocast():
                loss = denoiser.loss(batch.roll, draws.eps, draws.t, batch.condition)
            high = (draws.t > self.switch).float()
            sums += torch.stack(
                [
                    torch.stack([(loss * high).sum(), high.sum()]),
                    torch.stack([(loss * (1 - high)).sum(), (1 - high).sum()]),
                ]
            )
        return accelerator.reduce(sums, "sum").cpu()
