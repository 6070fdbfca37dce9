"""The log of a run: log.jsonl with one line per step, a progress bar, and accelerate's trackers."""

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
    """Writes out/log.jsonl and to the chosen trackers. Lines after `step`, where the run continues, are dropped."""

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
        """Append the rows since the last call. The last one is for `step` and gets `extra` as well."""
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
        """Exclude the time until `resume` from the training speed."""
        self.since -= time.perf_counter()

    def resume(self) -> None:
        """Include time in the training speed again."""
        self.since += time.perf_counter()

    def previews(self, step: int, image: np.ndarray, sounds: list[np.ndarray], rate: int) -> None:
        """Log a picture of rolls (3, H, W) and their audio (n,) at `rate` Hz."""
        self.board.previews(step, image, sounds, rate)

    def close(self) -> None:
        """Close the progress bar and the trackers."""
        self.bar.close()
        self.board.close()


def means(losses: list[Tensor], norms: list[Tensor]) -> Tensor:
    """Losses and gradient norms of an interval as one tensor (2, n), so that one transfer to the host suffices."""
    return torch.stack([torch.stack(losses), torch.stack([norm.to(losses[0]) for norm in norms])])


def read_log(path: str | Path) -> list[dict[str, float]]:
    """The rows of a log.jsonl, without an incomplete last line. Raises InputError if another line is not a row."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is not a log of this project; give another out=") from error
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            if number == len(lines):
                break
            row = None
        if not isinstance(row, dict) or type(row.get("step")) is not int:
            raise InputError(
                f"line {number} of {path} is not a row of a training log; move the file away or give another out="
            )
        rows.append(row)
    return rows


def _truncate(path: Path, step: int) -> None:
    """Keep only the lines up to `step`. Raises InputError if the file is not a log."""
    rows = read_log(path) if path.is_file() else []
    with atomic(path) as temporary:
        temporary.write_text("".join(json.dumps(row) + "\n" for row in rows if row["step"] <= step), encoding="utf-8")


def _finite(row: Mapping[str, float]) -> dict[str, float | None]:
    """The row with None for values that JSON cannot represent (NaN and infinity)."""
    return {name: value if math.isfinite(value) else None for name, value in row.items()}
