"""The log of a run: log.jsonl with a line per step, a progress bar, and accelerate's trackers.

Numbers stay on the accelerator until `flush`, so that a step does not wait for them.
"""

import json
import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.training.boards import Boards


class Tracker:
    """Writes out/log.jsonl and the boards asked for; continues both after `step`, dropping what came beyond it."""

    def __init__(
        self, out: Path, step: int, steps: int, batch_size: int, boards: Sequence[str] = ("tensorboard",)
    ) -> None:
        self.board = Boards(boards, out, step)
        self.path = out / "log.jsonl"
        _truncate(self.path, step)
        self.bar = tqdm(total=steps, initial=step, unit="step", desc="train", disable=None)  # terminals only
        self.batch_size = batch_size
        self.since, self.counted = time.perf_counter(), step

    def write(self, step: int, rows: list[dict[str, float]], extra: Mapping[str, float]) -> None:
        """Append the rows that have come since the last call, the last one being `step`; `extra` goes to that row."""
        now = time.perf_counter()
        rate = self.batch_size * (step - self.counted) / max(now - self.since, 1e-9)
        self.since, self.counted = now, step
        for row in rows:
            row["segments_per_second"] = round(rate, 3)
        rows[-1].update(extra)
        with open(self.path, "a", encoding="utf-8") as file:
            file.writelines(json.dumps(_finite(row)) + "\n" for row in rows)
        named = {
            f"train/{n}" if n not in extra else n.replace("_", "/", 1): v for n, v in rows[-1].items() if n != "step"
        }
        self.board.log(named, step)
        self.bar.update(step - self.bar.n)
        self.bar.set_postfix(loss=f"{rows[-1]['loss']:.4f}", segments=f"{rate:.1f}/s", refresh=False)

    def pause(self) -> None:
        """Stop counting time as training until `resume`."""
        self.since -= time.perf_counter()

    def resume(self) -> None:
        """Count time as training again."""
        self.since += time.perf_counter()

    def previews(self, step: int, image: np.ndarray, sounds: list[np.ndarray], rate: int) -> None:
        """A picture of rolls, and their sound."""
        self.board.previews(step, image, sounds, rate)

    def close(self) -> None:
        """Write what is left."""
        self.bar.close()
        self.board.close()


def means(losses: list[Tensor], norms: list[Tensor]) -> Tensor:
    """(2, n) of an interval's losses and gradient norms, one transfer for all."""
    return torch.stack([torch.stack(losses), torch.stack([norm.to(losses[0]) for norm in norms])])


def read_log(path: str | Path) -> list[dict[str, float]]:
    """The rows of a log.jsonl; a last line that was cut short is left out."""
    rows = []
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return rows


def _truncate(path: Path, step: int) -> None:
    """Keep the lines up to `step`."""
    try:
        rows = read_log(path) if path.is_file() else []
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a log of this project; give another out=") from error
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step), encoding="utf-8")


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no nan."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}
