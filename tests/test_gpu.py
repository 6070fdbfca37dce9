"""Tests that need a GPU: run `python -m pytest -m gpu` on a CUDA machine; they are skipped elsewhere.

fp16 training and its resume, torch.compile, and sampling whose notes do not depend on how windows are batched.
"""

import json
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState

from diffbgm.app.cli import configure
from diffbgm.app.train import train
from diffbgm.generation.composer import Composer
from diffbgm.generation.request import Request
from diffbgm.generation.settings import ComposeSettings
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.models.network import build_network

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


def settings(out: Path, steps: int, *more: str) -> list[str]:
    """A run of the paper's network on generated songs, as long as asked for."""
    short = [f"trainer.steps={steps}", "trainer.batch_size=8", "trainer.validate_every=100", "trainer.log_every=1"]
    data = ["data=generated", f"data.cache={out.parent}/cache", "model.conditioner.project_visual=true"]
    quiet = ["trainer.validation_segments=16", "trainer.preview_every=100000", "trainer.checkpoint_every=100"]
    return ["experiment=paper", f"out={out}", *data, *short, *quiet, *more]


FP16 = ("trainer.precision=fp16", "trainer.lr=2.0e-4")


def trained(*given: str) -> bool:
    """Run the command in this process, whatever precision an earlier run of this process had."""
    AcceleratorState._reset_state(reset_partial_state=True)
    return train(configure("train", list(given))) == 0


def losses(out: Path) -> list[float]:
    lines = (out / "log.jsonl").read_text().splitlines()
    return [row["loss"] for line in lines if "loss" in (row := json.loads(line))]


def test_two_hundred_steps_in_fp16_learn_and_resume(tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert trained(*settings(whole, 200, *FP16))
    for steps in (100, 200):
        assert trained(*settings(parts, steps, *FP16))
    first, last = losses(whole)[:20], losses(whole)[-20:]
    assert sum(last) < 0.7 * sum(first)
    assert losses(parts)[-20:] == pytest.approx(last, rel=0.1)


def test_a_compiled_run_loses_as_a_plain_one(tmp_path: Path) -> None:
    for name, compiled in (("plain", "false"), ("compiled", "true")):
        assert trained(*settings(tmp_path / name, 10, f"trainer.compile={compiled}"))
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=2e-2)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16])
def test_the_shipped_checkpoint_composes_on_the_gpu_with_any_batching(dtype: torch.dtype | None) -> None:
    from diffbgm.datasets.cache import Cache
    from diffbgm.datasets.generated import GeneratedSongs
    from diffbgm.datasets.pieces import pieces
    from diffbgm.datasets.prepare import prepare

    cache = Cache.open(prepare(GeneratedSongs(count=4), Path(".cache/data"), 1))
    piece = pieces(cache, "val")[0]
    rolls = []
    for rows in (1, 2):
        composer = Composer(
            load_checkpoint("pretrained/diffbgm-lite.safetensors"),
            None,
            ComposeSettings(rows=rows),
            torch.device("cuda"),
            dtype,
        )
        *_, progress = composer.compose([Request(piece.features, (0,))])
        rolls.append(progress.rolls[0])
    assert torch.isfinite(rolls[0]).all()
    same = ((rolls[0] > 0.5) == (rolls[1] > 0.5)).float().mean()
    assert same > 0.99


def test_the_paper_s_network_fits_and_runs_at_full_size() -> None:
    model = configure("train", ["experiment=release", "data=bgm909"]).model
    plain = {"unet": dict(model.unet), "conditioner": {**model.conditioner, "visual_width": 512, "language_width": 768}}
    network = build_network(plain).cuda().eval()
    encoded = network.encode(_condition(4))
    with torch.no_grad(), torch.autocast("cuda", torch.float16):
        eps = network(torch.randn(4, 2, 128, 128, device="cuda"), torch.full((4,), 500, device="cuda"), encoded)
    assert eps.shape == (4, 2, 128, 128)
    assert torch.isfinite(eps).all()


def _condition(rows: int):
    from diffbgm.datasets.batch import Condition

    return Condition(
        torch.randn(rows, 32, 512), torch.randn(rows, 32, 768), torch.ones(rows, 32, dtype=torch.bool),
        torch.full((rows,), 16),
    ).to("cuda")  # fmt: skip
