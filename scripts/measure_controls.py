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
import wave
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.results import write_takes
from diffbgm.app.sample import build_pipeline
from diffbgm.errors import InputError
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.files import writable_folder
from diffbgm.generation.pipeline import Pipeline
from diffbgm.generation.settings import SampleSettings
from diffbgm.music.audio import fit_length, loudness
from diffbgm.music.harmony import bars_of, over_bars, parse_chords, share_heard
from diffbgm.music.key import Key, estimate_key
from diffbgm.music.midi import Score, read_midi, write_midi
from diffbgm.music.notes import BEATS_PER_BAR, STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.video.decode import probe
from diffbgm.video.features import Advance
from diffbgm.video.folder import find_videos
from diffbgm.video.mux import RATE

TUNE = (72, 74, 76, 77, 79, 77, 76, 74)  # the melody that is asked for, a beat each
CAPTIONS = ("A fast, bright scene in warm colours.", "A slow, dark scene in cool colours.")


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    control: str
    asked: str
    measure: str  # what `got` is
    got: float | None
    ci95: list[float] | None
    n: int


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

    @property
    def density(self) -> float:
        """Notes per beat."""
        return len(self.notes) / self.beats


def quiet(stage: str, total: int) -> AbstractContextManager[Advance]:
    """No progress bar."""
    return nullcontext(lambda done: None)


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
            [takes] = self.pipeline.make([video], settings, None, quiet)
            reports = write_takes(takes, "piece", out, quiet)
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
    pairs = [(asked, estimate_key(piece.notes)) for asked, piece in zip(keys, made, strict=True)]
    yield row("key", "12 keys", "share in the key", [asked == got for asked, got in pairs])
    related = [got in (asked, relative(asked)) for asked, got in pairs]
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


def intensity(studio: Studio) -> Iterator[Row]:
    """How much is played."""
    for factor in (0.5, 1.0, 1.5, 2.0):
        made = studio.pieces(intensity=factor)
        yield row("intensity", factor, "notes per beat", [piece.density for piece in made])


def caption(studio: Studio) -> Iterator[Row]:
    """What a sentence changes."""
    for asked in CAPTIONS:
        made = studio.pieces(caption=asked)
        yield row("caption", asked, "notes per beat", [piece.density for piece in made])
        yield row("caption", asked, "mean pitch", [piece.notes.pitch.mean() for piece in made if len(piece.notes)])
        yield row("caption", asked, "share in major", [not estimate_key(piece.notes).minor for piece in made])


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
    asked = f"{count} notes"
    yield row("melody", asked, "share of its notes in the piece", [len(wanted & got) / count for got in under])
    yield row("melody", asked, "other notes per beat under it", [len(got - wanted) / count for got in under])


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


