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

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.songs import build_composer, composed, prepared
from diffbgm.datasets.pieces import pieces
from diffbgm.diffusion.longform import METHODS
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.evaluation.structure import fitness_of_notes, si_columns
from diffbgm.generation.loading import open_checkpoint
from diffbgm.generation.request import Request
from diffbgm.music.key import pitch_class_weights
from diffbgm.music.notes import STEPS_PER_BAR, Notes

BARS = 64
LINES = range(4, BARS, 4)  # bar lines at which windows of any method may meet


def measure_seams(cfg: DictConfig) -> int:
    """Compose, measure, print."""
    songs = pieces(prepared(cfg.data), "val", BARS, cfg.segments, whole=True)
    checkpoint = open_checkpoint(cfg.checkpoint)
    found = {"real": [distances(song.notes) for song in songs]}
    for method in METHODS:
        composer = build_composer(cfg, checkpoint, longform=method)
        requests = [Request(song.features, (cfg.seed, index)) for index, song in enumerate(songs)]
        found[method] = [distances(composed(composer, request)) for request in tqdm(requests, method, disable=None)]
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
