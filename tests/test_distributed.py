"""Two processes with the same global batch train like one process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_run import SHIPPED, losses, run, settings

from diffbgm.training.tracking import read_log

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]


def test_two_gloo_processes_equal_one(tmp_path: Path):
    """20 steps in float32: every loss and gradient norm within 1e-4, and validation too, shared out between them."""
    more = [*SHIPPED, "trainer.steps=20", "trainer.validate_every=10", "trainer.validation_segments=20"]
    one = run(tmp_path / "one", tmp_path / "cache", *more)
    given = settings(tmp_path / "two", tmp_path / "cache", *more)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*launch, str(ROOT / "train.py"), *given], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    two = read_log(tmp_path / "two" / "log.jsonl")
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=1e-4)
    for key in ("grad_norm", "val_loss", "val_loss_high", "val_loss_low"):
        assert [row.get(key, 0) for row in two] == pytest.approx([row.get(key, 0) for row in one], abs=1e-4)
