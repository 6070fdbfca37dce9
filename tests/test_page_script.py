"""The arithmetic of the page's script, run by Node where it is installed."""

import json
import shutil
import subprocess
from importlib.resources import files

import pytest

node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="Node is not installed")

TAKE = {
    "name": "clip.take2",
    "tempo": 120,  # a beat is 0.5 s, a bar 2 s
    "duration": 9.0,
    "bars": 5,
    "notes": [0, 8, 40, 60, 0, 0, 4, 72, 80, 1],
    "chords": [[0, "C"], [4, "Am"], [6, "–"]],
    "sections": [[0, "A"], [8, "B"]],
    "redo": "diffbgm sample 'keep_bars=[{first},{last}]'",
}


@pytest.fixture(scope="module")
def answers():
    """Every expression below, evaluated in one process."""
    script = files("diffbgm.app").joinpath("templates", "page.js").read_text()
    body = (
        f"const take = {json.dumps(TAKE)};\nconst answers = {{{','.join(f'{json.dumps(e)}: {e}' for e in EXPECTED)}}};"
    )
    done = subprocess.run(
        [node, "-e", f"{script}\n{body}\nconsole.log(JSON.stringify(answers))"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


EXPECTED = {
    "music.file(take, 'mp4')": "clip.take2.mp4",
    "music.file(take, 'flute-lead.wav')": "clip.take2.flute-lead.wav",
    "music.clock(0)": "0:00",
    "music.clock(65.9)": "1:05",
    "music.barAt(take, 0)": 1,
    "music.barAt(take, 2)": 2,
    "music.barAt(take, 9)": 5,
    "music.nameAt(take.chords, take, 2)": "Am",
    "music.nameAt([[4, 'G']], take, 0)": "",
    "music.told(take, 2)": "0:02, bar 2, section A, chord Am",
    "music.told(take, 4.5)": "0:04, bar 3, section B",
    "music.scaleFor(take, 900, 1)": 100,  # the whole piece is visible
    "music.scaleFor(take, 90, 1)": 24,  # 48 pixels a bar
    "music.scaleFor(take, 90, 2)": 48,
    "music.timeAt(take, 100, 50, 100)": 1.5,
    "music.timeAt(take, 5000, 50, 100)": 9,
    "music.timeAt(take, -500, 0, 100)": 0,
    "music.follow(2, 0, 500, 100)": 0,  # still visible
    "music.follow(5, 0, 500, 100)": 450,  # left on the right: a page on, with a tenth of it before
    "music.follow(1, 300, 500, 100)": 50,  # a jump back
    "music.move(take, 1, 'ArrowRight')": 1.5,
    "music.move(take, 1, 'PageUp')": 0,
    "music.move(take, 1, 'PageDown')": 3,
    "music.move(take, 1, 'End')": 9,
    "music.move(take, 8.9, 'ArrowRight')": 9,
    "music.move(take, 1, 'q')": None,
    "music.range(take, 4, 2)": [2, 4],
    "music.range(take, NaN, 99)": [1, 5],
    "music.redo(take, 2, 3)": "diffbgm sample 'keep_bars=[2,3]'",
    "music.pitches(take)": [38, 78],
    "music.pitches({notes: []})": [48, 84],
}


@pytest.mark.parametrize("expression", EXPECTED)
def test_arithmetic(answers, expression: str):
    assert answers[expression] == EXPECTED[expression]
