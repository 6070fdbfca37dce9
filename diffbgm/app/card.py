"""All numbers of a checkpoint's model card, from one command.

    diffbgm card data.root=POP909 out=outputs/card [checkpoint=FILE songs=N bars=32 segments=64 seed=0]

For music composed for the conditions of held-out songs, and for the same bars of the songs themselves: the metrics of
evaluate.py, retrieval by rows and by segments, and the longest run of bars shared with a training song. For single
segments: notes per beat, asked against got, and the validation loss in bands of t. It writes beside a checkpoint file
(otherwise into `out`): NAME.card.json (every number, with 95 % bootstrap intervals), NAME.card.md (the
tables of the model card) and NAME.card.png (three uncurated samples, seeds 0, 1 and 2, for three held-out conditions).
A stopped run resumes with the songs that are missing in `out`.
"""

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.songs import build_composer, prepared, sample_songs, through_roll
from diffbgm.datasets.batch import Batch, Condition
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pieces import pieces
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.evaluation.judges import JUDGES
from diffbgm.evaluation.musicnn import WEIGHTS
from diffbgm.evaluation.report import mean_text
from diffbgm.evaluation.suite import Options, evaluate_run
from diffbgm.fields import check, field
from diffbgm.files import atomic, writable_folder
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import device_named, open_checkpoint
from diffbgm.models.config import SAMPLING
from diffbgm.models.denoiser import Denoiser
from diffbgm.music.density import note_density, spearman
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.parts import decode_parts
from diffbgm.training.draws import draw

METRICS = ("exact", "paper", "rhythm", "structure", "texture", "copies")
SHOWN = {
    "pche": "PCHE, exact",
    "gps": "GPS, exact",
    "pche_paper": "PCHE, paper's protocol",
    "gps_paper": "GPS, paper's protocol",
    "si_mean": "SI, mean of the three bands",
    "si_3": "SI, any length from 3 s",
    "si_3_8": "SI, 3-8 s",
    "si_8_15": "SI, 8-15 s",
    "si_15": "SI, from 15 s on",
    "adv": "ADV",
    "adv_relative": "ADV, relative",
    "notes_per_beat": "notes per beat",
    "polyphony": "polyphony",
    "pitch_range": "pitch range",
    "copied_bars": "longest run of bars shared with a training song",
}
JUDGED = {
    "oa": "overlapped area of 26 features",
    "oa_distances": "overlapped area of their distances (Yang and Lerch)",
    "two_sample": "accuracy of a classifier",
}
WORST_SHOWN = 6
PAPER = {"pche_paper": (2.840, 2.717), "gps_paper": (0.601, 0.708), "si_mean": (0.521, 0.486)}  # Table S1: model, real
BANDS = ((0, 100), (100, 200), (200, 400), (400, 600), (600, 800), (800, 1000))  # of t
SAMPLES_SHOWN = 3


@dataclass(frozen=True)
class CardSettings:
    """The settings of configs/card.yaml that are not those of the songs (app/songs.py)."""

    segments: int = field(low=1, high=10**6, help="single segments, spread evenly over the held-out songs")
    musicnn: str | None = field(
        None, length=(1, 4096), help="another file for the tagger; null: the one in the package"
    )


def make_card(cfg: DictConfig) -> int:
    """Sample, measure, write."""
    check(CardSettings, {"segments": cfg.segments, "musicnn": cfg.musicnn})
    sample_songs(cfg)
    checkpoint, out = open_checkpoint(cfg.checkpoint), Path(cfg.out)
    cache = prepared(cfg.data)
    window, device = checkpoint.config.window, device_named(cfg.device)
    planes = checkpoint.network.planes
    loader = SegmentLoader(cache, cfg.split, cfg.segments, limit=cfg.segments, noise=None, window=window, planes=planes)
    batch = loader.batch(0, 0).to(device)
    composer = build_composer(cfg, checkpoint)
    music, real = sample(composer, batch.condition, cfg.seed), [decode_parts(roll) for roll in batch.roll.cpu().numpy()]
    card = {
        "checkpoint": Path(cfg.checkpoint).name,
        "sha256": checkpoint.sha256,
        "training": checkpoint.config.training,
        "seed": cfg.seed,
        "bars": cfg.bars,
        "sampler": asdict(composer.sampler),
        "compose": asdict(composer.settings),
        **songs(out, cache, cfg),
        "segments": len(batch),
        "following": following(music, real),
        "loss": losses(composer, batch, cfg.seed),
    }
    stem = _stem(cfg.checkpoint, out)
    with atomic(f"{stem}.card.json") as temporary:
        temporary.write_text(json.dumps(card, indent=1))
    with atomic(f"{stem}.card.md") as temporary:
        temporary.write_text(tables(card))
    with atomic(f"{stem}.card.png") as temporary:
        draw_samples(composer, batch, temporary)
    print(tables(card))
    return 0


