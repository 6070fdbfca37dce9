"""All commands of the README run in order in one empty folder, with less data and a smaller network."""

import shlex
from pathlib import Path

import mido
import pytest
import torch
from make_video import ramp, write_video
from test_docs_commands import ROOT, commands
from tiny_checkpoint import save_tiny_checkpoint
from tiny_run import start

from diffbgm.app import cli, doctor, evaluate, sample
from diffbgm.app.main import COMMANDS

README = commands((ROOT / "README.md").read_text("utf-8"))
TRAINING = [
    *("model=tiny", "model.unet.channels=8", "model.unet.norm_groups=2", "trainer.steps=2", "trainer.batch_size=4"),
    *("trainer.validation_segments=4", "trainer.validate_every=2", "trainer.preview_every=1000", "data.cache=prepared"),
    *("trainer.precision=fp32", "data.workers=1"),
]
FEW = ["sampler=dpm", "sampler.steps=2"]
ELSEWHERE = {  # commands that other tests run, and CI itself
    "make demo": "checks of a fresh machine",
    "make test": ".ci/run",
    "make docs": "the workflow's job docs",
    "diffbgm app": "tests/browser and tests/test_studio.py",
}


def test_every_command_is_run_here_or_elsewhere():
    left = [line for line in README if not line.startswith((".venv/bin/python ", "diffbgm doctor"))]
    assert {line.split("  ")[0].strip() for line in left} == set(ELSEWHERE)
    assert "app" in {command.name for command in COMMANDS}
    assert len((ROOT / "README.md").read_text("utf-8").split()) < 600, "what one reads in two minutes"


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A folder with the videos and the MIDI that the README speaks of."""
    place = tmp_path_factory.mktemp("readme")
    (place / "my_videos").mkdir()
    write_video(place / "my_videos" / "clip.mp4", ramp(24), fps=12)
    save_tiny_checkpoint(place / "tiny.safetensors")
    (place / "my_midi_folder").mkdir()
    for song in range(4):
        written(place / "my_midi_folder" / f"{song}.mid", 55 + song)
    return place


def written(path: Path, lowest: int) -> None:
    """Twelve bars of quarter notes."""
    file = mido.MidiFile(ticks_per_beat=480)
    track = mido.MidiTrack([mido.MetaMessage("time_signature", numerator=4, denominator=4, time=0)])
    for beat in range(48):
        pitch = lowest + (0, 4, 7, 12)[beat % 4]
        track.append(mido.Message("note_on", note=pitch, velocity=80, time=0))
        track.append(mido.Message("note_off", note=pitch, velocity=0, time=480))
    file.tracks.append(track)
    file.save(path)


def given(line: str) -> tuple[str, list[str]]:
    """(script, settings) of a line of the README."""
    words = shlex.split(line, comments=True)
    return Path(words[1]).stem, words[2:]


@pytest.mark.slow
@pytest.mark.parametrize("line", [line for line in README if line.startswith(".venv/bin/python ")])
def test_a_command_of_the_readme_runs(line: str, place: Path, monkeypatch):
    monkeypatch.chdir(place)
    script, settings = given(line)
    if script == "train":
        more = ["data.count=8"] if "experiment=smoke" in settings else []
        assert start(*settings, *TRAINING, *more) == 0
        name = settings[0].partition("=")[2]
        assert (place / "runs" / name / "checkpoints" / "last.safetensors").is_file()
    elif script == "sample":
        assert (
            cli.run(sample.sample, "sample", [*settings, "checkpoint=tiny.safetensors", "soundfont=builtin", *FEW]) == 0
        )
        assert {path.name for path in (place / "my_music").iterdir()} >= {"clip.mp4", "clip.mid", "index.html"}
    else:
        assert script == "evaluate"
        assert (
            cli.run(evaluate.evaluate, "evaluate", [*settings, "metrics=[texture]", "workers=1", "numbers=null"]) == 0
        )
        assert (place / "my_numbers" / "metrics.json").is_file()


def test_the_doctor_runs(capsys):
    assert "diffbgm doctor" in README
    assert doctor.main() == 0
    assert "ready to make music" in capsys.readouterr().out


def test_the_python_of_the_readme_makes_music(place: Path, monkeypatch):
    import diffbgm

    text = (ROOT / "README.md").read_text("utf-8")
    code = text.split("```python\n")[1].split("```")[0]
    monkeypatch.chdir(place / "my_videos")
    pipe = diffbgm.Pipeline.from_pretrained(place / "tiny.safetensors", device="cpu")
    asked: list[str] = []
    monkeypatch.setattr(diffbgm.Pipeline, "from_pretrained", lambda name: asked.append(name) or pipe)
    torch.manual_seed(0)
    exec(compile(code, "README.md", "exec"), {})
    assert asked == ["diffbgm-lite"]
    assert (place / "my_videos" / "clip-with-music.mp4").stat().st_size > 0
