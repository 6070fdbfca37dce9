"""The one command: its table, its help, and its answer to what it does not know."""

import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import diffbgm
from diffbgm.app.main import COMMANDS, main
from diffbgm.shipped import CONFIGS

ROOT = Path(__file__).resolve().parents[1]
SHELLS = {
    "sample.py": "sample",
    "train.py": "train",
    "evaluate.py": "evaluate",
    "scripts/sample_songs.py": "songs",
    "scripts/extract_features.py": "features",
    "scripts/import_release.py": "import",
}


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_is_there_and_so_is_its_configuration(command):
    module, _, function = command.function.partition(":")
    assert callable(getattr(import_module(f"diffbgm.app.{module}"), function))
    assert command.config is None or (CONFIGS / f"{command.config}.yaml").is_file()


def test_the_overview_names_all_of_them(capsys):
    assert main([]) == main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {command.name} " in shown for command in COMMANDS)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"diffbgm {diffbgm.__version__}\n"


def test_an_unknown_command_gets_the_nearest_name(capsys):
    assert main(["smaple"]) == 2
    assert "there is no command 'smaple'; did you mean 'sample'?" in capsys.readouterr().err


def test_help_loads_neither_torch_nor_hydra():
    code = "import sys; from diffbgm.app.main import main; main(['train', '--help']); print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"'torch'", "'hydra'", "'numpy'"} & set(re.findall(r"'\w+'", done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(("path", "name"), SHELLS.items())
def test_the_shells_are_the_command(path, name, monkeypatch):
    asked = []
    monkeypatch.setattr("diffbgm.app.main.main", lambda words: asked.append(list(words)) or 3)
    monkeypatch.setattr("sys.argv", [path, "key=value"])
    with pytest.raises(SystemExit) as left:
        exec(compile((ROOT / path).read_text(), path, "exec"), {"__name__": "__main__"})
    assert (left.value.code, asked) == (3, [[name, "key=value"]])


def test_no_script_changes_the_import_path():
    files = [*ROOT.glob("*.py"), *(ROOT / "scripts").glob("*.py"), *(ROOT / "benchmarks").glob("*.py")]
    assert [path.name for path in files if "sys.path" in path.read_text()] == []
