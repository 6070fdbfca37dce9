"""Does each control of sample.py do what it says? Asked beside got, measured on the files that a user would find.

    python scripts/measure_controls.py [--seeds 3] [--controls tempo,key] [videos=data/demo checkpoint=FILE ...]

Every video is given music with several seeds for each value of a control, everything else as in configs/sample.yaml but
for a tempo of 120 BPM. Overrides are those of sample.py; with out=FOLDER the pieces stay there to be looked at. `got`
is a mean over n pieces (cuts, files) with its 95 % bootstrap interval. Prints a table, then one JSON line. The demo
videos come from `diffbgm fetch demo`.
"""

import argparse
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import pretty_midi
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.results import write_takes
from diffbgm.app.sample import build_pipeline
from diffbgm.errors import InputError
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.files import writable_folder
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.progress import silence
from diffbgm.generation.settings import SampleSettings
from diffbgm.music.audio import fit_length, loudness
from diffbgm.music.harmony import bars_of, over_bars, parse_chords, share_heard
from diffbgm.music.instruments import palette
from diffbgm.music.key import Key, estimate_key, into_key
from diffbgm.music.midi import Score, read_midi, write_midi
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.video.decode import probe
from diffbgm.video.folder import find_videos
from diffbgm.video.mux import RATE

TUNE = (72, 74, 76, 77, 79, 77, 76, 74)  # the melody that is asked for, a beat each
PEDAL = 64  # a controller
Row = dict[str, Any]  # a line of the table: control, asked, measure (what `got` is), got, ci95, n


@dataclass(frozen=True)
class Made:
    """A piece as it lies in a folder."""

    stem: Path  # FOLDER/NAME of NAME.mid, .wav, .mp4
    report: dict[str, Any]
    score: Score

    @property
    def notes(self) -> Notes:
        return self.score.notes

    @property
    def beats(self) -> float:
        return self.report["duration"] * self.report["tempo"] / 60

    @cached_property
    def parts(self) -> list[pretty_midi.Instrument]:
        return pretty_midi.PrettyMIDI(f"{self.stem}.mid").instruments


class Studio:
    """Makes music for videos with changed settings, once for each set of them."""

    def __init__(
        self, pipeline: Pipeline, settings: SampleSettings, videos: Sequence[Path], seeds: int, folder: Path
    ) -> None:
        self.pipeline, self.settings = pipeline, settings
        self.videos, self.seeds, self.folder = videos, range(seeds), folder
        self.done: dict[str, list[Made]] = {}

    def takes(
        self, video: Path, network: dict[str, Any] | None = None, fresh: bool = False, **wishes: Any
    ) -> list[Made]:
        """All takes for a video. `network`: changes to compose.*; `fresh`: made anew whatever was made before."""
        wishes = {"tempo": 120, "seed": 0, **wishes}
        name = repr((str(video), network, sorted(wishes.items())))
        if fresh or name not in self.done:
            settings = replace(self.settings, **wishes, **(network or {}))
            out = self.folder / f"{len(list(self.folder.iterdir())):04d}"
            [takes] = self.pipeline.make([video], settings, None, silence)
            reports = write_takes(takes, "piece", out, silence)
            stems = [out / report["name"] for report in reports]
            scores = [read_midi(f"{stem}.mid", require_notes=False) for stem in stems]
            self.done[name] = [Made(*made) for made in zip(stems, reports, scores, strict=True)]
        return self.done[name]

    def pieces(self, **wishes: Any) -> list[Made]:
        """The best take for each video and seed."""
        return [self.takes(video, seed=seed, **wishes)[0] for video in self.videos for seed in self.seeds]


def tempo(studio: Studio) -> Iterator[Row]:
    """BPM of the written file; how many cuts fall on beats."""
    for bpm in (40, 72, 96.5, 120, 180, 240):
        made = [studio.takes(video, tempo=bpm)[0] for video in studio.videos]
        yield row("tempo", bpm, "BPM of the MIDI", [piece.score.tempo for piece in made])
    for asked in ("auto", 120):
        made = [studio.takes(video, tempo=asked)[0] for video in studio.videos]
        beats = [np.array(piece.report["shots"])[1:, 0] * piece.report["tempo"] / 60 for piece in made]
        near = np.concatenate([np.abs(beat - np.rint(beat)) <= 1 / 16 for beat in beats])
        yield row("tempo", asked, "share of cuts within 1/16 of a beat", near)


