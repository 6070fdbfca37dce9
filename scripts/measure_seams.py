"""Do long pieces hold together? Distances across window edges, beside the same distances inside real songs.

    python scripts/measure_seams.py checkpoint=pretrained/diffbgm-lite.safetensors data.root=POP909 [segments=16 seed=0]

For the conditions of held-out songs (`segments` of them), 64 bars are composed with each longform method. At every bar
line that is a multiple of four bars (where windows meet) the two bars before are compared with the two bars after:
harmony = 1 - cosine of their sounding time per pitch class, groove = share of the 16 positions in which the onsets
of the bars on either side differ. The same is done at the same lines of the songs themselves. Prints a table and JSON.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from diffbgm.cli import run
from diffbgm.compose import Composer, ComposeSettings, Request
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.prepare import prepare
from diffbgm.diffusion.longform import METHODS
from diffbgm.evaluation.report import bootstrap
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.music.key import pitch_class_weights
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, Notes
from diffbgm.video.features import BeatFeatures

BARS = 64
LINES = range(4, BARS, 4)  # bar lines at which windows of any method may meet


def measure_seams(cfg: DictConfig) -> int:
    """Compose, measure, print."""
    cache = Cache.open(prepare(instantiate(cfg.data.source), cfg.data.cache, cfg.data.workers))
    songs = long_songs(cache, cfg.segments)
    checkpoint = load_checkpoint(cfg.checkpoint)
    found = {"real": [distances(music) for music, _ in songs]}
    for method in METHODS:
        settings = ComposeSettings(longform=method, rows=5)
        composer = Composer(checkpoint, instantiate(cfg.sampler), settings, torch.device("cpu"))
        found[method] = []
        for index, (_, beats) in enumerate(tqdm(songs, method, disable=None)):
            *_, progress = composer.compose([Request(beats, (cfg.seed, index))])
            found[method].append(distances(composer.notes(progress.rolls[0])))
    rows = {name: summary(values) for name, values in found.items()}
    for name, row in rows.items():
        cells = [f"{key} {mean:.3f} [{low:.3f}, {high:.3f}]" for key, (mean, low, high) in row.items()]
        print(f"{name:12s} " + "  ".join(cells))
    print(json.dumps({"bench": "seams", "songs": len(songs), "bars": BARS, "seed": cfg.seed, "rows": rows}))
    return 0


def long_songs(cache: Cache, count: int) -> list[tuple[Notes, BeatFeatures]]:
    """The first 64 bars after the first possible segment start of held-out songs: the music and its conditions."""
    arrays = cache.arrays
    chosen: list[tuple[Notes, BeatFeatures]] = []
    segments = cache.segments("val")
    for song in np.unique(np.asarray(arrays["segment_song"])[segments]):
        own = segments[np.asarray(arrays["segment_song"])[segments] == song]
        first = int(np.asarray(arrays["segment_beat"])[own].min())
        start, stop = (int(arrays["beat_start"][song + k]) for k in (0, 1))
        beats = np.arange(start + first, start + first + BARS * BEATS_PER_BAR)
        if beats[-1] >= stop:
            continue
        visual = np.asarray(arrays["visual"][np.asarray(arrays["visual_row"])[beats]], np.float32)
        language = np.asarray(arrays["language"][np.asarray(arrays["language_row"])[beats]], np.float32)
        features = BeatFeatures(
            visual, language, np.ones(len(beats), bool), ("",) * len(beats), np.zeros(len(beats), bool)
        )
        low, high = int(arrays["note_start"][song]), int(arrays["note_start"][song + 1])
        columns = [np.asarray(arrays[name][low:high], np.int64) for name in ("onset", "pitch", "duration")]
        notes = Notes(*columns, np.full(high - low, 80), np.zeros(high - low, np.int64))
        chosen.append((notes.window(first * 4, (first + BARS * BEATS_PER_BAR) * 4), features))
    return [chosen[i] for i in np.linspace(0, len(chosen) - 1, count).round().astype(int)]


def distances(music: Notes) -> dict[str, float]:
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
    return {"harmony": np.mean(harmony), "groove": np.mean(groove), "through": np.mean(through)}


def summary(values: Sequence[dict[str, float]]) -> dict[str, tuple[float, float, float]]:
    """Mean over pieces with its 95 % bootstrap interval."""
    rows = {}
    for key in values[0]:
        column = np.array([value[key] for value in values], float)
        low, high = bootstrap(column, np.random.default_rng(0)) or (column.mean(), column.mean())
        rows[key] = (float(column.mean()), low, high)
    return rows


if __name__ == "__main__":
    sys.exit(run(measure_seams, "card"))
