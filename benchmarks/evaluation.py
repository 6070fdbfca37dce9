"""Seconds a song for every metric, on songs of POP909.

    python -m benchmarks evaluation [--pop909 data/POP909] [--songs 60] [--slow 5] [--segments 10]

`per 909` is what all of POP909 takes. `--slow` songs are taken for SI and music21, `--segments` for retrieval.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import clock, each, parser, show
from diffbgm.evaluation.groove import gps
from diffbgm.evaluation.musicnn import load_musicnn
from diffbgm.evaluation.paper_protocol import gps_paper, import_score, pche_paper
from diffbgm.evaluation.pitch import pche
from diffbgm.evaluation.report import mean_of
from diffbgm.evaluation.retrieval import drawn, embed_segment, segments_of
from diffbgm.evaluation.rhythm import adv
from diffbgm.evaluation.songs import SongFile, find_songs
from diffbgm.evaluation.structure import fitness_of_midi

SONGS = 909


def paper_numbers(song: SongFile) -> tuple[float | None, float | None]:
    """PCHE and GPS by the paper's protocol, import included."""
    score = import_score(song.path)
    return pche_paper(score), gps_paper(score)


def main() -> None:
    """Time every metric, print."""
    options = parser(__doc__)
    options.add_argument("--pop909", type=Path, default=Path(os.environ.get("POP909_DIR", "data/POP909")))
    options.add_argument("--songs", type=int, default=60)
    options.add_argument("--slow", type=int, default=5)
    options.add_argument("--segments", type=int, default=10)
    given = options.parse_args()
    torch.set_num_threads(1)
    now = clock(given.wall)
    songs = find_songs(given.pop909)
    chosen = [songs[i] for i in np.random.default_rng(0).permutation(len(songs))[: given.songs]]
    notes = [song.score.notes for song in chosen]
    slow = chosen[: given.slow]
    parts = segments_of((song.name, song.score.notes) for song in slow)[: given.segments]
    network = load_musicnn()
    similarity = np.random.default_rng(0).standard_normal((900, 900)).astype(np.float32)
    works: dict[str, tuple[Callable[[Any], object], list[Any]]] = {
        "read MIDI": (lambda song: type(song)(song.name, song.path).score, chosen),
        "exact PCHE": (pche, notes),
        "exact GPS": (gps, notes),
        "ADV": (adv, notes),
        "PCHE and GPS through music21": (paper_numbers, slow),
        "SI (render, chroma, scape plot)": (lambda song: fitness_of_midi(song.path), slow),
        "musicnn embedding of a segment": (lambda part: embed_segment(network, part.notes), parts),
        "P@K of 900 segments, 1,000 draws": (
            lambda own: drawn(similarity, own, np.random.default_rng(0)),
            [np.arange(900)],
        ),
    }
    rows = []
    for name, (work, items) in works.items():
        taken = each(work, items, now)
        row = {"metric": name, "s": mean_of(taken), "median s": float(np.median(taken))}
        rows.append({**row, "per 909": SONGS * float(np.mean(taken))})
    show("evaluation", rows)
