"""The notebook for Colab: five cells that run, but for the installation."""

import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf
from tiny_checkpoint import save_tiny_checkpoint

import diffbgm
from diffbgm.app.gradio_app import read_settings

APP = Path(__file__).resolve().parents[1] / "app"


def test_the_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    cells = [cell for cell in json.loads((APP / "colab.ipynb").read_text())["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5
    monkeypatch.chdir(tmp_path)
    tiny = save_tiny_checkpoint(tmp_path / "tiny.safetensors")
    pretrained = diffbgm.Pipeline.from_pretrained
    monkeypatch.setattr(diffbgm.Pipeline, "from_pretrained", lambda name: pretrained(tiny, "cpu"))
    names: dict[str, object] = {}
    for cell in cells[1:]:
        exec(compile("".join(cell["source"]), "colab.ipynb", "exec"), names)
    for ending in ("mp4", "mid", "wav"):
        assert (tmp_path / f"with-music.{ending}").stat().st_size > 100
    assert "".join(cells[0]["source"]).count("diffbgm") == 2


def test_the_space_has_a_header_and_settings_that_exist():
    header = OmegaConf.create((APP / "README.md").read_text().split("---")[1])
    assert (header.sdk, header.app_file) == ("gradio", "app.py")
    assert (APP / header.app_file).is_file()
    words = (APP / "app.py").read_text().partition("main([")[2].partition("])")[0]
    assert read_settings(json.loads(f"[{words}]")).minutes == 3