def _stem(checkpoint: str, out: Path) -> Path:
    """The path of a card without its ending: beside a checkpoint that was given as a file, else in `out`."""
    given = Path(checkpoint)
    return Path(str(given if given.is_file() else out / given.name).removesuffix(".safetensors"))


def songs(out: Path, cache: Cache, cfg: DictConfig) -> dict[str, Any]:
    """The metrics of the generated pieces and of the songs themselves, by the same code."""
    training = writable_folder(out / "training")
    if len(list(training.glob("*.mid"))) < len(cache.manifest["splits"]["train"]):
        for piece in pieces(cache, "train"):
            write_midi(through_roll(piece), training / f"{piece.song}.mid")
    common = {"training": training, "musicnn": Path(cfg.musicnn or WEIGHTS), "seed": cfg.seed}
    common["workers"] = len(os.sched_getaffinity(0))
    real, _ = evaluate_run(out / "real", Options(METRICS, **common), _bar)
    options = Options(
        (*METRICS, *JUDGES, "retrieval", "segments"), reference=out / "real", reference_sample=0, **common
    )
    generated, _ = evaluate_run(out / "generated", options, _bar, real=real.metrics)
    return {"songs": generated.evaluated, "generated": generated.metrics, "real": real.metrics}


def sample(composer: Composer, condition: Condition, seed: int) -> list[Notes]:
    """One piece for each row of the condition."""
    steps = composer.segments(condition, [(seed, row) for row in range(len(condition))])
    for progress in tqdm(steps, "steps", len(composer.sampler.timesteps(composer.schedule)), disable=None):
        rolls = progress.rolls
    return [composer.notes(roll) for roll in rolls]


