"""Do the controls of sample.py have the effect that they are asked for? Asked beside got, with the weights as they are.

    python -m benchmarks controls [--seeds 3] [--controls key,chords] [videos=data/demo checkpoint=FILE key=value ...]

Every video is given music with several seeds for each value of a control, everything else as in configs/sample.yaml but
for a tempo of 120 BPM. `got` is a mean over n pieces (or pairs of them) with its 95 % bootstrap interval. Only features
are written, to the cache. What is exact whatever the weights is asserted in the tests (tests/test_controls.py and those
that it names). The demo videos come from `diffbgm fetch demo`. Prints a table, then one JSON line.
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import chain, combinations, cycle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from benchmarks.harness import Row, show
from diffbgm.app.cli import run
from diffbgm.app.sample import build_pipeline
from diffbgm.errors import InputError
from diffbgm.evaluation.report import mean_of
from diffbgm.generation.music import Music
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.progress import silence
from diffbgm.generation.settings import SampleSettings
from diffbgm.music.key import Key, estimate_key, into_key
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.video.folder import find_videos

TUNE = (72, 74, 76, 77, 79, 77, 76, 74)  # the melody that is asked for, a beat each
SCENES = ("A fast, bright scene in warm colours.", "A slow, dark scene in cool colours.")


class Studio:
    """Makes music for all videos under changed settings, once for each set of them."""

    def __init__(self, pipeline: Pipeline, settings: SampleSettings, videos: Sequence[Path], seeds: int) -> None:
        self.pipeline, self.settings, self.videos, self.seeds = pipeline, settings, videos, seeds
        self.done: dict[SampleSettings, list[list[Music]]] = {}

    def takes(self, seed: int = 0, **wishes: Any) -> list[list[Music]]:
        """All takes for each video."""
        settings = replace(self.settings, seed=seed, **{"tempo": 120.0, **wishes})
        if settings not in self.done:
            self.done[settings] = self.pipeline.make(self.videos, settings, None, silence)
        return self.done[settings]

    def pieces(self, **wishes: Any) -> list[Music]:
        """The best take for each seed and video."""
        return [takes[0] for seed in range(self.seeds) for takes in self.takes(seed, **wishes)]


def key(studio: Studio) -> Iterator[Row]:
    """Every tonic, modes and seeds taking turns; a piece that is transposed may be in the relative key."""
    keys = [Key(tonic, minor=tonic % 2 == 1) for tonic in range(12)]
    made = [studio.takes(seed, key=str(asked)) for asked, seed in zip(keys, cycle(range(studio.seeds)), strict=False)]
    got = [(asked, music.notes) for asked, videos in zip(keys, made, strict=True) for (music, *_) in videos]
    yield row("key", "12 keys", "share in the key", [asked == estimate_key(notes) for asked, notes in got])
    related = [into_key(notes, asked)[1] == 0 for asked, notes in got]
    yield row("key", "12 keys", "share in the key or its relative", related)


def chords(studio: Studio) -> Iterator[Row]:
    """A chord a bar, in major and minor: how many bars have it, and how many do where none was asked for."""
    for asked in ("C F G", "Dm Bb A", "E A B7"):  # as many as the shortest demo video has bars
        made = studio.pieces(chords=asked)
        plans = [music.harmony for music in made if music.harmony is not None]
        for wish, pieces in ((asked, made), ("none", studio.pieces())):
            heard = [plan.heard(music.notes) for plan, music in zip(plans, pieces, strict=True)]
            yield row("chords", wish, f"share of bars with {asked}", heard)


def seed(studio: Studio) -> Iterator[Row]:
    """How much pieces of different seeds have in common."""
    by_video = zip(*(studio.takes(seed) for seed in range(studio.seeds)), strict=True)
    pairs = chain.from_iterable(combinations(own, 2) for own in by_video)
    yield row("seed", "another", "share of equal notes", [common(one[0], other[0]) for one, other in pairs])


def melody(studio: Studio) -> Iterator[Row]:
    """How a tune, as long as the shortest video, is accompanied."""
    count = int(2 * min(music.duration for (music, *_) in studio.takes()))  # beats at 120 BPM
    columns = np.arange(count) * STEPS_PER_BEAT, np.resize(TUNE, count), np.full(count, STEPS_PER_BEAT)
    tune = Notes(*columns, np.full(count, 80), np.zeros(count, np.int64))
    with TemporaryDirectory() as folder:
        write_midi(tune, path := Path(folder) / "tune.mid")
        made = studio.pieces(melody=str(path))
    others = [(len(music.notes.window(0, tune.end)) - count) / count for music in made]
    yield row("melody", f"{count} notes", "other notes per beat", others)


def variations(studio: Studio) -> Iterator[Row]:
    """The take that follows the picture best comes first: how much better than the mean it is."""
    made = chain.from_iterable(studio.takes(seed, variations=4) for seed in range(studio.seeds))
    found = [[music.following for music in takes] for takes in made]
    known = [np.array(values, float) for values in found if None not in values]
    yield row("variations", 4, "following, first take", [values[0] for values in known])
    yield row("variations", 4, "following, all takes", [values.mean() for values in known])


def window(studio: Studio) -> Iterator[Row]:
    """Beats of an attention window."""
    for asked in (4, 8, 16, 32, "dynamic"):
        made = studio.pieces(window=asked)
        yield row("window", asked, "following", [music.following for music in made])
        equal = [common(*pair) for pair in zip(studio.pieces(), made, strict=True)]
        yield row("window", asked, "share of notes equal to the default's", equal)


def each(name: str, studio: Studio) -> Iterator[Row]:
    """A control that is given one value after the other, and what is measured of the pieces."""
    values, measures, beside = EACH[name]
    for asked in values:
        made = studio.pieces(**{name: asked}, **beside)
        for measure in measures:
            yield row(name, asked, measure, [MEASURES[measure](music) for music in made])


MEASURES: dict[str, Callable[[Music], float | None]] = {
    "following": lambda music: music.following,
    "notes per beat": lambda music: len(music.notes) / (music.duration * music.tempo / 60),
    "notes a second": lambda music: len(music.notes) / music.duration,
    "BPM": lambda music: music.tempo,
    "mean pitch": lambda music: music.notes.pitch.mean(),
    "mean velocity": lambda music: music.notes.velocity.mean(),
    "range of velocity": lambda music: np.ptp(music.notes.velocity),
    "share in major": lambda music: not estimate_key(music.notes).minor,
}
EACH: dict[str, tuple[tuple[Any, ...], tuple[str, ...], dict[str, Any]]] = {  # values, measures, settings beside them
    "intensity": ((0.5, 1.0, 1.5, 2.0), ("notes per beat",), {}),
    "caption": (SCENES, ("notes per beat", "mean pitch", "share in major"), {}),
    "valence": ((-0.9, 0.0, 0.9), ("mean pitch", "share in major"), {"tempo": None}),
    "arousal": ((-0.9, 0.0, 0.9), ("BPM", "notes a second", "mean velocity"), {"tempo": None}),
    "dynamics": ((0.0, 0.35, 0.7, 1.0), ("range of velocity",), {}),
    "guidance": ((1.0, 2.0, 3.0), ("following", "notes per beat"), {}),
}
CONTROLS: dict[str, Callable[[Studio], Iterator[Row]]] = {
    **{name: partial(each, name) for name in EACH},
    **{part.__name__: part for part in (key, chords, seed, melody, variations, window)},
}


def row(control: str, asked: object, measured: str, values: Sequence[Any] | np.ndarray) -> Row:
    """What was got: the mean with its interval, and over how many."""
    got = mean_of(values)
    return {"control": control, "asked": str(asked), "measured": measured, "got": got, "n": got["n"]}


def common(one: Music, other: Music) -> float:
    """Notes that two pieces share, of all that either has; 1 for two empty pieces."""
    a, b = (set(zip(m.notes.onset, m.notes.pitch, m.notes.duration, strict=True)) for m in (one, other))
    return len(a & b) / len(a | b) if a | b else 1.0


def bench_controls(cfg: DictConfig, controls: Sequence[str], seeds: int) -> None:
    """Compose, measure, print."""
    if unknown := sorted(set(controls) - set(CONTROLS)):
        raise InputError(f"there is no control {', '.join(unknown)}; choose from {', '.join(CONTROLS)}")
    studio = Studio(*build_pipeline(cfg), find_videos(cfg.videos), seeds)
    rows = [found for name in tqdm(controls, "controls", disable=None) for found in CONTROLS[name](studio)]
    show("controls", rows, checkpoint=str(cfg.checkpoint), videos=[path.name for path in studio.videos], seeds=seeds)


def main() -> int:
    """The command."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seeds", type=int, default=3, help="pieces for each video and value (default 3)")
    options.add_argument("--controls", default=",".join(CONTROLS), help="some of %(default)s; default: all")
    given, overrides = options.parse_known_args()
    words = ["videos=data/demo", "out=.", *overrides]
    return run(lambda cfg: bench_controls(cfg, given.controls.split(","), given.seeds), "sample", words)
