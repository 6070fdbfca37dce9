"""A run that is killed and resumed ends with the same losses and weights as an uninterrupted one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from tiny_run import losses, run, settings, start

from diffbgm.app import train as entry
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.training import state as states
from diffbgm.training.trainer import Trainer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
STEPS = "trainer.steps=14"


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A run from its first step to its last. An epoch is six steps, so that two of its ends are crossed."""
    out = tmp_path_factory.mktemp("unbroken")
    run(out, cache, STEPS, "trainer.validate_every=5")
    return out


def weights(out: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(out / "checkpoints" / "last.safetensors").network.state_dict()


def assert_same(out: Path, unbroken: Path) -> None:
    assert losses(out) == losses(unbroken)
    assert all(torch.equal(value, weights(unbroken)[key]) for key, value in weights(out).items())


def test_sigterm_saves_leaves_and_goes_on(tmp_path: Path, cache: Path, unbroken: Path, monkeypatch, caplog):
    step = Trainer._step

    def interrupted(self, number, batch, draws):
        if number == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return step(self, number, batch, draws)

    monkeypatch.setattr(Trainer, "_step", interrupted)
    assert start(*settings(tmp_path, cache, STEPS)) == entry.STOPPED
    assert "stopped by SIGTERM: step 8 is saved; the same command resumes from it" in caplog.text
    assert len(losses(tmp_path)) == 8
    monkeypatch.undo()
    run(tmp_path, cache, STEPS)
    assert_same(tmp_path, unbroken)


def test_a_killed_run_goes_on_as_if_nothing_had_happened(tmp_path: Path, cache: Path, unbroken: Path):
    """SIGKILL at whatever step it has reached; a checkpoint every third step; lines beyond it are logged again."""
    given = settings(tmp_path, cache, STEPS, "trainer.checkpoint_every=3")
    command = [sys.executable, str(ROOT / "train.py"), *given]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    log = tmp_path / "log.jsonl"
    deadline = time.monotonic() + 240
    while not (log.is_file() and log.read_text().count("\n") >= 5):
        assert process.poll() is None, process.stderr and process.stderr.read().decode()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    reached = log.read_text().count("\n")
    newest = states.newest(tmp_path / "checkpoints")
    assert newest is not None
    assert states.read_about(newest)["step"] <= reached < 14
    run(tmp_path, cache, STEPS)
    assert_same(tmp_path, unbroken)
