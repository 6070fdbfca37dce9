"""Messages of a command: one at once, real counts, and none with progress switched off."""

import logging
import os
import subprocess
import sys

import pytest

from diffbgm.app.main import COMMANDS
from diffbgm.app.progress import LOADED, QUIET, FolderProgress, begin, say


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    for name in ("TQDM_DISABLE", QUIET):
        monkeypatch.setenv(name, "")  # so that what a test sets is taken away after it
        monkeypatch.delenv(name)
    monkeypatch.setattr(logging, "basicConfig", lambda **given: None)


@pytest.mark.parametrize(
    ("words", "rest", "said"),
    [
        (["videos=a"], ["videos=a"], True),
        (["-v", "videos=a"], ["videos=a"], True),
        (["videos=a", "quiet=true"], ["videos=a"], False),
        (["quiet=false", "--verbose"], [], True),
    ],
)
def test_how_much_is_said(capsys, words, rest, said):
    assert begin("sample", words) == rest
    assert capsys.readouterr().err == ("diffbgm sample: loading torch and the checkpoint ...\n" if said else "")
    assert ("TQDM_DISABLE" in os.environ) == (not said)
    say("3 videos have music")
    assert capsys.readouterr().out == ("3 videos have music\n" if said else "")


def test_every_command_that_loads_something_says_so_at_first():
    quick = {"index", "import", "export", "fetch", "doctor", "completion"}
    assert {command.name for command in COMMANDS} == set(LOADED) | quick


def test_each_stage_tells_its_count_and_time(caplog):
    progress = FolderProgress(2)
    stage = progress.stages("a clip with a name that is long.mp4")
    with caplog.at_level(logging.INFO), stage("features", 250) as advance:
        for _ in range(250):
            advance(1)
    progress.reach(1)
    progress.reach(2)
    progress.close()
    assert caplog.messages[0].startswith("a clip with a name th...: features, 250 frames in ")


def test_the_first_line_comes_before_anything_heavy():
    """The code that prints it imports nothing slow: no torch, no Hydra, no numpy."""
    program = (
        "import sys; import diffbgm.app.main; from diffbgm.app.progress import begin; begin('sample', []);"
        "print(sorted({'torch', 'hydra', 'numpy', 'tqdm', 'av', 'omegaconf'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
    assert done.stderr.startswith("diffbgm sample: loading")
