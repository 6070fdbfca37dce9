"""The picture of a run's loss."""

import json
from pathlib import Path

import numpy as np
import pytest

from scripts.draw_loss import column, main, running


def test_a_log_becomes_a_picture(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": 1 / step} for step in range(1, 31)]
    rows[9]["val_loss"] = 0.2
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([str(tmp_path), str(tmp_path / "figures" / "loss.png")]) == 0
    assert (tmp_path / "figures" / "loss.png").read_bytes().startswith(b"\x89PNG")
    steps, values = column(tmp_path / "log.jsonl", "val_loss")
    assert (steps.tolist(), values.tolist()) == ([10], [0.2])


def test_the_running_mean_is_over_the_last_tenth() -> None:
    means = running(np.arange(1.0, 31))
    assert means[[0, 8, 18]].tolist() == [1, 9, 19]
    assert means[[19, 29]].tolist() == pytest.approx([19.5, 29])


def test_a_folder_without_a_run_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), str(tmp_path / "loss.png")]) == 1
    assert "does not exist; give the out= of a training run" in capsys.readouterr().err
