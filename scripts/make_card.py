"""The evidence in a checkpoint's model card: its samples for held-out conditions beside the real segments.

    python scripts/make_card.py checkpoint=pretrained/diffbgm-lite.safetensors data.root=POP909 [segments=64 seed=0]

Takes segments spread evenly over the validation songs, samples one piece for the condition of each, and writes beside
the checkpoint NAME.card.json (every number, with 95 % bootstrap intervals), NAME.card.md (the tables of the model card)
and NAME.card.png (three uncurated samples, seeds 0, 1 and 2, each for another held-out condition).
"""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from scipy.stats import spearmanr
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from diffbgm.cli import run
from diffbgm.compose import Composer, ComposeSettings
from diffbgm.datasets.batch import Batch, Condition
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.evaluation.alignment import note_density
from diffbgm.evaluation.report import bootstrap
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.files import atomic
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import decode

NUMBERS = ("onsets", "pche", "gps", "polyphony", "lowest", "highest")
SAMPLES_SHOWN = 3


def make_card(cfg: DictConfig) -> int:
    """Sample, measure, write."""
    checkpoint = load_checkpoint(cfg.checkpoint)
    cache = prepare(instantiate(cfg.data.source), cfg.data.cache, cfg.data.workers)
    batch = SegmentLoader(cache, "val", cfg.segments, limit=cfg.segments, perturb=False).batch(0, 0)
    composer = Composer(checkpoint, instantiate(cfg.sampler), ComposeSettings(rows=8), torch.device("cpu"))
    begin = time.perf_counter()
    music = sample(composer, batch.condition, cfg.seed)
    seconds = (time.perf_counter() - begin) / len(batch)
    real = [decode(roll) for roll in batch.roll.numpy()]
    card = {
        "checkpoint": Path(cfg.checkpoint).name,
        "sha256": checkpoint.sha256,
        "training": checkpoint.config["training"],
        "segments": len(batch),
        "songs": len(set(batch.songs)),
        "seed": cfg.seed,
        "sampler": OmegaConf.to_container(cfg.sampler),
        "guidance": composer.settings.guidance,
        "threshold": composer.settings.threshold,
        "seconds_per_segment": seconds,
        "numbers": {name: {"real": summary(real, name), "sampled": summary(music, name)} for name in NUMBERS},
        "following": following(music, real),
    }
    stem = Path(cfg.checkpoint).with_suffix("")
    with atomic(f"{stem}.card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1))
    with atomic(f"{stem}.card.md") as temporary:
        temporary.write_text(tables(card))
    with atomic(f"{stem}.card.png") as temporary:
        draw(composer, batch, temporary)
    print(tables(card))
    return 0


def sample(composer: Composer, condition: Condition, seed: int) -> list[Notes]:
    """One piece for each row of the condition."""
    steps = composer.segments(condition, [(seed, row) for row in range(len(condition))])
    for progress in tqdm(steps, "steps", len(composer.sampler.timesteps(composer.schedule)), disable=None):
        rolls = progress.rolls
    return [composer.notes(roll) for roll in rolls]


def summary(pieces: Sequence[Notes], name: str) -> dict[str, object]:
    """Mean over the segments where the number exists, with its interval."""
    found = [getattr(segment_numbers(piece, STEPS_PER_SEGMENT), name) for piece in pieces]
    values = np.array([value for value in found if value is not None], float)
    return {"mean": float(values.mean()), "ci95": bootstrap(values, np.random.default_rng(0)), "n": len(values)}


def following(music: Sequence[Notes], real: Sequence[Notes]) -> dict[str, float]:
    """Spearman correlation of asked (the condition's own song) and got notes per beat; beside it another song's."""
    got, asked = (np.stack([note_density(piece, BEATS_PER_SEGMENT) for piece in part]) for part in (music, real))

    def mean_of(pairs: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.nanmean([spearmanr(a, b).statistic for a, b in pairs if np.ptp(a) and np.ptp(b)]))

    return {
        "beats": mean_of(list(zip(got, asked, strict=True))),
        "beats_of_another_song": mean_of(list(zip(got, np.roll(asked, len(asked) // 2, axis=0), strict=True))),
        "segments": float(spearmanr(got.sum(1), asked.sum(1)).statistic),
    }


def tables(card: dict) -> str:
    """The card's numbers as Markdown."""
    lines = [
        f"{card['segments']} segments of {card['songs']} held-out songs, one sample each, seed {card['seed']}; "
        f"{card['sampler']['name']} with {card['sampler']['steps']} steps, guidance {card['guidance']:g}, threshold "
        f"{card['threshold']:g}. Means with 95 % bootstrap intervals over segments.",
        "",
        "| per 8-bar segment | real | sampled | difference |",
        "|---|---|---|---|",
    ]
    for name, pair in card["numbers"].items():
        cells = [f"{p['mean']:.3f} [{p['ci95'][0]:.3f}, {p['ci95'][1]:.3f}]" for p in (pair["real"], pair["sampled"])]
        change = pair["sampled"]["mean"] / pair["real"]["mean"] - 1
        lines.append(f"| {name} | {cells[0]} | {cells[1]} | {change:+.1%} |")
    follow = card["following"]
    lines += [
        "",
        "| notes per beat, asked against got (Spearman) | |",
        "|---|---|",
        f"| from beat to beat, within a segment | {follow['beats']:.2f} |",
        f"| the same against another song's beats | {follow['beats_of_another_song']:.2f} |",
        f"| across segments | {follow['segments']:.2f} |",
        "",
    ]
    return "\n".join(lines)


def draw(composer: Composer, batch: Batch, path: Path) -> None:
    """Three samples, uncurated, each above the real segment whose condition it was given."""
    from matplotlib.figure import Figure

    rows = np.linspace(0, len(batch) - 1, SAMPLES_SHOWN).astype(int)
    figure = Figure(figsize=(13, 8), dpi=90, layout="constrained")
    axes = figure.subplots(SAMPLES_SHOWN, 2, sharex=True, sharey=True)
    for seed, (row, (left, right)) in enumerate(zip(rows, axes, strict=True)):
        condition = Condition(*(tensor[row : row + 1] for tensor in vars(batch.condition).values()))
        (notes,) = sample(composer, condition, seed)
        pieces = ((left, notes, f"sampled, seed {seed}"), (right, decode(batch.roll[row].numpy()), batch.songs[row]))
        for axis, piece, title in pieces:
            axis.hlines(piece.pitch, piece.onset, piece.onset + piece.duration - 0.15, linewidth=3, color="#2f6f9f")
            axis.set(xlim=(0, STEPS_PER_SEGMENT), ylim=(24, 100), title=title)
            axis.set_xticks(range(0, STEPS_PER_SEGMENT + 1, 16), labels=[str(bar) for bar in range(1, 10)])
            axis.grid(axis="x", alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("bar")
    figure.savefig(path, format="png")


if __name__ == "__main__":
    sys.exit(run(make_card, "card"))
