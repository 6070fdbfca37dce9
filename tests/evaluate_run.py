"""Two pieces in a folder and the command that evaluates them, for the tests of evaluate.py."""

import json

import numpy as np

from diffbgm.app.cli import run
from diffbgm.app.evaluate import evaluate
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

FAST = "metrics=[exact,rhythm,texture,musdr]"


def piece(bars: int, seed: int = 0) -> Notes:
    """Six random notes per bar."""
    rng = np.random.default_rng(seed)
    onset = np.concatenate([16 * bar + np.sort(rng.permutation(16)[:6]) for bar in range(bars)])
    return Notes(onset, rng.integers(48, 84, len(onset)), onset * 0 + 2, onset * 0 + 80, onset * 0)


def two_pieces(tmp_path):
    """The folder, with two pieces in `generated`."""
    for seed, name in enumerate(("one", "two")):
        write_midi(piece(16, seed), tmp_path / "generated" / f"{name}.mid")
    return tmp_path


def command(folder, *arguments: str) -> int:
    return run(evaluate, "evaluate", [f"generated={folder}/generated", f"out={folder}/out", "workers=1", *arguments])


def metrics(folder) -> dict:
    return json.loads((folder / "out" / "metrics.json").read_text())