def ending(studio: Studio) -> Iterator[Row]:
    """What sounds last, and how loud."""
    for asked in ("fade", "cut", "resolve"):
        made = studio.pieces(ending=asked)
        last = [level(wav(piece)[-RATE // 10 :]) - level(wav(piece)) for piece in made]
        yield row("ending", asked, "share that end on the tonic triad", [on_tonic(piece.notes) for piece in made])
        yield row("ending", asked, "level of the last 100 ms, dB over the mean", last)


def mix(studio: Studio) -> Iterator[Row]:
    """For videos with sound: how much of it is in the result, and how loud that is."""
    audible = [video for video in studio.videos if probe(video).has_audio]
    for asked in ("replace", "duck", "keep"):
        made = [studio.takes(video, mix=asked, seed=s)[0] for video in audible for s in studio.seeds]
        pairs = [(sound(Path(piece.report["video"])), sound(Path(f"{piece.stem}.mp4"))) for piece in made]
        yield row("mix", asked, "correlation with the video's own sound", [alike(*pair) for pair in pairs])
        yield row("mix", asked, "LUFS of the MP4, asked -16", [loudness(got, RATE) for _, got in pairs])


def lufs(studio: Studio) -> Iterator[Row]:
    """Loudness of the WAV file, without a fade."""
    for asked in (-23.0, -16.0, -12.0):
        made = studio.pieces(lufs=asked, ending="cut")
        yield row("lufs", asked, "LUFS of the WAV, ending=cut", [loudness(wav(piece), RATE) for piece in made])


def variations(studio: Studio) -> Iterator[Row]:
    """The take that follows the picture best comes first."""
    made = [studio.takes(video, seed=s, variations=4) for video in studio.videos for s in studio.seeds]
    yield row("variations", 4, "takes", [len(takes) for takes in made])
    known = [found for found in map(followings, made) if found]
    ranked = [found == sorted(found, reverse=True) for found in known]
    yield row("variations", 4, "share ranked by following", ranked)
    yield row("variations", 4, "following, first take", [found[0] for found in known])
    yield row("variations", 4, "following, all takes", [np.mean(found) for found in known])


def window(studio: Studio) -> Iterator[Row]:
    """Beats of an attention window."""
    plain = studio.pieces()
    for asked in (4, 8, 16, 32, "dynamic"):
        made = studio.pieces(network={"window": asked})
        yield row("compose.window", asked, "following", followings(made))
        equal = [common(a.notes, b.notes) for a, b in zip(plain, made, strict=True)]
        yield row("compose.window", asked, "share of notes equal to the default's", equal)


def guidance(studio: Studio) -> Iterator[Row]:
    """How strictly the picture is followed."""
    for asked in (1.0, 2.0, 3.0):
        made = studio.pieces(network={"guidance": asked})
        yield row("compose.guidance", asked, "following", followings(made))
        yield row("compose.guidance", asked, "notes per beat", [piece.density for piece in made])


CONTROLS: dict[str, Callable[[Studio], Iterator[Row]]] = {
    **{function.__name__: function for function in (tempo, key, chords, seed, intensity, caption, melody, keep_bars)},
    **{function.__name__: function for function in (ending, mix, lufs, variations, window, guidance)},
}


def row(control: str, asked: object, measure: str, values: Sequence[Any] | np.ndarray) -> Row:
    """Mean of what was got, with its interval."""
    found = mean_of(values)
    return Row(control, str(asked), measure, found["mean"], found["ci95"], found["n"])


def cells(notes: Notes) -> set[tuple[int, int, int]]:
    """Onset, pitch and duration of each note."""
    return set(zip(notes.onset.tolist(), notes.pitch.tolist(), notes.duration.tolist(), strict=True))


def common(a: Notes, b: Notes) -> float:
    """Notes that two pieces share, of all that either has; 1 for two empty pieces."""
    both = cells(a) | cells(b)
    return len(cells(a) & cells(b)) / len(both) if both else 1.0


def relative(key: Key) -> Key:
    """The key of the other mode that has the same scale."""
    return Key((key.tonic + (3 if key.minor else -3)) % 12, not key.minor)


def on_tonic(notes: Notes) -> bool:
    """Whether the pitch classes that sound last are the tonic triad of what comes before."""
    last = notes.select(notes.onset + notes.duration == notes.end)
    key = estimate_key(notes.select(notes.onset < last.onset.max(initial=0)))
    return set((last.pitch - key.tonic) % 12) == {0, 3 if key.minor else 4, 7}


def followings(made: Sequence[Made]) -> list[float]:
    """Spearman correlation of notes and motion per beat of the pieces that have one."""
    return [piece.report["following"] for piece in made if piece.report["following"] is not None]


def wav(piece: Made) -> np.ndarray:
    """The music (n, 2) alone."""
    with wave.open(f"{piece.stem}.wav") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2).astype(np.float32) / 32768


def sound(path: Path) -> np.ndarray:
    """The sound (n, 2) of a video at 48 kHz."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=RATE)
    with av.open(str(path)) as container:
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
        got = mean_text({"mean": found.got, "ci95": found.ci95})
        print(f"| {found.control} | {found.asked} | {found.measure} | {got} | {found.n} |")
    about = {"checkpoint": str(cfg.checkpoint), "videos": [video.name for video in studio.videos], "seeds": seeds}
    print(json.dumps({"bench": "controls", **about, "rows": [asdict(found) for found in rows]}))
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
