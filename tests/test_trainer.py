"""The parts of training, each against a known answer."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from diffbgm.datasets.batch import Batch, Condition
from diffbgm.diffusion.schedule import sqrt_linear
from diffbgm.errors import InputError
from diffbgm.models.denoiser import Denoiser
from diffbgm.music.notes import Notes
from diffbgm.training import state as states
from diffbgm.training.draws import draw, fixed
from diffbgm.training.optimize import MovingAverage, build_optimizer, learning_rate
from diffbgm.training.preview import picture, recalled
from diffbgm.training.tracking import Tracker, read_log
from diffbgm.training.validation import Validation

SHAPE = (2, 4, 4)
INPUT = torch.linspace(-1, 1, 48).reshape(1, 3, 4, 4)


def numbers(step: int, rows: range, batch: int = 8, **options):
    settings = {"timesteps": 1000, "drop_probability": 0.1, "stratified": True} | options
    return draw(3, step, rows, batch, SHAPE, **settings)


def test_a_row_has_the_same_numbers_on_any_process():
    whole, second = numbers(5, range(8)), numbers(5, range(4, 8))
    assert torch.equal(whole.eps[4:], second.eps)
    assert torch.equal(whole.t[4:], second.t)
    assert torch.equal(whole.drop[4:], second.drop)


def test_steps_and_rows_have_numbers_of_their_own():
    first, second = numbers(1, range(8)), numbers(2, range(8))
    every = torch.cat([first.eps, second.eps]).flatten(1)
    correlation = torch.corrcoef(every) - torch.eye(16)
    assert correlation.abs().max() < 0.9
    assert len({tuple(row.tolist()) for row in every}) == 16


def test_noise_is_standard_normal_and_conditions_are_dropped_as_often_as_asked():
    drawn = draw(0, 1, range(2000), 2000, (2, 8, 8), 1000, 0.1, stratified=False)
    assert drawn.eps.mean().abs() < 0.01
    assert drawn.eps.std() == pytest.approx(1, abs=0.01)
    assert drawn.drop.float().mean() == pytest.approx(0.1, abs=0.02)
    assert drawn.t.min() >= 0
    assert drawn.t.max() <= 999
    assert drawn.t.float().mean() == pytest.approx(499.5, abs=20)


def test_stratified_timesteps_fall_one_into_each_stratum():
    t = numbers(7, range(8)).t.sort().values
    gaps = t.diff()
    assert gaps.min() >= 124
    assert gaps.max() <= 126


def test_learning_rate_has_the_shapes_its_names_promise():
    def rate(step, decay):
        return learning_rate(step, 100, 1.0, 10, decay)

    assert rate(5, "constant") == 0.5
    assert rate(10, "cosine") == 1.0
    assert rate(55, "cosine") == pytest.approx(0.5)
    assert rate(100, "cosine") == pytest.approx(0.0)
    assert rate(80, "tail") == 1.0
    assert rate(91, "tail") == pytest.approx(0.5)
    assert rate(100, "tail") == pytest.approx(0.05)
    with pytest.raises(InputError, match=r"trainer\.decay"):
        rate(50, "sine")


def test_unknown_optimizer_is_named():
    with pytest.raises(InputError, match="sgd"):
        build_optimizer(nn.Linear(1, 1), "sgd", 1.0, (0.9, 0.99), 0.0)


def test_moving_average_follows_its_formula():
    network = nn.Linear(1, 1)
    nn.init.zeros_(network.weight)
    average, same = MovingAverage(network, 0.9), MovingAverage(network, 0.0)
    nn.init.ones_(network.weight)
    average.update(network, 1)  # decay (1 + 1) / (10 + 1)
    same.update(network, 1)
    assert average.network.weight.item() == pytest.approx(1 - 2 / 11)
    assert same.network.weight.item() == 1
    average.update(network, 1000)  # decay 0.9
    assert average.network.weight.item() == pytest.approx(1 - 0.9 * 2 / 11)


def a_state(steps: int) -> states.RunState:
    """A convolution in channels_last after `steps` steps."""
    torch.manual_seed(0)
    network, average = (nn.Conv2d(3, 2, 2).to(memory_format=torch.channels_last) for _ in range(2))
    optimizer = build_optimizer(network, "adamw", 0.1, (0.9, 0.99), 0.01)
    for _ in range(steps):
        network(INPUT).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()
    return states.RunState(network, average, optimizer)


def test_state_comes_back_whole(tmp_path: Path):
    before, after = a_state(3), a_state(0)
    config = {"model": {"width": 3}}
    path = states.save_state(tmp_path, 3, before, config, best=0.5)
    assert states.newest(tmp_path) == path
    assert states.load_state(path, after) == {"step": 3, "best": 0.5, "scaler": None, "config": config}
    for state in (before, after):
        state.network(INPUT).square().sum().backward()
        state.optimizer.step()
    assert torch.equal(before.network.weight, after.network.weight)
    assert torch.equal(before.average.weight, after.average.weight)


def test_a_full_disk_leaves_the_old_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state = a_state(1)
    old = states.save_state(tmp_path, 1, state, {}, math.inf)

    def full(tensors, path, metadata):
        Path(path).write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(states.safetensors.torch, "save_file", full)
    with pytest.raises(InputError, match="No space left on device; earlier checkpoints are complete"):
        states.save_state(tmp_path, 2, state, {}, math.inf)
    assert states.newest(tmp_path) == old
    assert states.load_state(old, a_state(0))["step"] == 1
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [old]


def test_a_state_cut_short_is_named(tmp_path: Path):
    path = states.save_state(tmp_path, 1, a_state(1), {}, math.inf)
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(InputError, match="not a complete training state"):
        states.load_state(path, a_state(0))


def test_only_the_newest_states_are_kept(tmp_path: Path):
    for step in (5, 100, 20):
        states.save_state(tmp_path, step, a_state(1), {}, math.inf)
    states.retain(tmp_path, 2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000020", "step-00000100"]


def test_differences_name_every_leaf_that_changed():
    before = {"model": {"channels": 32, "pack": [4, 2]}, "objective": "eps"}
    now = {"model": {"channels": 64, "pack": [4, 2], "new_option": 1}, "objective": "v"}
    assert states.differences(before, now) == ["model.channels: 32 -> 64", "objective: eps -> v"]
    assert states.differences(before, before) == []


class TimestepLoss:
    """An objective whose loss is t itself."""

    schedule = sqrt_linear()

    def loss(self, prediction, x0, eps, x, t):
        return t.float()


def batches(sizes: list[int]) -> list[Batch]:
    def condition(size):
        return Condition(*torch.zeros(3, size, 1), torch.full((size,), 8))

    return [Batch(torch.zeros(size, *SHAPE), condition(size), ("a",) * size) for size in sizes]


def validated(parts: dict[str, list[Batch]]) -> dict[str, float]:
    AcceleratorState._reset_state(reset_partial_state=True)
    validation = Validation(parts, seed=0, switch=200)
    denoiser = Denoiser(lambda x, *_: x, TimestepLoss(), self_condition=False)
    return validation(denoiser, Accelerator(cpu=True))


def test_validation_splits_the_loss_by_band():
    losses = validated({"one": batches([16, 16])})
    assert losses["val_loss_low"] == pytest.approx(100.5, abs=6)  # mean of t over 0..200
    assert losses["val_loss_high"] == pytest.approx(600, abs=26)  # over 201..999
    assert losses["val_loss"] == pytest.approx(0.201 * losses["val_loss_low"] + 0.799 * losses["val_loss_high"])
    assert set(losses) == {"val_loss", "val_loss_high", "val_loss_low"}


def test_validation_reports_each_dataset_where_there_are_several():
    losses = validated({"one": batches([16]), "two": batches([16])})
    assert {"val_loss_one", "val_loss_two"} < set(losses)


def test_validation_timesteps_never_change_and_bands_alternate():
    first, second = (fixed(1, 8, SHAPE, 1000, 200) for _ in range(2))
    assert torch.equal(first.eps, second.eps)
    assert torch.equal(first.t, second.t)
    assert (first.t > 200).tolist() == [True, False] * 4
    assert not first.drop.any()


def test_recall_counts_notes_that_are_there_exactly():
    real = Notes(*map(np.array, ([0, 4, 8, 8], [60, 62, 64, 67], [4, 4, 8, 8], [80] * 4, [0] * 4)))
    heard = Notes(*map(np.array, ([0, 4, 8, 12], [60, 62, 64, 67], [4, 2, 8, 8], [80] * 4, [0] * 4)))
    assert recalled(heard, real) == 0.5
    assert recalled(heard, Notes.empty()) == 1.0


def test_picture_shows_onsets_in_orange_and_high_pitches_on_top():
    rolls = torch.zeros(2, 2, 128, 128)
    rolls[0, 0, 5, 127] = 1  # the highest pitch of the first roll
    image = picture(rolls, enlarge=1)
    assert image.shape == (3, 2 * 129, 128)
    assert image[:, 0, 5].tolist() == [255, 165, 25]
    assert image[:, 1:128].max() == 0


def test_a_log_line_cut_short_is_left_out(tmp_path: Path):
    path = tmp_path / "log.jsonl"
    path.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "lo')
    assert read_log(path) == [{"step": 1, "loss": 0.5}]


@pytest.mark.parametrize(
    "line",
    ["[1]", "2", "null", '"step"', '{"loss": 0.5}', '{"step": "2"}', '{"step": null}', '{"step": 2, "lo', "[" * 9999],
)
def test_a_log_with_an_odd_line_stays_as_it_is(tmp_path: Path, line: str):
    path = tmp_path / "log.jsonl"
    path.write_text(content := f'{{"step": 1, "loss": 0.5}}\n{line}\n{{"step": 3, "loss": 0.5}}\n')
    with pytest.raises(InputError, match="line 2 of .*log.jsonl is not a row of a training log"):
        Tracker(tmp_path, 3, 10, 4, boards=())
    assert path.read_text() == content
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not a log of this project"):
        Tracker(tmp_path, 3, 10, 4, boards=())
