"""The notebooks of examples/ run from top to bottom, on a video and MIDI files of a few seconds."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from accelerate.state import AcceleratorState
from make_video import flat, write_video
from tiny_run import SETTINGS

from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.music.midi import write_midi

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run_cells(name: str, given: dict[str, Any]) -> dict[str, Any]:
    """Run the code of a notebook in this process; `given` replaces what the cells assign. Returns its variables."""
    cells = json.loads((EXAMPLES / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    variables: dict[str, Any] = dict(given)
    for number, cell in enumerate(cells):
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{name}.ipynb, cell {number}", "exec"), variables)
            variables |= given
    return variables


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """An empty folder with clip.mp4, two seconds long."""
    monkeypatch.chdir(tmp_path)
    pictures = [flat([30, 200][k // 8]).copy() for k in range(16)]
    for k, picture in enumerate(pictures):
        picture[:, 3 * k % 40 :][:, :12] = 255
    write_video(tmp_path / "clip.mp4", pictures, fps=8)
    return tmp_path


def test_quickstart(folder):
    found = run_cells("quickstart", {})
    assert len(found["music"].notes)
    assert len(found["takes"]) == 2
    assert {take.tempo for take in found["takes"]} == {96}
    assert set(os.listdir(folder)) == {"clip.mp4", "music.mp4", "music.mid"}


def test_train_your_own(folder):
    source = GeneratedSongs(count=4, bars=16)
    for song in source.songs():
        write_midi(source.read(song).notes, folder / "my_midi" / f"{song}.mid")
    small = [word for word in SETTINGS if not word.startswith(("experiment", "data.count"))]
    overrides = ["model=tiny", "trainer.precision=fp32", "trainer.warmup=1", "trainer.previews=1", "seed=1", *small]
    AcceleratorState._reset_state(reset_partial_state=True)
    found = run_cells("train_your_own", {"steps": 3, "more": overrides})
    assert [row["step"] for row in found["log"]] == [1, 2, 3]
    assert np.isfinite(found["log"][-1]["loss"])
    assert (folder / "music.mid").stat().st_size
