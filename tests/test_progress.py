"""What a command says: how much was asked for, real counts, nothing when it is to be quiet."""

import subprocess
import sys
import time

import pytest

from diffbgm.app.progress import FolderProgress, Voice, first_line, voice_of


@pytest.mark.parametrize(
    ("words", "voice", "rest"),
    [
        (["videos=a"], Voice(), ["videos=a"]),
        (["-v", "videos=a"], Voice(verbose=True), ["videos=a"]),
        (["videos=a", "quiet=true"], Voice(quiet=True), ["videos=a"]),
        (["quiet=false", "--verbose"], Voice(verbose=True), []),
    ],
)
def test_how_much_is_said(words, voice, rest):
    assert voice_of(words) == (voice, rest)


def test_each_stage_tells_its_count_and_time(capsys):
    progress = FolderProgress(2, Voice(verbose=True))
    with progress.video("a clip with a name that is long.mp4"), progress.stage("features", 250) as advance:
        for _ in range(250):
            advance(1)
    with pytest.raises(ZeroDivisionError), progress.video("b.mp4"):
        _ = 1 / 0
    progress.close()
    lines = capsys.readouterr().err.splitlines()
    told = [line for line in lines if "features" in line][-1]
    assert told.startswith("a clip with a name th...: features, 250 frames in ")


def test_quiet_says_nothing(capsys):
    voice = Voice(quiet=True)
    voice.say("hello")
    progress = FolderProgress(1, voice)
    with progress.video("a"), progress.stage("compose", 3) as advance:
        advance(3)
    progress.close()
    assert capsys.readouterr().err == ""


def test_the_first_line_comes_before_anything_heavy():
    """The module that says it loads nothing that takes time: no torch, Hydra or numpy."""
    program = (
        "import sys; from diffbgm.app.progress import first_line; print(first_line('sample'));"
        "print(sorted({'torch', 'hydra', 'numpy', 'tqdm', 'av'} & set(sys.modules)))"
    )
    begin = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert time.perf_counter() - begin < 5
    assert done.stdout.splitlines() == [first_line("sample"), "[]"]