def key(studio: Studio) -> Iterator[Row]:
    """Every tonic, modes, videos and seeds taking turns; a piece that is transposed may be in the relative key."""
    keys = [Key(tonic, minor=tonic % 2 == 1) for tonic in range(12)]
    turns = itertools.cycle(itertools.product(studio.seeds, studio.videos))
    made = [studio.takes(video, key=str(asked), seed=s)[0] for asked, (s, video) in zip(keys, turns, strict=False)]
    got = [(asked, piece.notes) for asked, piece in zip(keys, made, strict=True)]
    yield row("key", "12 keys", "share in the key", [asked == estimate_key(notes) for asked, notes in got])
    related = [into_key(notes, asked)[1] == 0 for asked, notes in got]
    yield row("key", "12 keys", "share in the key or its relative", related)


def chords(studio: Studio) -> Iterator[Row]:
    """A chord a bar, asked in major and minor; how many bars have it. Beside it, a piece that was asked for none."""
    for asked in ("C G Am F", "Dm Bb F C", "E A B7 E"):
        made = studio.pieces(chords=asked)
        yield row("chords", asked, "share of bars with the chord", [piece.report["chords_heard"] for piece in made])
        wished = [over_bars(parse_chords(asked), bars_of(math.ceil(piece.beats))) for piece in made]
        free = [share_heard(piece.notes, plan) for piece, plan in zip(studio.pieces(), wished, strict=True)]
        yield row("chords", "none", f"share of bars with {asked}", [share or 0.0 for share in free])


def seed(studio: Studio) -> Iterator[Row]:
    """Equal bytes for equal seeds; how much pieces of different seeds have in common."""
    same, pairs = [], []
    for video in studio.videos:
        once, again = (studio.takes(video, fresh=fresh)[0] for fresh in (False, True))
        same.append(Path(f"{once.stem}.mid").read_bytes() == Path(f"{again.stem}.mid").read_bytes())
        pairs += list(itertools.combinations([studio.takes(video, seed=s)[0].notes for s in studio.seeds], 2))
    yield row("seed", "the same", "share of files with equal bytes", same)
    yield row("seed", "another", "share of equal notes", [common(*pair) for pair in pairs])


def melody(studio: Studio) -> Iterator[Row]:
    """A tune, as long as the shortest video, is kept and accompanied."""
    count = max(1, int(2 * min(probe(video).duration for video in studio.videos)))  # beats at 120 BPM
    pitch = np.resize(TUNE, count)
    columns = np.arange(count) * STEPS_PER_BEAT, pitch, np.full(count, STEPS_PER_BEAT), np.full(count, 80)
    tune = Notes(*columns, np.zeros(count, np.int64))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "tune.mid"
        write_midi(tune, path)
        made = studio.pieces(melody=str(path))
    wanted, under = cells(tune), [cells(piece.notes.window(0, tune.end)) for piece in made]
    yield row("melody", f"{count} notes", "share of them in the piece", [len(wanted & got) / count for got in under])
    yield row("melody", f"{count} notes", "other notes per beat", [len(got - wanted) / count for got in under])


