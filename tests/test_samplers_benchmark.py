"""The samplers benchmark on a tiny checkpoint: its rows equal the composer's music and the real segments."""

import json

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from tiny_checkpoint import save_tiny_checkpoint

from benchmarks.samplers import bench_samplers, restored
from benchmarks.samplers_table import overlap, tables
from diffbgm.app.cli import configure, run
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.diffusion.samplers import build_sampler
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.generation.composer import Composer, ComposeSettings
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.music.notes import STEPS_PER_SEGMENT
from diffbgm.music.pianoroll import decode

pytestmark = pytest.mark.slow

SEGMENTS = 3


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """call(*overrides) -> exit code, with 4 steps in the paper's place; call.out is the JSON file."""
    folder = tmp_path_factory.mktemp("bench")
    checkpoint = save_tiny_checkpoint(folder / "tiny.safetensors")

    def bench(*overrides: str) -> int:
        given = [f"checkpoint={checkpoint}", f"out={bench.out}", f"data.cache={folder}/data", f"segments={SEGMENTS}"]
        given += ["data=generated", "device=cpu", "structure=false", "speed=0", "samplers.ddpm_1000.sampler.steps=4"]
        return run(bench_samplers, "bench_samplers", [*given, *overrides])

    bench.checkpoint, bench.out, bench.cache = checkpoint, folder / "bench.json", folder / "data"
    return bench


def test_rows_are_the_composers_music_and_the_real_segments(call):
    assert call("only=[ddpm_1000]") == 0
    bench = json.loads(call.out.read_text())
    cache = prepare(instantiate(configure("bench_samplers", ["data=generated"]).data.source), call.cache, 1)
    batch = SegmentLoader(cache, "val", SEGMENTS, limit=SEGMENTS).batch(0, 0)
    real = bench["rows"]["real"]["numbers"]
    for name in ("pche", "gps", "onsets", "polyphony"):
        numbers = [segment_numbers(decode(roll), STEPS_PER_SEGMENT) for roll in batch.roll.numpy()]
        expected = np.mean([getattr(number, name) for number in numbers])
        assert real[name]["mean"] == pytest.approx(expected)
    assert real["follows"]["mean"] == pytest.approx(1)

    sampler = build_sampler("ddpm", 4, clip=(0, 1))
    composer = Composer(load_checkpoint(call.checkpoint), sampler, ComposeSettings(), torch.device("cpu"))
    *_, progress = composer.segments(batch.condition, [(0, row) for row in range(SEGMENTS)])
    row = bench["rows"]["ddpm_1000"]
    for got, roll in zip(restored(row["music"]), progress.rolls, strict=True):
        expected = composer.notes(roll)
        assert len(expected) > 0
        for name in ("onset", "pitch", "duration", "velocity", "track"):
            np.testing.assert_array_equal(getattr(got, name), getattr(expected, name))
    onsets = [segment_numbers(composer.notes(roll), STEPS_PER_SEGMENT).onsets for roll in progress.rolls]
    assert row["numbers"]["onsets"]["mean"] == pytest.approx(np.mean(onsets))
    assert row["evaluations"] == 8, "four steps, each with and without the condition"


def test_finished_rows_stay_and_others_join_them(call, capsys):
    assert call("only=[ddpm_1000]") == 0
    before = json.loads(call.out.read_text())["rows"]["ddpm_1000"]
    more = "+samplers.mine={sampler:{name:dpm,steps:3,sde:true},compose:{guidance:3}}"
    assert call("only=[ddpm_1000,mine]", more, "structure=true") == 0
    rows = json.loads(call.out.read_text())["rows"]
    assert rows["ddpm_1000"]["seconds"] == before["seconds"], "it was not composed again"
    assert "si" in rows["ddpm_1000"]["numbers"], "what is asked for later is measured later"
    assert rows["mine"]["evaluations"] == 2 * 3
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(last["rows"]) == ["real", "ddpm_1000", "mine"]
    assert call("only=[ddpm_1000]", "seed=1") == 1
    assert "rows of another seed" in capsys.readouterr().err
    assert call("only=[ddpm_1000]", "+samplers.ddpm_1000.precision=bf16") == 1
    assert "a row ddpm_1000 of other settings" in capsys.readouterr().err
    assert call("only=[euler]") == 1
    assert "no row euler" in capsys.readouterr().err


def test_the_cheapest_sampler_whose_intervals_overlap():
    def row(seconds, low):
        numbers = {name: {"mean": low, "ci95": [low, low + 1], "n": 2} for name in ("pche", "gps", "onsets")}
        return {"seconds": seconds, "evaluations": 2, "numbers": numbers}

    rows = {"paper": row(8.0, 0.0), "far": row(1.0, 1.5), "near": row(2.0, 0.9), "slow": row(4.0, 0.0)}
    text = tables({"segments": 2, "rows": rows, "paper_seconds": 8.0}, "paper")
    assert "overlap the paper row's: near" in text
    assert "| 2.000 | 2 | 1/4.0 | all |" in text
    assert "| 1.000 | 2 | 1/8.0 | none |" in text
    assert overlap([0, 1], [1, 2])
    assert not overlap([0, 1], [1.1, 2])
    assert not overlap(None, [0, 1])
