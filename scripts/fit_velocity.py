"""Train the velocity network of music/velocity.py on POP909's pianists and measure it against rules.

    python scripts/fit_velocity.py data.root=POP909 [songs=300 epochs=8 seed=0 out=diffbgm/music/velocity.npz]

The target is a note's velocity in deviations of its song. Every song is shown twice, with its melody and bridge tracks
as the tune and with the highest line, so that the network can be used with either. Prints, for the validation
songs of the published split, the mean Spearman rank correlation of velocities with the network's, the rules' and flat
playing's answers, with the highest line and with the tracks, each with its 95 % bootstrap interval, then a JSON line.
"""

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from omegaconf import OmegaConf
from torch import nn

from diffbgm.datasets.pop909 import Pop909
from diffbgm.errors import InputError
from diffbgm.evaluation.report import Summary, mean_of, mean_text
from diffbgm.files import atomic
from diffbgm.music.density import spearman
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.parts import LEAD, by_highest_line
from diffbgm.music.velocity import DILATIONS, FEATURES, WEIGHTS, network_scores, note_features, rule_scores

WIDTH, TAPS = 64, 9
CHUNK = 512  # notes of a training example
LEADS = 2  # tracks MELODY and BRIDGE come first


@dataclass(frozen=True)
class Performed:
    """A song as it was played, sorted by onset and pitch, step 0 a bar line."""

    notes: Notes
    lead: np.ndarray  # (N,) bool, of the melody and the bridge
    target: np.ndarray  # (N,) velocities, mean 0 and deviation 1


def read_songs(root: str, part: str, most: int) -> list[Performed]:
    """The first `most` usable songs of one part of the published split."""
    source = Pop909(root)
    names = [name for name in source.split(list(source.songs()))[part] if name not in source.excluded()]
    songs = []
    for name in names[:most]:
        try:
            song = source.read(name)
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
            continue
        performed = as_performed(song.notes, int(song.downbeats[0]) if len(song.downbeats) else 0)
        if performed is not None:
            songs.append(performed)
    return songs


def as_performed(notes: Notes, first_bar: int) -> Performed | None:
    """A song's notes from its first bar line on; None where all velocities are alike."""
    notes = notes.shifted(-first_bar * STEPS_PER_BEAT)
    notes = notes.select(notes.onset >= 0).sorted()
    spread = float(notes.velocity.std()) if len(notes) else 0.0
    if spread < 1:
        return None
    return Performed(notes, notes.track < LEADS, (notes.velocity - notes.velocity.mean()) / spread)


def highest(notes: Notes) -> np.ndarray:
    """The highest line (N,) bool."""
    return by_highest_line(notes) == LEAD


class Network(nn.Module):
    """Two convolutions over notes and a linear layer; `network_scores` is the same in numpy."""

    def __init__(self) -> None:
        super().__init__()
        widths = (FEATURES, WIDTH, WIDTH)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, TAPS, padding=TAPS // 2 * dilation, dilation=dilation)
            for before, after, dilation in zip(widths, widths[1:], DILATIONS, strict=False)
        )
        self.out = nn.Linear(WIDTH, 1)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """(B, N, F) standardised -> (B, N)."""
        hidden = features.transpose(1, 2)
        for layer in self.layers:
            hidden = nn.functional.dropout(torch.relu(layer(hidden)), 0.1, self.training)
        return self.out(hidden.transpose(1, 2))[..., 0]


def chunks(songs: Sequence[Performed], mean: np.ndarray, scale: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Stretches of CHUNK notes of all songs under both tunes: (B, CHUNK, F) and their targets (B, CHUNK)."""
    features, targets = [], []
    for song in songs:
        for lead in (song.lead, highest(song.notes)):
            table = (note_features(song.notes, lead) - mean) / scale
            for start in range(0, len(table) - CHUNK + 1, CHUNK):
                features.append(table[start : start + CHUNK])
                targets.append(song.target[start : start + CHUNK])
    return torch.from_numpy(np.stack(features)), torch.from_numpy(np.stack(targets).astype(np.float32))


def train(songs: Sequence[Performed], epochs: int, seed: int) -> dict[str, np.ndarray]:
    """The trained network's arrays, as `velocity.npz` holds them."""
    torch.manual_seed(seed)
    tables = np.concatenate([note_features(song.notes, highest(song.notes)) for song in songs])
    mean, scale = tables.mean(0), np.maximum(tables.std(0), 1e-3)
    features, targets = chunks(songs, mean, scale)
    network = Network()
    batch = 32
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=1e-2)
    steps = epochs * (len(features) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps)
    for epoch in range(epochs):
        losses = []
        for rows in torch.randperm(len(features))[: len(features) // batch * batch].split(batch):
            loss = nn.functional.smooth_l1_loss(network(features[rows]), targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1}: loss {np.mean(losses):.4f}", flush=True)
    arrays = {"mean": mean, "scale": scale}
    for number, layer in enumerate(network.layers):
        arrays |= {f"kernel{number}": layer.weight.detach().numpy(), f"bias{number}": layer.bias.detach().numpy()}
    return arrays | {"out": network.out.weight.detach().numpy()[0], "level": network.out.bias.detach().numpy()}


def correlation(songs: Sequence[Performed], player: Callable[[Performed], np.ndarray]) -> Summary:
    """Mean Spearman correlation over songs of what was played with a player's scores; flat playing has 0."""
    return mean_of(spearman(player(song), song.target) or 0.0 for song in songs)


def main() -> int:
    """Train, measure and write the weights."""
    defaults = {"data": {"root": None}, "songs": 300, "epochs": 8, "seed": 0, "out": str(WEIGHTS)}
    cfg = OmegaConf.merge(defaults, OmegaConf.from_cli())
    begin = time.perf_counter()
    validation = read_songs(cfg.data.root, "val", 10**6)
    training = read_songs(cfg.data.root, "train", cfg.songs)
    print(f"{len(training)} training and {len(validation)} validation songs in {time.perf_counter() - begin:.0f} s")
    arrays = {name: array.astype(np.float16) for name, array in train(training, cfg.epochs, cfg.seed).items()}
    network = {name: array.astype(np.float32) for name, array in arrays.items()}
    players: dict[str, Callable[[Performed], np.ndarray]] = {
        "network, highest line": lambda s: network_scores(note_features(s.notes, highest(s.notes)), network),
        "network, tracks": lambda s: network_scores(note_features(s.notes, s.lead), network),
        "rules, highest line": lambda s: rule_scores(s.notes, highest(s.notes)),
        "rules, tracks": lambda s: rule_scores(s.notes, s.lead),
        "flat": lambda s: np.zeros(len(s.notes)),
    }
    results = {name: correlation(validation, player) for name, player in players.items()}
    with atomic(cfg.out) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)
    for name, result in results.items():
        print(f"{name:24s} {mean_text(result)}")
    print(json.dumps({"results": results, "training_songs": len(training), "seconds": time.perf_counter() - begin}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
