"""Train the discriminator that guides a checkpoint's sampling, and write it into a checkpoint.

    diffbgm songs data.root=POP909 split=train songs=64 bars=32 compose.discriminator=0 out=outputs/songs
    python scripts/fit_discriminator.py data.root=POP909 music=outputs/songs/generated out=FILE.safetensors
        [checkpoint=FILE compose.discriminator=5 width=12 times=4 steps=500 seed=0]

`music` is what the checkpoint composes for the conditions of training songs. Windows of it and of the songs are noised,
and the discriminator learns to tell which of the two a prediction of the clean roll was made from (Kim et al. 2023).
Both are predicted with the same condition, told their own groove. Prints the accuracy on the windows of an eighth of
the songs, which it was not trained on, for each timestep, then a JSON line.
"""

import json
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.songs import build_composer, prepared
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pieces import Piece, pieces
from diffbgm.diffusion.longform import plan
from diffbgm.diffusion.samplers import sample_number
from diffbgm.errors import InputError
from diffbgm.fields import check_among, field
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import open_checkpoint
from diffbgm.generation.rhythm import Rhythm
from diffbgm.generation.told import Told, no_theme
from diffbgm.models.checkpoint import all_weights, save_checkpoint
from diffbgm.models.denoiser import Denoiser
from diffbgm.models.discriminator import Discriminator
from diffbgm.music.midi import read_midi
from diffbgm.music.notes import BEATS_PER_SEGMENT, STEPS_PER_BEAT, STEPS_PER_SEGMENT
from diffbgm.music.parts import encode_parts, merged
from diffbgm.music.theme import GROOVE, groove_of
from diffbgm.training.settings import check_data

BATCH, RATE, DECAY, DROP = 32, 2e-3, 0.3, 0.3  # a few thousand rolls are soon learned by heart
MOVED = 3  # largest transposition in training, in semitones
HELD_OUT = 8  # one song of so many is for testing
LONGEST = 32  # bars of a piece


@dataclass(frozen=True)
class DiscriminatorSettings:
    """The settings of configs/fit_discriminator.yaml outside its groups and those of the songs."""

    music: str = field(length=(1, 4096), help="folder of what the checkpoint composed: SONG.mid")
    out: str = field(length=(1, 4096), help="checkpoint to write")
    width: int = field(low=1, high=1024, help="feature maps of the first layer")
    times: int = field(low=1, high=1000, help="timesteps at which each window is noised")
    steps: int = field(low=1, high=10**7, help="training steps")


@dataclass(frozen=True)
class Predicted:
    """Clean rolls as predicted from noised ones."""

    rolls: Tensor  # (N, C, 128, P) float16, probabilities
    t: Tensor  # (N,) long
    composed: Tensor  # (N,) float32, 1: of a composition, 0: of a song
    song: np.ndarray  # (N,) str


def fit_discriminator(cfg: DictConfig) -> int:
    """Predict, train, write."""
    check_among(DiscriminatorSettings, cfg)
    check_data(cfg.data, "data")
    checkpoint = open_checkpoint(cfg.checkpoint)
    if checkpoint.config.objective != "x0_posterior":
        found = checkpoint.config.objective
        raise InputError(f"{cfg.checkpoint} has objective={found}; a discriminator can only guide x0_posterior")
    composer = build_composer(cfg, checkpoint, discriminator=0)
    found = predicted(composer, prepared(cfg.data), Path(cfg.music), cfg.times, cfg.seed)
    discriminator, accuracy = trained(found, cfg.width, cfg.steps, cfg.seed)
    config = checkpoint.config
    sampling = replace(config.sampling, discriminator=cfg.compose.discriminator or 1.0)
    config = replace(config, discriminator_width=cfg.width, sampling=sampling)
    weights = all_weights(checkpoint.network.state_dict(), discriminator)
    save_checkpoint(cfg.out, {key: value.half() for key, value in weights.items()}, config)
    print("accuracy " + ", ".join(f"{value:.2f} at t={t}" for t, value in accuracy.items()))
    print(json.dumps({"out": cfg.out, "rolls": len(found.t), "songs": len(set(found.song)), "accuracy": accuracy}))
    return 0


