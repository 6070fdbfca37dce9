"""Checkpoints are restored exactly, and files that are not checkpoints are named."""

import json
import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from small_config import CONFIG, MODEL

from diffbgm.datasets.batch import Condition
from diffbgm.errors import InputError
from diffbgm.files import sha256
from diffbgm.models.checkpoint import load_checkpoint, read_config, save_checkpoint
from diffbgm.models.config import (
    checkpoint_config,
)
from diffbgm.models.network import DiffBGM, build_network


@pytest.fixture
def network() -> DiffBGM:
    torch.manual_seed(0)
    built = build_network(MODEL)
    for parameter in built.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape)
    return built.eval()


@pytest.fixture
def saved(network: DiffBGM, tmp_path: Path) -> Path:
    path = tmp_path / "a model.safetensors"
    save_checkpoint(path, network.state_dict(), CONFIG)
    return path


def test_round_trip(network: DiffBGM, saved: Path) -> None:
    checkpoint = load_checkpoint(saved)
    assert checkpoint.config == checkpoint_config(CONFIG)
    assert checkpoint.sha256 == sha256(saved)
    assert not checkpoint.network.training
    condition = Condition(torch.rand(1, 32, 9), torch.rand(1, 32, 12), torch.ones(1, 32) > 0, torch.tensor([8]))
    x, t = torch.randn(1, 2, 16, 8), torch.tensor([5])
    with torch.no_grad():
        assert torch.equal(checkpoint.network(x, t, condition), network(x, t, condition))
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_the_same_weights_give_the_same_bytes(network: DiffBGM, saved: Path) -> None:
    other = saved.with_name("other.safetensors")
    save_checkpoint(other, network.to(memory_format=torch.channels_last).state_dict(), CONFIG)  # type: ignore[call-overload]
    assert other.read_bytes() == saved.read_bytes()


def test_half_precision_on_disk_loads_as_float32(network: DiffBGM, tmp_path: Path) -> None:
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, {key: value.half() for key, value in network.state_dict().items()}, CONFIG)
    loaded = load_checkpoint(path).network.state_dict()
    assert all(torch.equal(loaded[key], value.half().float()) for key, value in network.state_dict().items())


def test_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint at .*none\.safetensors"):
        load_checkpoint(tmp_path / "none.safetensors")


@pytest.mark.parametrize("share", [0.0, 0.001, 0.5, 0.999])
def test_truncated(saved: Path, share: float) -> None:
    content = saved.read_bytes()
    saved.write_bytes(content[: int(share * len(content))])
    with pytest.raises(InputError, match=r"a model\.safetensors is not a complete"):
        load_checkpoint(saved)


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize("metadata", [None, {"config": "no json"}, {"config": "[1]"}, {"config": "{}"}])
def test_foreign_files(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    path = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, metadata)
    with pytest.raises(InputError, match="has no config of this project"):
        load_checkpoint(path)


def test_another_format(tmp_path: Path) -> None:
    path = tmp_path / "later.safetensors"
    safetensors.torch.save_file({"weight": torch.ones(3)}, path, {"config": json.dumps({**CONFIG, "format": 2})})
    with pytest.raises(InputError, match="format 2"):
        read_config(path)


@pytest.mark.parametrize("fault", ["missing", "extra", "shape"])
def test_weights_that_do_not_fit_their_config(network: DiffBGM, tmp_path: Path, fault: str) -> None:
    weights = dict(network.state_dict())
    if fault == "missing":
        del weights["unet.out.2.bias"]
    elif fault == "extra":
        weights["unet.out.3.bias"] = torch.ones(2)
    else:
        weights["unet.out.2.bias"] = torch.ones(3)
    path = tmp_path / "other.safetensors"
    save_checkpoint(path, weights, CONFIG)
    with pytest.raises(InputError, match=r"other\.safetensors do not fit its config") as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_written(network: DiffBGM, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot write"):
        save_checkpoint(tmp_path / "file" / "x.safetensors", network.state_dict(), CONFIG)


def test_a_full_disk_is_one_sentence_and_the_old_file_stays(
    network: DiffBGM, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"before")

    def full(tensors: object, file: Path, metadata: object) -> None:
        Path(file).write_bytes(b"half")
        raise safetensors.SafetensorError("I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(safetensors.torch, "save_file", full)
    with pytest.raises(InputError, match="cannot write .*No space left on device"):
        save_checkpoint(path, network.state_dict(), CONFIG)
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("x.safetensors", b"before")]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(network: DiffBGM, tmp_path: Path, value: float) -> None:
    weights = dict(network.state_dict())
    weights["unet.out.2.bias"] = torch.tensor([0.0, value])
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, weights, CONFIG)
    with pytest.raises(InputError, match=r"not finite \(unet\.out\.2\.bias\)"):
        load_checkpoint(path)


def test_pipes_and_huge_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="a pipe or a device"):
        load_checkpoint(tmp_path / "pipe")
    with open(tmp_path / "huge", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match="more than the"):
        load_checkpoint(tmp_path / "huge")
