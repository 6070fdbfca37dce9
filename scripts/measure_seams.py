"""Do long pieces hold together? Distances across window edges, beside the same distances inside real songs.

    python scripts/measure_seams.py checkpoint=pretrained/diffbgm-lite.safetensors data.root=POP909 [segments=16 seed=0]

For the conditions of held-out songs (`segments` of them), 64 bars are composed with each longform method. At every bar
line that is a multiple of four bars (where windows meet) the two bars before are compared with the two bars after:
harmony = 1 - cosine of their sounding time per pitch class, groove = share of the 16 positions in which the onsets
of the bars on either side differ. The same is done at the same lines of the songs themselves. `si` is the whole piece's
structureness from 3 s on (64 bars are two minutes). Prints a table and JSON.
"""

import json
import sys
from dataclasses import replace

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pieces import pieces
from diffbgm.datasets.prepare import prepare
from diffbgm.diffusion.longform import METHODS
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.evaluation.structure import fitness_of_notes, si_columns
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import chosen_sampler, device_named, open_checkpoint
from diffbgm.generation.request import Request
from diffbgm.generation.settings import compose_settings
from diffbgm.music.key import pitch_class_weights
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, Notes

BARS = 64
LINES = range(4, BARS, 4)  # bar lines at which windows of any method may meet


def measure_seams(cfg: DictConfig) -> int:
    """Compose, measure, print."""
    cache = Cache.open(prepare(instantiate(cfg.data.source), cfg.data.cache, cfg.data.workers))
    long = [piece for piece in pieces(cache, "val", BARS) if len(piece.features.valid) == BARS * BEATS_PER_BAR]
    songs = [long[i] for i in np.linspace(0, len(long) - 1, min(cfg.segments, len(long))).round().astype(int)]
    checkpoint = open_checkpoint(cfg.checkpoint)
    found = {"real": [distances(song.notes) for song in songs]}
    for method in METHODS:
        settings = replace(compose_settings(cfg.compose), longform=method)
        composer = Composer(
            checkpoint,
            chosen_sampler(cfg.sampler, checkpoint.config.sampling.sampler),
            settings,
            device_named(cfg.device),
        )
        found[method] = []
        for index, song in enumerate(tqdm(songs, method, disable=None)):
            *_, progress = composer.compose([Request(song.features, (cfg.seed, index))])
            found[method].append(distances(composer.notes(progress.rolls[0])))
    rows = {name: {key: mean_of(row[key] for row in values) for key in values[0]} for name, values in found.items()}
    for name, row in rows.items():
        print(f"{name:12s} " + "  ".join(f"{key} {mean_text(number)}" for key, number in row.items()))
    print(json.dumps({"bench": "seams", "songs": len(songs), "bars": BARS, "seed": cfg.seed, "rows": rows}))
    return 0


def distances(music: Notes) -> dict[str, float | None]:
    """Mean over the lines of a piece: harmony and groove across them, and how many notes sound through them."""
    grid = np.zeros(BARS * STEPS_PER_BAR, bool)
    grid[music.onset] = True
    bars = grid.reshape(BARS, STEPS_PER_BAR)
    harmony, groove, through = [], [], []
    for line in LINES:
        step = line * STEPS_PER_BAR
        sides = [pitch_class_weights(music.window(step + a, step + b)) for a, b in ((-32, 0), (0, 32))]
        norms = [np.linalg.norm(side) for side in sides]
        if min(norms) > 0:
            harmony.append(1 - float(sides[0] @ sides[1] / (norms[0] * norms[1])))
        groove.append(float((bars[line - 1] != bars[line]).mean()))
        through.append(float(((music.onset < step) & (music.onset + music.duration > step)).sum()))
    si = si_columns(fitness_of_notes(music))["si_3"]
    return {"harmony": np.mean(harmony), "groove": np.mean(groove), "through": np.mean(through), "si": si}


if __name__ == "__main__":
    sys.exit(run(measure_seams, "card"))
