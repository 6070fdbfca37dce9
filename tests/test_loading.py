"""Finding checkpoints: shipped names, files, folders, and a hub, which is a local folder here."""

import shutil
from pathlib import Path

import huggingface_hub
import pytest
import torch
from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError
from tiny_checkpoint import save_tiny_checkpoint

import diffbgm
from diffbgm.errors import InputError
from diffbgm.generation.loading import WEIGHTS, _own_gpu, find_checkpoint


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the client's own functions, whose repositories are folders."""
    top = tmp_path / "hub"

    class Api:
        def create_repo(self, name, private, exist_ok):
            (top / name).mkdir(parents=True, exist_ok=exist_ok)
            return f"https://hub/{name}"

        def upload_file(self, path_or_fileobj, path_in_repo, repo_id):
            if repo_id.startswith("closed/"):
                raise OSError("403 Forbidden")
            shutil.copy(path_or_fileobj, top / repo_id / path_in_repo)

    def download(name, file):
        if not (top / name).is_dir():
            raise LocalEntryNotFoundError("offline")
        if not (top / name / file).is_file():
            raise EntryNotFoundError("404")
        return str(top / name / file)

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    return top


def test_a_shipped_name_a_file_and_a_folder(tmp_path):
    shipped = find_checkpoint("diffbgm-lite")
    assert shipped.name == "diffbgm-lite.safetensors"
    assert find_checkpoint(shipped) == shipped
    file = save_tiny_checkpoint(tmp_path / "mine.safetensors")
    assert find_checkpoint(tmp_path) == file
    shutil.copy(file, tmp_path / WEIGHTS)
    assert find_checkpoint(tmp_path) == tmp_path / WEIGHTS, "among several the one of this name"


def test_what_is_not_there_is_one_sentence(tmp_path, hub):
    with pytest.raises(InputError, match=r"'nobody'; give a shipped name \(diffbgm-lite"):
        find_checkpoint("nobody")
    with pytest.raises(InputError, match="holds no .safetensors file"):
        find_checkpoint(tmp_path)
    with pytest.raises(InputError, match="hub cannot be reached and me/music is not in its cache"):
        find_checkpoint("me/music")
    (hub / "me" / "empty").mkdir(parents=True)
    with pytest.raises(InputError, match=r"me/empty on the hub holds no model.safetensors"):
        find_checkpoint("me/empty")


def test_a_hub_id_is_found_in_the_librarys_own_cache_without_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    snapshot = tmp_path / "models--me--music" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (tmp_path / "models--me--music" / "refs").mkdir()
    (tmp_path / "models--me--music" / "refs" / "main").write_text("0" * 40)
    save_tiny_checkpoint(snapshot / WEIGHTS)
    assert find_checkpoint("me/music").samefile(snapshot / WEIGHTS)
    with pytest.raises(InputError, match="not in its cache"):
        find_checkpoint("me/other")


def test_what_is_pushed_comes_back_the_same(tmp_path, hub):
    pipe = diffbgm.Pipeline.from_pretrained(save_tiny_checkpoint(tmp_path / "a.safetensors"), device="cpu")
    assert pipe.push_to_hub("me/music") == "https://hub/me/music"
    again = diffbgm.Pipeline.from_pretrained("me/music", device="cpu")
    for name, value in pipe.composer.weights().items():
        assert torch.equal(again.composer.weights()[name], value)
    assert again.composer.config == pipe.composer.config
    local = pipe.save_pretrained(tmp_path / "local")
    assert Path(local).name == WEIGHTS
    with pytest.raises(InputError, match=r"cannot upload to closed/music \(403 Forbidden\)"):
        pipe.push_to_hub("closed/music")


def test_processes_beside_each_other_take_a_gpu_each() -> None:
    assert _own_gpu(4, {}) == "cuda"
    assert [_own_gpu(4, {"LOCAL_RANK": str(rank)}) for rank in (0, 3, 5)] == ["cuda:0", "cuda:3", "cuda:1"]
    assert _own_gpu(1, {"SLURM_LOCALID": "3"}) == "cuda:0"  # srun shows each task its own GPU
