"""The command `diffbgm`: its subcommands, its help, and its answer to unknown ones."""

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


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
@pytest.mark.parametrize("debug", [False, True])
def test_what_nobody_expected_is_a_sentence_and_with_debug_a_traceback(command, debug, monkeypatch, capsys):
    def break_down(_):
        raise RuntimeError("two\nlines")

    module, _, name = command.function.partition(":")
    monkeypatch.setattr(import_module(f"diffbgm.app.{module}"), name, break_down)
    monkeypatch.setattr("diffbgm.app.cli._require", lambda config: None)
    for name in ("DIFFBGM_DEBUG", "DIFFBGM_QUIET", "TQDM_DISABLE"):
        monkeypatch.setenv(name, "")  # and taken away again after the test
    monkeypatch.setenv("POP909_DIR", "p")
    assert main([command.name, "quiet=true", *["--debug"] * debug]) == 1
    err = capsys.readouterr().err
    *above, sentence = err.splitlines()
    assert sentence.startswith("error: ")
    assert sentence.endswith("failed unexpectedly (RuntimeError: two lines); --debug shows where")
    assert ("Traceback (most recent call last):" in above) == debug
    assert debug or not above


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "a/b"), "cannot use a/b: No space left on device; make room"),
        (PermissionError(13, "Permission denied", "a/b"), "cannot use a/b: Permission denied; check who may"),
        (OSError(28, "No space left on device"), "cannot use: No space left on device; make room"),
        (MemoryError(), "needs more memory than there is"),
    ],
)
def test_what_the_system_refuses_is_no_defect(error, words, monkeypatch, capsys):
    def refuse(_):
        raise error

    monkeypatch.setattr("diffbgm.app.export.main", refuse)
    assert main(["export"]) == 1
    assert words in capsys.readouterr().err