def predicted(composer: Composer, cache: Cache, music: Path, times: int, seed: int) -> Predicted:
    """Predictions from all windows of the songs that `music` has a piece for, and of these pieces.

    Raises InputError if it has pieces for fewer than two.
    """
    files = {path.stem: path for path in music.glob("*.mid")}
    songs = [piece for piece in pieces(cache, "train", LONGEST) if piece.song in files]
    if len(songs) < 2:
        raise InputError(f"{music} has music for {len(songs)} training songs; give music= a folder of `diffbgm songs`")
    rng, levels = np.random.default_rng(seed), composer.sampler.timesteps(composer.schedule)
    rows = []
    for piece in tqdm(songs, "songs", disable=None):
        both = (piece.notes, read_midi(files[piece.song]).notes)
        for composed, notes in enumerate(both):
            steps = STEPS_PER_BEAT * len(piece.features.valid)
            whole = plan(steps, "joint")
            roll = encode_parts(notes, whole.length, composer.network.planes)
            for start in whole.starts:
                if start + STEPS_PER_SEGMENT <= steps:
                    for t in rng.choice(levels, min(times, len(levels)), replace=False):
                        window = roll[:, start : start + STEPS_PER_SEGMENT]
                        rows.append((_prediction(composer, piece, start, window, int(t), rng), t, composed, piece.song))
    rolls, t, composed, song = zip(*rows, strict=True)
    return Predicted(torch.cat(rolls), torch.tensor(t), torch.tensor(composed).float(), np.array(song))


def _prediction(
    composer: Composer, piece: Piece, start: int, window: np.ndarray, t: int, rng: np.random.Generator
) -> Tensor:
    """What the composer's network takes a noised window (C, 128, P) at step `start` of a piece for, (1, C, 128, P)."""
    beat = start // STEPS_PER_BEAT
    theme = no_theme(BEATS_PER_SEGMENT)
    theme[:, GROOVE] = groove_of(merged(window))
    features = piece.features[beat : beat + BEATS_PER_SEGMENT]
    place, knows = composer.device, composer.network.theme_condition
    told = Told(Rhythm(True).heard(theme) if knows else None)
    draws = torch.tensor([sample_number((int(rng.integers(2**31)),))], device=place)
    encoded = replace(composer.encode(features, plan(STEPS_PER_SEGMENT, "independent"), told), draw=draws)
    denoise = Denoiser(composer.network, composer.objective).conditioned(encoded, composer.settings.guidance or 1.0)
    x0, noise = torch.from_numpy(window).float()[None], torch.from_numpy(rng.standard_normal(window.shape, np.float32))
    at = torch.tensor([t], device=place)
    x = composer.schedule.q_sample(x0.to(place), at, noise[None].to(place))
    return composer.schedule.x0_from_eps(denoise(x, at), x, at).clamp(0, 1).half().cpu()


def trained(found: Predicted, width: int, steps: int, seed: int) -> tuple[Discriminator, dict[int, float]]:
    """A discriminator, and its accuracy on the songs that were held out by timestep."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(sorted(set(found.song)))
    held = np.isin(found.song, names[: max(1, len(names) // HELD_OUT)])
    kinds = [np.flatnonzero(~held & (found.composed.numpy() == kind)) for kind in (0, 1)]
    torch.manual_seed(seed)
    network = Discriminator(found.rolls.shape[1], width, DROP)
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps)
    for _ in tqdm(range(steps), "steps", disable=None):
        rows = np.concatenate([rng.choice(kind, BATCH // 2) for kind in kinds])
        moves = rng.integers(-MOVED, MOVED, BATCH, endpoint=True)
        rolls = torch.stack([found.rolls[row].roll(int(by), -1) for row, by in zip(rows, moves, strict=True)]).float()
        loss = F.binary_cross_entropy_with_logits(network(rolls, found.t[rows]), found.composed[rows])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
    network.eval()
    return network, _accuracy(network, found, np.flatnonzero(held))


@torch.no_grad()
def _accuracy(network: Discriminator, found: Predicted, rows: np.ndarray) -> dict[int, float]:
    """The share of the rows on whose side the network is, by timestep."""
    parts = [network(found.rolls[part].float(), found.t[part]) > 0 for part in torch.from_numpy(rows).split(BATCH)]
    right = torch.cat(parts) == (found.composed[rows] > 0)
    return {int(t): round(float(right[found.t[rows] == t].float().mean()), 3) for t in found.t[rows].unique()}


if __name__ == "__main__":
    sys.exit(run(fit_discriminator, "fit_discriminator"))
