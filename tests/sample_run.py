"""Videos of every kind and the command that makes music for them, for the tests of the whole path."""

from pathlib import Path

import numpy as np
from make_video import flat, ramp, write_sound, write_video

from diffbgm.app.cli import run
from diffbgm.app.sample import sample

RESULTS = ("json", "mid", "mp4", "png", "wav")
QUICK = ("sampler.steps=3", "device=cpu")
GOOD = ("with sound", "-dash", "ñandú 日本", "odd rate", "variable", "single frame", "short")
BAD = ("text.mp4", "empty.mp4", "audio only.mp4", "truncated.mp4")


def scenes(seconds: float = 3.0, fps: int = 12, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    """Three shots: a dark still one, a bright moving one, a red one."""
    count = round(seconds * fps)
    pictures = []
    for k in range(count):
        part = 3 * k // count
        picture = flat([(20, 20, 40), (220, 220, 200), (180, 40, 20)][part], size).copy()
        if part == 1:
            picture[:, (5 * k) % size[0] :][:, :10] = 0
        pictures.append(picture)
    return pictures


def sampling(checkpoint: Path, cache: Path):
    """call(videos, out, *overrides) -> exit code, through the same function as the command."""

    def run_sample(videos: Path, out: Path, *overrides: str) -> int:
        arguments = [f"videos={videos}", f"out={out}", f"checkpoint={checkpoint}", f"cache={cache}"]
        return run(sample, "sample", [*arguments, *QUICK, *overrides])

    return run_sample


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_odd_videos(folder: Path) -> Path:
    """Good videos of every shape, and files that are none, in the folder."""
    write_video(folder / "with sound.mp4", scenes(), fps=12, sound=3.0)
    write_video(folder / "-dash.mp4", scenes(1.5), fps=12)
    write_video(folder / "ñandú 日本.mp4", scenes(1.5, size=(48, 96)), fps=12)
    write_video(folder / "odd rate.mkv", ramp(20), fps=7)
    write_video(folder / "variable.mp4", ramp(12), times=[0, 0.1, 0.15, 0.5, 0.6, 1.0, 1.1, 1.4, 1.5, 1.9, 2.2, 2.3])
    write_video(folder / "single frame.mp4", ramp(1), fps=25)
    write_video(folder / "short.mp4", ramp(8), fps=25)
    (folder / "text.mp4").write_text("not a video at all")
    (folder / "empty.mp4").touch()
    write_sound(folder / "audio only.mp4")
    whole = write_video(folder.parent / "whole.mp4", scenes(), fps=12).read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "readme.txt").write_text("ignored")
    return folder
