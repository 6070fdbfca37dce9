"""train.py: the files of a run, what it learns, and its messages about mistakes."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from omegaconf import OmegaConf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import SHIPPED, losses, run, settings, start

from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.models.config import FeaturesConfig
from diffbgm.training import state as states
from diffbgm.training.tracking import read_log
from diffbgm.training.trainer import Trainer


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, cache: Path) -> Path:
    """A run of six steps with validation, previews and checkpoints."""
    out = tmp_path_factory.mktemp("run")
    run(out, cache, "trainer.steps=6", "trainer.validate_every=3", "trainer.preview_every=6", "sampler.steps=2")
    return out


def test_log_has_a_line_a_step(finished: Path):
    rows = [json.loads(line) for line in (finished / "log.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert all({"step", "loss", "lr", "grad_norm", "segments_per_second"} <= set(row) for row in rows)
    assert ["val_loss" in row for row in rows] == [False, False, True, False, False, True]
    assert {"val_loss_high", "val_loss_low", "preview_notes", "preview_recall"} <= set(rows[-1])
    assert rows[0]["lr"] == pytest.approx(2e-4)  # a tenth of the way through the warm-up


def test_config_checkpoints_and_state_are_there(finished: Path):
    assert OmegaConf.load(finished / "config.yaml").trainer.steps == 6
    names = sorted(str(path.relative_to(finished)) for path in (finished / "checkpoints").rglob("*.*"))
    assert names == [
        "checkpoints/best.safetensors",
        "checkpoints/last.safetensors",
        "checkpoints/step-00000006/state.safetensors",
    ]


def test_last_checkpoint_holds_the_averaged_weights_and_all_that_sampling_needs(finished: Path):
    checkpoint = load_checkpoint(finished / "checkpoints" / "last.safetensors")
    config = checkpoint.config
    assert config.objective == "x0_logits"
    assert config.features == FeaturesConfig("lite", 9, 384)
    assert config.window == 8
    assert config.sampling.guidance == 5.0
    assert config.training["step"] == 6
    assert config.training["segments"] == 24
    state = safetensors.torch.load_file(states.newest(finished / "checkpoints"))
    weights = checkpoint.network.state_dict()
    assert all(torch.equal(value, state[f"average.{key}"]) for key, value in weights.items())
    assert any(not torch.equal(value, state[f"network.{key}"]) for key, value in weights.items())


def test_tensorboard_has_curves_pictures_and_sound(finished: Path):
    board = EventAccumulator(str(finished / "tensorboard"))
    board.Reload()
    tags = board.Tags()
    curves = {"train/loss", "train/lr", "train/grad_norm", "train/segments_per_second", "val/loss", "val/loss_high"}
    assert curves <= set(tags["scalars"])
    assert "preview/rolls" in tags["images"]
    assert "preview/0" in tags["audio"]


def test_a_finished_run_has_nothing_left_to_do(finished: Path, cache: Path):
    before = (finished / "log.jsonl").read_text()
    run(finished, cache, "trainer.steps=6")
    assert (finished / "log.jsonl").read_text() == before


def test_accumulating_pieces_is_the_same_step(tmp_path: Path, cache: Path):
    whole = run(tmp_path / "whole", cache, *SHIPPED, "trainer.steps=3")
    pieces = run(tmp_path / "pieces", cache, *SHIPPED, "trainer.steps=3", "trainer.accumulate=2")
    assert [row["loss"] for row in pieces] == pytest.approx([row["loss"] for row in whole], abs=1e-6)
    assert [row["grad_norm"] for row in pieces] == pytest.approx([row["grad_norm"] for row in whole], rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["experiment=smoke", "trainer.stepz=3"], "unknown setting 'trainer.stepz'; did you mean 'trainer.steps'?"),
        (["experiment=smok"], "unknown option 'smok' for experiment; choose one of"),
        (["experiment=smoke", "model=huge"], "unknown option 'huge' for model"),
        (["experiment=my_midi"], "no value for data.root"),
        (["experiment=my_midi", "data.root=/nowhere/at/all"], "/nowhere/at/all"),
        (["experiment=smoke", "trainer.precision=fp8"], "trainer.precision=fp8 cannot be used; give one of auto"),
        (["experiment=smoke", "trainer.batch_size=9", "trainer.accumulate=2"], "does not divide"),
        (["experiment=smoke", "trainer.optimizer=sgd"], "trainer.optimizer=sgd cannot"),
        (["experiment=smoke", "trainer.attention=fast"], "trainer.attention=fast cannot"),
        (["experiment=smoke", "objective=eps"], "objective=eps needs"),
        (["experiment=smoke", "out=/dev/null/run"], "cannot write"),
    ],
)
def test_mistakes_are_answered_in_one_sentence(arguments, words, tmp_path: Path, cache: Path, capsys):
    given = [f"out={tmp_path}", f"data.cache={cache}", "trainer.steps=1", *arguments]
    assert start(*given) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: ")
    assert words in message


def test_another_model_is_refused_with_the_difference(finished: Path, cache: Path, capsys):
    changed = settings(finished, cache, "trainer.steps=9", "model.unet.channels=16", "selector=video")
    before = (finished / "config.yaml").read_bytes()
    assert start(*changed) == 1
    assert (finished / "config.yaml").read_bytes() == before, "a refused start leaves the run as it was"
    message = capsys.readouterr().err
    assert "model.unet.channels: 8 -> 16" in message
    assert "model.conditioner.selector.strategy: language_video -> video" in message


def test_nan_stops_and_leaves_the_last_good_checkpoint(tmp_path: Path, cache: Path, capsys, monkeypatch):
    step = Trainer._step

    def poisoned(self, number, batch, draws):
        loss, norm, rate = step(self, number, batch, draws)
        return (loss * float("nan") if number == 5 else loss), norm, rate

    monkeypatch.setattr(Trainer, "_step", poisoned)
    given = settings(tmp_path, cache, "trainer.steps=8", "trainer.checkpoint_every=2")
    assert start(*given) == 1
    message = capsys.readouterr().err.splitlines()[-1]
    assert "the loss at step 5 is nan" in message
    assert "step-00000004 is intact" in message
    assert states.read_about(states.newest(tmp_path / "checkpoints"))["step"] == 4
    assert load_checkpoint(tmp_path / "checkpoints" / "last.safetensors").config.training["step"] == 4


def test_a_full_disk_while_saving_keeps_the_old_checkpoint(tmp_path: Path, cache: Path, capsys, monkeypatch):
    run(tmp_path, cache, "trainer.steps=2")
    old = {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*.safetensors")}

    def full(tensors, path, metadata):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states.safetensors.torch, "save_file", full)
    assert start(*settings(tmp_path, cache, "trainer.steps=3")) == 1
    assert "No space left on device" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in (tmp_path / "checkpoints").rglob("*.safetensors")} == old


def test_further_datasets_are_validated_by_name(tmp_path: Path, cache: Path):
    more = ["trainer.steps=1", "+data@also.other=generated", "also.other.data_seed=5", f"also.other.cache={cache}"]
    row = run(tmp_path, cache, *more)[-1]
    assert row["val_loss_generated"] != row["val_loss_other"]
    assert row["val_loss"] == pytest.approx((row["val_loss_generated"] + row["val_loss_other"]) / 2)


def test_overfit_one_learns_its_batch_by_heart(tmp_path: Path):
    assert start("experiment=overfit_one", f"out={tmp_path}", f"data.cache={tmp_path}") == 0
    rows = read_log(tmp_path / "log.jsonl")
    assert np.mean([row["loss"] for row in rows[-10:]]) < 0.02 * rows[0]["loss"]
    assert rows[-1]["preview_recall"] > 0.95


def test_weights_that_are_no_numbers_are_never_saved(tmp_path: Path, cache: Path, capsys, monkeypatch):
    monkeypatch.setattr("diffbgm.training.trainer.learning_rate", lambda *_: 1e38)
    wild = ("trainer.warmup=0", "trainer.clip=1e9", "trainer.checkpoint_every=1")
    assert start(*settings(tmp_path / "run", cache, *wild)) == 1
    error = capsys.readouterr().err
    assert "training stops and nothing has been saved yet; run again with a lower trainer.lr" in error
    assert not list((tmp_path / "run" / "checkpoints").glob("**/*.safetensors"))


def test_init_starts_from_the_weights_of_a_checkpoint(tmp_path: Path, cache: Path, finished: Path):
    """With a learning rate of zero the averaged weights do not change; new layers keep their initial values."""
    source, folder = finished / "checkpoints" / "last.safetensors", tmp_path / "pipe"  # a folder, as a hub has it
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(source.read_bytes())
    still = ["trainer.steps=3", "trainer.lr=0", "trainer.weight_decay=0", f"init={folder}"]
    run(tmp_path, cache, *still, "model.unet.self_condition=true")
    before, after = (load_checkpoint(path) for path in (source, tmp_path / "checkpoints" / "last.safetensors"))
    assert after.config.training["init"] == before.sha256
    now = after.network.state_dict()
    assert not now.pop("unet.estimate.weight").any()
    for key, value in before.network.state_dict().items():
        torch.testing.assert_close(now.pop(key), value)
    assert not now


def test_init_of_another_architecture_is_one_sentence(tmp_path: Path, cache: Path, finished: Path, capsys):
    source = finished / "checkpoints" / "last.safetensors"
    assert start(*settings(tmp_path, cache, f"init={source}", "model.unet.channels=16")) == 1
    assert "has another architecture" in capsys.readouterr().err


def test_init_with_another_mask_or_window_is_refused_with_the_difference(
    tmp_path: Path, cache: Path, finished: Path, capsys
):
    source = finished / "checkpoints" / "last.safetensors"
    changes = ["data.window=16", "model.unet.mask_self_attention=true"]
    assert start(*settings(tmp_path, cache, f"init={source}", *changes)) == 1
    error = capsys.readouterr().err
    assert "model.unet.mask_self_attention=false, here true; data.window=8, here 16" in error
    assert not list(tmp_path.glob("checkpoints/*"))


def test_the_shipped_recipe_resumes_exactly_and_needs_its_init_only_once(
    tmp_path: Path, cache: Path, finished: Path, capsys
):
    whole, parts, init = tmp_path / "whole", tmp_path / "parts", tmp_path / "init.safetensors"
    init.write_bytes((finished / "checkpoints" / "last.safetensors").read_bytes())
    run(whole, cache, *SHIPPED, f"init={init}", "trainer.steps=8")
    run(parts, cache, *SHIPPED, f"init={init}", "trainer.steps=4")
    init.unlink()
    run(parts, cache, *SHIPPED, f"init={init}", "trainer.steps=8")
    assert losses(parts) == losses(whole)
    ends = [load_checkpoint(path / "checkpoints" / "last.safetensors").config.training for path in (whole, parts)]
    assert ends[0]["init"] == ends[1]["init"]
    assert start(*settings(parts, cache, *SHIPPED, "schedule.roll_scale=1", "trainer.steps=9")) == 1
    assert "schedule.roll_scale: 2.0 -> 1.0" in capsys.readouterr().err


def test_a_temperature_that_the_objective_cannot_use_is_refused_before_training(tmp_path: Path, cache: Path, capsys):
    given = ["objective=eps", "model.unet.pitches=[0,128]", "sampling.temperature=0.8"]
    assert start(*settings(tmp_path, cache, *given)) == 1
    assert "x0_posterior" in capsys.readouterr().err
