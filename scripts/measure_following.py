"""Does the music follow videos that the network never saw, and which part of the model makes it?

    diffbgm fetch unseen
    python scripts/measure_following.py videos=data/unseen out=outputs/following [seed=0 checkpoint=FILE ...]

All videos get music (notes only) as `sample.py` makes it, then without guidance, with the language or the visual
stream alone, and without any condition. Beside every number stands the chance of it: the picture turned round in time
(evaluation/alignment.py) and, for motion, the pictures of the other videos. Prints a table, then one JSON line; the
pieces and each video's numbers (songs.csv) stay in `out`. Overrides are those of sample.py.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.sample import build_pipeline
from diffbgm.errors import InputError
from diffbgm.evaluation.alignment import follows, note_density
from diffbgm.evaluation.report import Evaluation, mean_of, mean_text, write_songs
from diffbgm.evaluation.suite import Options, evaluate_run
from diffbgm.files import writable_folder
from diffbgm.generation.composer import Composer
from diffbgm.generation.request import Request
from diffbgm.generation.takes import tempo_of
from diffbgm.music.ending import cut_at
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.video.features import BeatFeatures
from diffbgm.video.folder import find_videos, output_names
from diffbgm.video.steer import pace

VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "as shipped": {},
    "no guidance": {"guidance": 1.0},
    "language only": {"modality": "language"},
    "video only": {"modality": "visual"},
    "no condition": {"guidance": 0.0},
}
NUMBERS = ("motion_density", "light_register", "cuts_on_accents", "cuts_on_accents_tight")


def measure_following(cfg: DictConfig) -> int:
    """Compose, measure, print."""
    out, videos = Path(cfg.out), find_videos(cfg.videos)
    pipeline, settings = build_pipeline(cfg)
    names, tempi, pieces = output_names(videos), [], []
    for video in tqdm(videos, "features", disable=None):
        features = pipeline.features(video)
        tempi.append(tempo_of(features, settings).bpm)
        pieces.append(pipeline.beat_features(features, tempi[-1], settings))
    motion = [values for beats in pieces if (values := pace(beats)) is not None]
    if len(motion) < len(pieces):
        raise InputError("motion is what following is measured by, and features=clip has none; use a lite checkpoint")
    minutes = sum(piece.valid.sum() / bpm for piece, bpm in zip(pieces, tempi, strict=True))
    rows = {}
    for variant, changes in VARIANTS.items():
        folder = writable_folder(out / variant.replace(" ", "-"))
        composer = pipeline.composer.asked(replace(settings, rows=8, **changes))
        music = composed(composer, pieces, cfg.seed, variant)
        for name, bpm, notes in zip(names, tempi, music, strict=True):
            write_midi(notes, folder / f"{name}.mid", bpm)
        options = Options(("alignment",), videos=Path(cfg.videos), extractor=pipeline.extractor, cache=Path(cfg.cache))
        evaluation, _ = evaluate_run(folder, options, lambda items, total, name: items)
        write_songs(evaluation, folder / "songs.csv")
        rows[variant] = summary(evaluation, music, pieces, motion)
    print(f"{len(videos)} videos, {minutes:.1f} minutes, seed {cfg.seed}; mean [95 % interval], chance, p; n")
    for variant, row in rows.items():
        print(f"| {variant} | " + " | ".join(cell(row[name]) for name in (*NUMBERS, "other_videos")) + " |")
    print(json.dumps({"bench": "following", "videos": len(videos), "minutes": minutes, "seed": cfg.seed, "rows": rows}))
    return 0


def composed(composer: Composer, pieces: Sequence[BeatFeatures], seed: int, name: str) -> list[Notes]:
    """Music for all pieces, cut where each video ends."""
    steps = composer.compose([Request(beats, (seed, index)) for index, beats in enumerate(pieces)])
    for progress in tqdm(steps, name, disable=None):
        rolls = progress.rolls
    ends = [STEPS_PER_BEAT * int(beats.valid.sum()) for beats in pieces]
    return [cut_at(composer.notes(roll), end) for roll, end in zip(rolls, ends, strict=True)]


def summary(
    evaluation: Evaluation, music: Sequence[Notes], pieces: Sequence[BeatFeatures], motion: Sequence[np.ndarray]
) -> dict[str, Any]:
    """The alignment metrics, and how each piece fits the motion of the other videos (mean over them)."""
    rng, means = np.random.default_rng(0), []
    for index, notes in enumerate(music):
        found = []
        for other, beats in enumerate(pieces):
            if other != index:
                shared = min(int(beats.valid.sum()), int(pieces[index].valid.sum()))
                aligned = follows(note_density(notes, shared), motion[other][:shared], rng)
                found += [] if aligned is None else [aligned.value]
        means += [np.mean(found)] if found else []
    return {**evaluation.metrics, "other_videos": mean_of(means)}


def cell(number: Mapping[str, Any]) -> str:
    """A metric in a table."""
    chance = f", {number['chance']:.2f}, {number['p']:.3f}" if "chance" in number else ""
    return f"{mean_text(number, 2)}{chance}; {number['n']}"


if __name__ == "__main__":
    sys.exit(run(measure_following, "sample"))
