"""Collect the grooves that a piece's rhythm is planned with, from POP909's training segments.

    python scripts/fit_grooves.py data.root=POP909 [out=diffbgm/music/grooves.npz segments=4000]

Prints how many there are, and the least, the median and the greatest of their motion.
"""

import sys
from dataclasses import dataclass
from typing import Any

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig

from diffbgm.app.cli import run
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.fields import check_among, field
from diffbgm.files import atomic
from diffbgm.music.notes import BARS_PER_SEGMENT, BEATS_PER_BAR
from diffbgm.music.rhythm_plan import Grooves
from diffbgm.music.theme import groove_of
from diffbgm.training.settings import check_data
from diffbgm.video.streams import STREAMS


@dataclass(frozen=True)
class GrooveSettings:
    """The settings of configs/fit_grooves.yaml outside its groups."""

    out: str = field(length=(1, 4096), help="file for the grooves")
    segments: int = field(low=1, high=10**6, help="spread evenly over the training songs")


def fit_grooves(cfg: DictConfig) -> int:
    """Read, collect, write."""
    check_among(GrooveSettings, cfg)
    check_data(cfg.data, "data")
    cache = prepare(instantiate(cfg.data.source), cfg.data.cache, cfg.data.workers)
    found = collected(SegmentLoader(cache, "train", cfg.segments, limit=cfg.segments, noise=None, transpose=(0, 0)))
    with atomic(cfg.out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **vars(found))
    busiest = found.motion[[0, len(found.motion) // 2, -1]].round(2).tolist()
    print(f"{len(found.motion)} grooves in {cfg.out}; motion {busiest} (least, median, most)")
    return 0


def collected(loader: SegmentLoader) -> Grooves:
    """The grooves of a loader's first batch, in ascending order of motion; silent segments are left out."""
    batch = loader.batch(0, 0)
    rolls: Any = batch.roll.numpy()
    bar = groove_of(rolls)[:, :BEATS_PER_BAR].reshape(len(rolls), -1)
    starts = np.rint((bar + 1) / 2 * BARS_PER_SEGMENT).astype(np.uint8)
    motion = batch.condition.visual[..., STREAMS.index("motion")].numpy().mean(1).astype(np.float32)
    order = np.argsort(motion, kind="stable")
    order = order[starts[order].any(axis=1)]
    return Grooves(starts[order], motion[order])


if __name__ == "__main__":
    sys.exit(run(fit_grooves, "fit_grooves"))
