"""Seconds a song for every metric, on songs of POP909, and the exact GPS against the music21 way.

    python scripts/bench_evaluation.py [--pop909 data/POP909] [--songs 60] [--slow 5] [--segments 10]

Prints a table, then one JSON line. Seconds of processor time on one core, so that a busy machine changes them little;
`per 909` is what all of POP909 takes. `--slow` songs are taken for SI and music21, `--segments` for retrieval.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from diffbgm.evaluation.groove import gps  # noqa: E402
from diffbgm.evaluation.musicnn import load_musicnn  # noqa: E402
from diffbgm.evaluation.paper_protocol import gps_paper, import_score, pche_paper  # noqa: E402
from diffbgm.evaluation.pitch import pche  # noqa: E402
from diffbgm.evaluation.retrieval import drawn, embed_segment, segments_of  # noqa: E402
from diffbgm.evaluation.rhythm import adv  # noqa: E402
from diffbgm.evaluation.songs import Song, find_songs  # noqa: E402
from diffbgm.evaluation.structure import fitness_of_midi  # noqa: E402

SONGS = 909


def seconds(work: Callable[[Any], Any], items: Sequence[Any]) -> list[float]:
    """Processor seconds of `work` for each item, after one call that loads and compiles what is needed."""
    work(items[0])
    taken = []
    for item in items:
        begin = time.process_time()
        work(item)
        taken.append(time.process_time() - begin)
    return taken


def paper_numbers(song: Song) -> tuple[float | None, float | None]:
    """PCHE and GPS by the paper's protocol, import included."""
    score = import_score(song.path)
    return pche_paper(score), gps_paper(score)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pop909", type=Path, default=Path(os.environ.get("POP909_DIR", "data/POP909")))
    parser.add_argument("--songs", type=int, default=60)
    parser.add_argument("--slow", type=int, default=5)
    parser.add_argument("--segments", type=int, default=10)
    arguments = parser.parse_args()
    torch.set_num_threads(1)

    songs = find_songs(arguments.pop909)
    chosen = [songs[i] for i in np.random.default_rng(0).permutation(len(songs))[: arguments.songs]]
    notes = [song.score.notes for song in chosen]
    slow = chosen[: arguments.slow]
    rows = {
        "read MIDI": seconds(lambda song: type(song)(song.name, song.path).score, chosen),
        "exact PCHE": seconds(pche, notes),
        "exact GPS": seconds(gps, notes),
        "ADV": seconds(adv, notes),
        "PCHE and GPS through music21": seconds(paper_numbers, slow),
        "SI (render, chroma, scape plot)": seconds(lambda song: fitness_of_midi(song.path), slow),
    }
    parts = segments_of((song.name, song.score.notes) for song in slow)[: arguments.segments]
    if arguments.segments:
        network = load_musicnn()
        rows["musicnn embedding of a segment"] = seconds(lambda part: embed_segment(network, part.notes), parts)
    print(f"{'':34} {'median s':>10} {'mean s':>10} {'per 909':>10}")
    for name, taken in rows.items():
        print(f"{name:34} {np.median(taken):10.5f} {np.mean(taken):10.5f} {SONGS * np.mean(taken):10.1f}")
    similarity = np.random.default_rng(0).standard_normal((900, 900)).astype(np.float32)
    draws = seconds(lambda own: drawn(similarity, own, np.random.default_rng(0)), [np.arange(900)])[0]
    print(f"{'P@K of 900 segments, 1,000 draws':34} {draws:10.5f}")
    fast = sum(float(np.mean(rows[name])) for name in ("read MIDI", "exact PCHE", "exact GPS", "ADV"))
    print(f"{'read, exact PCHE, GPS and ADV':34} {'':10} {fast:10.5f} {SONGS * fast:10.1f}")
    read = float(np.mean(rows["read MIDI"]))
    result = {
        "seconds": {name: float(np.median(taken)) for name, taken in rows.items()},
        "retrieval_draws_900_segments": draws,
        "fast_metrics_909_songs": SONGS * fast,
        "music21_over_exact_gps": float(np.mean(rows["PCHE and GPS through music21"]) / np.mean(rows["exact GPS"])),
        "music21_over_reading_and_exact_gps": float(
            np.mean(rows["PCHE and GPS through music21"]) / (read + np.mean(rows["exact GPS"]))
        ),
        "songs": len(chosen),
        "slow_songs": len(slow),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
