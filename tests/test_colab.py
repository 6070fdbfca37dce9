"""The notebook for Colab: five cells, all of which run except the installation."""

import json
import subprocess
import sys
import tomllib
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
    for cell, wheel in ((cells[0], ""), (cells[0], "diffbgm-1-py3-none-any.whl")):
        (tmp_path / wheel).touch()
        code = "".join(line for line in cell["source"] if not line.startswith(("%", "!"))).replace(
            '= ""', '= "https://a/b"'
        )
        exec(compile(code, "colab.ipynb", "exec"), names)
        assert names["source"] == (f"{tmp_path / wheel}[app]" if wheel else "diffbgm[app] @ git+https://a/b")
    assert '%pip install --quiet "{source}"\n' in cells[0]["source"]
    for cell in cells[1:]:
        exec(compile("".join(cell["source"]), "colab.ipynb", "exec"), names)
    for ending in ("mp4", "mid", "wav"):
        assert (tmp_path / f"with-music.{ending}").stat().st_size > 100


def test_the_space_has_a_header_and_settings_that_exist():
    header = OmegaConf.create((APP / "README.md").read_text().split("---")[1])
    assert (header.sdk, header.app_file) == ("gradio", "app.py")
    assert (APP / header.app_file).is_file()
    words = (APP / "app.py").read_text().partition("main([")[2].partition("])")[0]
    assert read_settings(json.loads(f"[{words}]")).minutes == 3


def test_the_space_needs_nothing_of_ours_from_an_index():
    """It installs the libraries of the base and of the app; the package lies beside app.py (`make space`)."""
    project = tomllib.loads((APP.parent / "pyproject.toml").read_text())["project"]
    listed = {line for line in (APP / "requirements.txt").read_text().split("\n") if line and line[0] not in "#-"}
    assert listed == {*project["dependencies"], *project["optional-dependencies"]["app"]}


def test_the_folder_for_a_space_is_whole(tmp_path: Path):
    for name in ("app", "diffbgm", "configs", "pretrained", "Makefile"):
        (tmp_path / name).symlink_to(APP.parent / name)
    subprocess.run(["make", "--silent", "space"], cwd=tmp_path, check=True, timeout=60)
    space = tmp_path / "outputs" / "space"
    assert {path.name for path in space.iterdir()} >= {"README.md", "app.py", "requirements.txt"}
    program = "import diffbgm.shipped as s; print(s.__file__, s.shipped_weights())"
    done = subprocess.run([sys.executable, "-c", program], cwd=space, capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{space}/diffbgm/shipped.py")
    assert f"{space}/pretrained/diffbgm-lite.safetensors" in done.stdout


def test_a_soundfont_that_could_not_be_fetched_is_fetched_by_the_next_make_demo(tmp_path: Path):
    fetch = tmp_path / "bin" / "diffbgm"
    fetch.parent.mkdir()
    (fetch.parent / "python").symlink_to("/bin/true")
    (tmp_path / "diffbgm" / "app").mkdir(parents=True)
    (tmp_path / "diffbgm" / "app" / "assets.yaml").touch()
    for code, calls in ((1, 1), (0, 2), (0, 2)):
        fetch.write_text(f"#!/bin/sh\nmkdir -p data/demo\necho $2 >> calls\n[ $2 = demo ] || exit {code}\n")
        fetch.chmod(0o755)
        words = ["make", "-f", APP.parent / "Makefile", "-o", ".venv/installed", "demo", "BIN=./bin"]
        subprocess.run(words, cwd=tmp_path, check=True, timeout=60, capture_output=True)
        assert (tmp_path / "calls").read_text().split().count("soundfont") == calls
    assert (tmp_path / "calls").read_text().split().count("demo") == 1
