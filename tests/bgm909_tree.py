"""A tiny tree in the released layout of BGM909, with known contents."""

import pickle
from pathlib import Path

import numpy as np
import torch

from diffbgm.datasets.bgm909 import CAPTIONS, SHOTS, SONGS, VISUAL


def write_song(
    root: Path, name: str, beats: int = 45, rows: int = 100, caption_rows: int = 13, shots: int = 4, seed: int = 0
) -> None:
    """One song: three tracks of notes, a downbeat every four beats, random features, even shots of 25 frames."""
    rng = np.random.default_rng([seed, int(name)])
    for folder in (SONGS, VISUAL, CAPTIONS, SHOTS):
        (root / folder).mkdir(parents=True, exist_ok=True)
    tracks = np.empty(3, object)
    tables = np.empty(3, object)
    downbeats = np.arange(0, 4 * beats, 16)
    for k in range(3):
        onsets = np.arange(k, 4 * beats, 3 + k)
        track = [[int(t), int(rng.integers(30, 90)), int(rng.integers(1, 9)), 80, 0] for t in onsets]
        tracks[k] = track
        tables[k] = {int(db): int(np.searchsorted(onsets, db)) for db in downbeats}
    whole = np.arange(len(downbeats)) + 8 <= len(downbeats)
    chord = rng.integers(0, 2, (beats, 14))
    np.savez(
        root / SONGS / f"{name}.npz",
        notes=tracks,
        start_table=tables,
        db_pos=downbeats,
        db_pos_filter=whole,
        chord=chord,
    )
    torch.save(torch.from_numpy(rng.standard_normal((rows, 512), np.float32)), root / VISUAL / f"{name}.pth")
    np.save(root / CAPTIONS / f"{name}.npy", rng.standard_normal((caption_rows, 768), np.float32))
    lines = [f"{25 * k} {25 * k + 24}\n" for k in range(shots)]
    (root / SHOTS / f"{name}_scenes.txt").write_text("".join(lines))


def write_split(path: Path, train: list[str], val: list[str]) -> None:
    """The release's pickle: two lists of file names."""
    content = ([f"{name}.npz" for name in train], [f"{name}.npz" for name in val])
    path.write_bytes(pickle.dumps(content))