def keep_bars(studio: Studio) -> Iterator[Row]:
    """The first half of the bars of a piece, kept in a piece of another seed."""
    kept, outside = [], []
    for video, s in itertools.product(studio.videos, studio.seeds):
        old = studio.takes(video, seed=s)[0]
        last = max(1, int(old.beats) // BEATS_PER_BAR // 2)
        new = studio.takes(video, seed=s + 1000, keep=f"{old.stem}.mid", keep_bars=(1, last))[0]
        stop, end = last * STEPS_PER_BAR, max(old.notes.end, new.notes.end)
        kept.append(common(old.notes.window(0, stop), new.notes.window(0, stop)))
        outside.append(common(old.notes.window(stop, end), new.notes.window(stop, end)))
    yield row("keep_bars", "first half", "share of equal notes in these bars", kept)
    yield row("keep_bars", "first half", "share of equal notes after them", outside)


def mix(studio: Studio) -> Iterator[Row]:
    """For videos with sound: how much of it is in the result, and how loud that is."""
    audible = [video for video in studio.videos if probe(video).has_audio]
    for asked in ("replace", "duck", "keep"):
        made = [studio.takes(video, mix=asked, seed=s)[0] for video in audible for s in studio.seeds]
        pairs = [(sound(piece.report["video"]), sound(f"{piece.stem}.mp4")) for piece in made]
        yield row("mix", asked, "correlation with the video's own sound", [alike(*pair) for pair in pairs])
        yield row("mix", asked, "LUFS of the MP4, asked -16", [loudness(got, RATE) for _, got in pairs])


def variations(studio: Studio) -> Iterator[Row]:
    """The take that follows the picture best comes first."""
    made = [studio.takes(video, seed=s, variations=4) for video in studio.videos for s in studio.seeds]
    yield row("variations", 4, "takes", [len(takes) for takes in made])
    found = [[piece.report["following"] for piece in takes] for takes in made]
    known = [values for values in found if None not in values]
    yield row("variations", 4, "share ranked by following", [values == sorted(values)[::-1] for values in known])
    yield row("variations", 4, "following, first take", [values[0] for values in known])
    yield row("variations", 4, "following, all takes", [np.mean(values) for values in known])


def window(studio: Studio) -> Iterator[Row]:
    """Beats of an attention window."""
    plain = studio.pieces()
    for asked in (4, 8, 16, 32, "dynamic"):
        made = studio.pieces(network={"window": asked})
        yield row("compose.window", asked, "following", [piece.report["following"] for piece in made])
        equal = [common(a.notes, b.notes) for a, b in zip(plain, made, strict=True)]
        yield row("compose.window", asked, "share of notes equal to the default's", equal)


def each(name: str, studio: Studio) -> Iterator[Row]:
    """A control that is given one value after the other, and what is measured of the pieces."""
    values, measures, beside = EACH[name]
    of_network = name.startswith("compose.")
    for asked in values:
        wish = {name.removeprefix("compose."): asked}
        made = studio.pieces(**({"network": wish} if of_network else wish), **beside)
        for measure in measures:
            yield row(name, asked, measure, [MEASURES[measure](piece) for piece in made])


def off_grid(piece: Made) -> float:
    """Milliseconds from a note to the nearest sixteenth, mean over the notes."""
    step = 60 / piece.score.tempo / STEPS_PER_BEAT
    start = np.array([note.start for part in piece.parts for note in part.notes])
    return 1000 * float(np.abs(start - step * np.rint(start / step)).mean())


def pedals(piece: Made) -> float:
    """How often the pedal goes down in a bar."""
    changes = [change for part in piece.parts for change in part.control_changes]
    return sum(change.number == PEDAL and change.value > 63 for change in changes) * BEATS_PER_BAR / piece.beats


def players(piece: Made) -> float:
    """The share of the instruments asked for among those that play or were asked for."""
    asked = {voice.program for voice in palette(piece.report["settings"]["instruments"])}
    got = {part.program for part in piece.parts}
    return len(asked & got) / len(asked | got)


def last_level(piece: Made) -> float:
    """The level of the last 100 ms over that of the piece, in dB."""
    heard = sound(f"{piece.stem}.wav")
    return level(heard[-RATE // 10 :]) - level(heard)


MEASURES: dict[str, Callable[[Made], float | None]] = {
    "following": lambda piece: piece.report["following"],
    "notes per beat": lambda piece: len(piece.notes) / piece.beats,
    "notes a second": lambda piece: len(piece.notes) / piece.report["duration"],
    "BPM": lambda piece: piece.score.tempo,
    "mean pitch": lambda piece: piece.notes.pitch.mean(),
    "mean velocity": lambda piece: piece.notes.velocity.mean(),
    "range of velocity": lambda piece: np.ptp(piece.notes.velocity),
    "share in major": lambda piece: not estimate_key(piece.notes).minor,
    "ms off the grid": off_grid,
    "pedals a bar": pedals,
    "share of the right instruments": players,
    "share that end on the tonic": lambda piece: on_tonic(piece.notes),
    "dB of the last 100 ms over the mean": last_level,
    "LUFS of the WAV": lambda piece: loudness(sound(f"{piece.stem}.wav"), RATE),
}
SCENES = ("A fast, bright scene in warm colours.", "A slow, dark scene in cool colours.")
PLAYERS = ("piano", "music box", "flute+piano", "strings", "orchestra")
Scale = tuple[tuple[Any, ...], tuple[str, ...], dict[str, Any]]  # values, names of measures, settings beside them
EACH: dict[str, Scale] = {
    "intensity": ((0.5, 1.0, 1.5, 2.0), ("notes per beat",), {}),
    "caption": (SCENES, ("notes per beat", "mean pitch", "share in major"), {}),
    "valence": ((-0.9, 0, 0.9), ("mean pitch", "share in major"), {"tempo": None}),
    "arousal": ((-0.9, 0, 0.9), ("BPM", "notes a second", "mean velocity"), {"tempo": None}),
    "dynamics": ((0, 0.35, 0.7, 1), ("range of velocity",), {}),
    "humanize": ((0, 0.5, 1), ("ms off the grid", "pedals a bar"), {}),
    "instruments": (PLAYERS, ("share of the right instruments",), {}),
    "ending": (("fade", "cut", "resolve"), ("share that end on the tonic", "dB of the last 100 ms over the mean"), {}),
    "compose.guidance": ((1.0, 2.0, 3.0), ("following", "notes per beat"), {}),
    "lufs": ((-23.0, -16.0, -12.0), ("LUFS of the WAV",), {"ending": "cut"}),
}
CONTROLS: dict[str, Callable[[Studio], Iterator[Row]]] = {
    **{name: partial(each, name) for name in EACH},
    **{part.__name__: part for part in (tempo, key, chords, seed, melody, keep_bars, mix, variations, window)},
}


def row(control: str, asked: object, measure: str, values: Sequence[Any] | np.ndarray) -> Row:
    """Mean of what was got, with its interval."""
    found = mean_of(values)
    return {"control": control, "asked": str(asked), "measure": measure, "got": found.pop("mean"), **found}


def cells(notes: Notes) -> set[tuple[int, int, int]]:
    """Onset, pitch and duration of each note."""
    return set(zip(notes.onset.tolist(), notes.pitch.tolist(), notes.duration.tolist(), strict=True))


def common(a: Notes, b: Notes) -> float:
    """Notes that two pieces share, of all that either has; 1 for two empty pieces."""
    both = cells(a) | cells(b)
    return len(cells(a) & cells(b)) / len(both) if both else 1.0


def on_tonic(notes: Notes) -> bool:
    """Whether the pitch classes that sound last are the tonic triad of what comes before."""
    last = notes.select(notes.onset + notes.duration == notes.end)
    key = estimate_key(notes.select(notes.onset < last.onset.max(initial=0)))
    return set((last.pitch - key.tonic) % 12) == {0, 3 if key.minor else 4, 7}


def sound(path: str) -> np.ndarray:
    """The sound (n, 2) of a file at 48 kHz."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
    with av.open(path) as container:
        parts = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([part.to_ndarray() for part in parts], axis=1).T


def level(audio: np.ndarray) -> float:
    """Root mean square in dB, at least -120."""
    return float(20 * np.log10(max(np.sqrt(np.mean(np.square(audio))), 1e-6)))


def alike(own: np.ndarray, got: np.ndarray) -> float:
    """Pearson correlation of two sounds, both channels as one."""
    length = min(len(own), len(got))
    return float(np.corrcoef(*(fit_length(part, length).mean(axis=1) for part in (own, got)))[0, 1])


def measure_controls(cfg: DictConfig, controls: Sequence[str], seeds: int) -> int:
    """Make, measure, print."""
    if unknown := sorted(set(controls) - set(CONTROLS)):
        raise InputError(f"there is no control {', '.join(unknown)}; choose from {', '.join(CONTROLS)}")
    studio = Studio(*build_pipeline(cfg), find_videos(cfg.videos), seeds, writable_folder(cfg.out))
    rows = [found for name in tqdm(controls, "controls", disable=None) for found in CONTROLS[name](studio)]
    print("| control | asked | measured | got | n |\n|---|---|---|---|---|")
    for found in rows:
        got = mean_text({**found, "mean": found["got"]})
        print(f"| {found['control']} | {found['asked']} | {found['measure']} | {got} | {found['n']} |")
    about = {"checkpoint": str(cfg.checkpoint), "videos": [video.name for video in studio.videos], "seeds": seeds}
    print(json.dumps({"bench": "controls", **about, "rows": rows}))
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="pieces for each video and value (default 3)")
    parser.add_argument("--controls", default=",".join(CONTROLS), help="some of %(default)s; default: all")
    known, overrides = parser.parse_known_args(arguments)
    with TemporaryDirectory() as folder:
        given = ["videos=data/demo", f"out={folder}", *overrides]
        return run(lambda cfg: measure_controls(cfg, known.controls.split(","), known.seeds), "sample", given)


if __name__ == "__main__":
    sys.exit(main())