def following(music: Sequence[Notes], real: Sequence[Notes]) -> dict[str, float | None]:
    """Spearman correlation of notes per beat, asked (the condition's song) and got, and another song's."""
    got, asked = (np.stack([note_density(piece, BEATS_PER_SEGMENT) for piece in part]) for part in (music, real))

    def average(pairs: Iterable[tuple[np.ndarray, np.ndarray]]) -> float:
        return float(np.mean([value for pair in pairs if (value := spearman(*pair)) is not None]))

    return {
        "beats": average(zip(got, asked, strict=True)),
        "beats_of_another_song": average(zip(got, np.roll(asked, len(asked) // 2, axis=0), strict=True)),
        "segments": spearman(got.sum(1), asked.sum(1)),
    }


@torch.no_grad()
def losses(composer: Composer, batch: Batch, seed: int) -> dict[str, float]:
    """The training loss of the segments, with and without their conditions, at times spread evenly over each band."""
    network, denoiser = composer.network, Denoiser(composer.network, composer.objective)
    encoded = network.encode(batch.condition)
    conditions = {"": encoded, ", no condition": network.conditioner.null(encoded)}
    count, shape = len(batch), batch.roll.shape[1:]
    found = {}
    for low, high in BANDS:
        numbers = draw(seed, low, range(count), count, shape, high - low, 0.0, stratified=True).to(batch.roll.device)
        t = low + numbers.t
        for name, condition in conditions.items():
            parts = [
                denoiser.loss(batch.roll[rows], numbers.eps[rows], t[rows], condition.rows(rows))
                for rows in torch.arange(count).split(8)
            ]
            found[f"{low}-{high}{name}"] = float(torch.cat(parts).mean())
    return found


def _text(value: float | str | Sequence[float] | Mapping[str, float] | None) -> str:
    if value is None:
        return "any"
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {weight:g}" for name, weight in value.items() if weight) or "none"
    if isinstance(value, Sequence):
        return value if isinstance(value, str) else " and ".join(f"{part:g}" for part in value)
    return f"{value:g}"


def tables(card: dict[str, Any]) -> str:
    """The card's numbers as Markdown."""
    generated, real, how = card["generated"], card["real"], card["compose"]
    lines = [
        f"{card['songs']} held-out songs, at most {card['bars']} bars each, one piece for the conditions of each, seed "
        f"{card['seed']}; {card['sampler']['name']} with {card['sampler']['steps']} steps, "
        f"{', '.join(f'{name} {_text(how[name])}' for name in SAMPLING)}. "
        "Means with 95 % bootstrap intervals over songs; real: the same bars of the songs themselves.",
        "",
        "| | real | generated | difference | the paper's model to its Real |",
        "|---|---|---|---|---|",
    ]
    for name, label in SHOWN.items():
        ours, theirs = generated[name]["mean"], real[name]["mean"]
        change = "–" if ours is None or theirs is None else f"{ours - theirs:+.3f}"
        published = f"{PAPER[name][0] - PAPER[name][1]:+.3f}" if name in PAPER else ""
        lines.append(f"| {label} | {mean_text(real[name])} | {mean_text(generated[name])} | {change} | {published} |")
    lines += judged(generated)
    lines += [
        "",
        "| retrieval, 60 drawn candidates (p_at: rows of 3 s; segment_p: segments of 8 bars) | got | chance |",
        "|---|---|---|",
    ]
    for name in ("p_at_5", "p_at_10", "p_at_20", "mean_rank", "segment_p_5", "segment_p_20", "segment_p_20_strict"):
        if name in generated and generated[name]["mean"] is not None:
            lines.append(f"| {name} | {mean_text(generated[name], 2)} | {generated[name]['chance']:.2f} |")
    follow = card["following"]
    lines += [
        "",
        f"| notes per beat, asked against got (Spearman), {card['segments']} segments | |",
        "|---|---|",
        f"| from beat to beat, within a segment | {follow['beats']:.2f} |",
        f"| the same against another song's beats | {follow['beats_of_another_song']:.2f} |",
        f"| across segments | {follow['segments']:.2f} |",
        "",
        "| t | " + " | ".join(f"{low}-{high}" for low, high in BANDS) + " |",
        "|---|" + "---|" * len(BANDS),
    ]
    for name in ("", ", no condition"):
        cells = [f"{card['loss'][f'{low}-{high}{name}']:.5f}" for low, high in BANDS]
        lines.append(f"| loss{name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def judged(generated: dict[str, Any]) -> list[str]:
    """The judges' table: overlapped area and its ceiling, a classifier, and the features that differ most."""
    lines = [
        "",
        "| generated against real, segments of eight bars | got | real against real, or chance |",
        "|---|---|---|",
    ]
    for name, label in JUDGED.items():
        found, best = generated[name], "–"
        if "ceiling" in found:
            best = f"{found['ceiling']:.3f}"
        elif "chance" in found:  # not measured, so it is marked
            best = f"{found['chance']:.1f} (chance)"
        lines.append(f"| {label} | {mean_text(found)} | {best} |")
    features = generated["oa"].get("features", {})
    if worst := sorted(features, key=lambda name: features[name]["oa"])[:WORST_SHOWN]:
        lines += ["", "| features furthest from real | overlapped area | generated | real |", "|---|---|---|---|"]
        for name in worst:
            cells = " | ".join(f"{features[name][key]:.3f}" for key in ("oa", "generated", "real"))
            lines.append(f"| {name.replace('_', ' ')} | {cells} |")
    return lines


def draw_samples(composer: Composer, batch: Batch, path: Path) -> None:
    """Three samples, uncurated, each above the real segment whose condition it was given."""
    from matplotlib.figure import Figure

    rows = np.linspace(0, len(batch) - 1, SAMPLES_SHOWN).astype(int)
    figure = Figure(figsize=(13, 8), dpi=90, layout="constrained")
    axes = figure.subplots(SAMPLES_SHOWN, 2, sharex=True, sharey=True)
    for seed, (row, (left, right)) in enumerate(zip(rows, axes, strict=True)):
        (notes,) = sample(composer, batch.condition[row : row + 1], seed)
        pieces_shown = (
            (left, notes, f"sampled, seed {seed}"),
            (right, decode_parts(batch.roll[row].cpu().numpy()), batch.songs[row]),
        )
        for axis, piece, title in pieces_shown:
            axis.hlines(piece.pitch, piece.onset, piece.onset + piece.duration - 0.15, linewidth=3, color="#2f6f9f")
            axis.set(xlim=(0, STEPS_PER_SEGMENT), ylim=(24, 100), title=title)
            axis.set_xticks(range(0, STEPS_PER_SEGMENT + 1, 16), labels=[str(bar) for bar in range(1, 10)])
            axis.grid(axis="x", alpha=0.3)
    for axis in axes[-1]:
        axis.set_xlabel("bar")
    figure.savefig(path, format="png")


def _bar(items: Iterable[Any], total: int, name: str) -> Iterable[Any]:
    return tqdm(items, name, total, disable=None)
