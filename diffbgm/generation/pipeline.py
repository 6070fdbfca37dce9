"""The one path from a video file to its finished music: features, composition, sound, picture.

    video -> features -> beats -> rolls -> notes -> NAME.mid -> NAME.wav -> NAME.mp4, with NAME.png and NAME.json

A video's files are made in a hidden folder beside their place and moved there together, so that a video has all of
its results or none.

Shape legend: N beats of a piece, L = 4 N steps, n samples of sound.
"""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.diffusion.inpainting import Known
from diffbgm.errors import InputError
from diffbgm.evaluation.alignment import follows, note_density
from diffbgm.files import Staging, staged
from diffbgm.generation.composer import Composer, Request
from diffbgm.generation.kept import keep_bars, keep_melody
from diffbgm.generation.picture import draw_roll
from diffbgm.music.audio import fit_length, normalise_loudness, render, write_wav
from diffbgm.music.ending import cut_at, resolve
from diffbgm.music.key import Key, estimate_key, into_key
from diffbgm.music.midi import read_midi, write_midi
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.tempo import TempoChoice, beat_score, choose_tempo
from diffbgm.video.features import BeatFeatures, Extractor, VideoFeatures, cached, on_beats
from diffbgm.video.mux import MIXES, RATE, mux
from diffbgm.video.steer import pace, with_accents_on_cuts, with_caption, with_intensity

ENDINGS = ("fade", "cut", "resolve")
MOST_VARIATIONS = 100  # takes of a video, which are composed together
Advance = Callable[[int], None]
Stage = Callable[[str, int], AbstractContextManager[Advance]]  # stage(name, total) -> advance(done more)


@dataclass(frozen=True)
class Settings:
    """What a user can ask of the music of every video."""

    seed: int = 0
    tempo: int | float | str = "auto"  # BPM, or "auto": the tempo in `tempo_range` that puts most cuts on beats
    tempo_range: tuple[float, float] = (90.0, 140.0)
    accent_cuts: bool = True  # the model is shown an accent on every cut (lite features)
    intensity: float = 1.0  # factor on the motion that the model is shown (lite features)
    caption: str | None = None  # takes the place of every shot's caption
    variations: int = 1  # takes per video
    melody: str | None = None  # a MIDI file whose notes are kept and accompanied
    keep: str | None = None  # a MIDI file of which
    keep_bars: tuple[int, int] | None = None  # these bars (1 is the first) are kept
    key: str | None = None  # transpose into this key, such as "A minor"
    ending: str = "fade"  # fade | cut | resolve
    fade: float = 2.0  # seconds, for ending=fade
    mix: str = "replace"  # replace | duck | keep
    lufs: float = -16.0  # loudness of the music
    soundfont: str | None = None  # an .sf2 file; None: the built-in one
    program: int = 0  # General MIDI instrument, 0..127
    keep_states: tuple[int, ...] = ()  # timesteps whose predicted rolls are kept in NAME.states.npz


class Pipeline:
    """Everything that serves all videos of a run. `about` goes into each video's json as it is."""

    def __init__(
        self, composer: Composer, extractor: Extractor, cache: Path, settings: Settings, about: Mapping[str, Any]
    ) -> None:
        self.composer, self.extractor, self.cache = composer, extractor, cache
        self.settings, self.about = settings, dict(about)
        self.key = None if settings.key is None else Key.parse(settings.key)
        _check(settings)
        composer.sampler.timesteps(composer.schedule)  # refuses what the schedule does not have, before any work
        if settings.keep_states and composer.settings.longform == "outpaint":
            raise InputError("keep_states needs all windows at once; add longform=joint or longform=independent")

    def run(self, video: Path, name: str, out: Path, stage: Stage) -> list[dict[str, Any]]:
        """Make NAME.{mid,wav,mp4,png,json} in `out` from a video and return what the json holds.

        With several variations the one that follows the picture best is NAME, the others NAME.take2, NAME.take3, ...;
        one report each. `stage` tells of progress. Raises InputError where the video cannot be used; then nothing of
        it is left.
        """
        clock = _Clock()
        with clock("features"), stage("features", 1) as advance:
            features = cached(video, self.extractor, self.cache)
            advance(1)
        tempo = self.tempo(features)
        beats = self.beats(features, tempo.bpm)
        with clock("compose"):
            takes = self._takes(beats, stage)
        about = {"video": str(video), **self.about, "tempo": tempo.bpm, "tempo_score": tempo.score}
        with contextlib.ExitStack() as stack:
            reports = []
            for place, take in enumerate(takes):
                title = name if place == 0 else f"{name}.take{place + 1}"
                staging = stack.enter_context(staged(out, title))
                report = self._finish(video, features, beats, take, tempo.bpm, staging, _Clock(clock.seconds), stage)
                reports.append({"name": title, **about, **report})
                text = json.dumps(reports[-1], indent=1, ensure_ascii=False)
                (staging / "json").write_text(text, encoding="utf-8")
        return reports

    def _finish(
        self,
        video: Path,
        features: VideoFeatures,
        beats: BeatFeatures,
        take: "_Take",
        bpm: float,
        staging: Staging,
        clock: "_Clock",
        stage: Stage,
    ) -> dict[str, Any]:
        """All files of a take but the json, and what is to be told of it."""
        settings = self.settings
        end = math.ceil(features.duration * bpm / 60.0 * STEPS_PER_BEAT - 1e-6)
        notes = (resolve if settings.ending == "resolve" else cut_at)(take.notes, end)
        notes, moved = (notes, 0) if self.key is None else into_key(notes, self.key)
        with clock("sound"), stage("sound", 1) as advance:
            write_midi(notes, staging / "mid", bpm, settings.program)
            sound = self._sound(staging / "mid", features.duration)
            write_wav(staging / "wav", sound, RATE)
            advance(1)
        with clock("mux"), stage("mux", 1) as advance:
            muxed = mux(video, sound, RATE, staging / "mp4", settings.mix, fade=0.0)
            advance(1)
        with clock("picture"):
            draw_roll(notes, staging / "png", bpm, features.shots[1:, 0].tolist(), pace(beats), features.duration)
        if take.states is not None:
            times, rolls = take.states
            np.savez_compressed(staging / "states.npz", t=times, rolls=rolls)
        return {
            "seed": settings.seed,
            "take": take.number,
            "following": take.following,
            "duration": features.duration,
            "key": str(estimate_key(notes)) if len(notes) else None,
            "transposed": moved,
            "notes": len(notes),
            "mix": muxed.mix,
            "shots": features.shots.tolist(),
            "captions": list(features.captions) if settings.caption is None else [settings.caption],
            "settings": asdict(settings) | asdict(self.composer.settings),
            "seconds": clock.seconds | {"total": sum(clock.seconds.values())},
        }

    def tempo(self, features: VideoFeatures) -> TempoChoice:
        """The tempo asked for, or the one that suits the cuts; either way with its score."""
        cuts = features.shots[1:, 0]
        if self.settings.tempo == "auto":
            return choose_tempo(cuts, *self.settings.tempo_range)
        bpm = float(self.settings.tempo)
        return TempoChoice(bpm, beat_score(cuts, bpm) if len(cuts) else None)

    def beats(self, features: VideoFeatures, bpm: float) -> BeatFeatures:
        """The features on the beats of the piece, with the user's wishes worked in."""
        count = max(1, math.ceil(features.duration * bpm / 60.0 - 1e-6))
        beats = on_beats(features, count, 60.0 / bpm)
        if self.settings.accent_cuts:
            beats = with_accents_on_cuts(beats)
        if self.settings.intensity != 1:
            beats = with_intensity(beats, self.settings.intensity)
        if self.settings.caption is not None:
            beats = with_caption(beats, self.settings.caption, self.extractor.embed([self.settings.caption])[0])
        return beats

    def _takes(self, beats: BeatFeatures, stage: Stage) -> list["_Take"]:
        """All variations of the piece, composed together; the one that follows the picture best comes first."""
        composer, settings = self.composer, self.settings
        # What the last step gives is the finished roll, t = 0, wherever the network was asked last.
        labels = [*composer.sampler.timesteps(composer.schedule)[:-1], 0]
        nearest = {min(labels, key=lambda t: abs(t - wish)) for wish in settings.keep_states}
        kept: dict[int, list[np.ndarray]] = {}
        known = self._known(STEPS_PER_BEAT * len(beats.visual))
        seeds = [(settings.seed, number) if number else (settings.seed,) for number in range(settings.variations)]
        requests = [Request(beats, seed, known) for seed in seeds]
        with stage("compose", composer.calls(requests[0])) as advance:
            for progress in composer.compose(requests):
                label = labels[progress.step % len(labels)]
                if label in nearest and not progress.sketch:
                    kept[label] = [roll.float().cpu().numpy() for roll in progress.rolls]
                advance(1)
        takes = []
        for number, roll in enumerate(progress.rolls):
            states = None
            if kept:
                states = np.array(list(kept)), np.stack([rolls[number] for rolls in kept.values()])
            notes = composer.notes(roll)
            takes.append(_Take(number, notes, _following(notes, beats), states))
        return sorted(takes, key=lambda take: -math.inf if take.following is None else take.following, reverse=True)

    def _known(self, total: int) -> Known | None:
        """The music that the user brings along, for a piece of `total` steps."""
        settings = self.settings
        if settings.melody is not None:
            return keep_melody(settings.melody, total)
        if settings.keep is not None and settings.keep_bars is not None:
            return keep_bars(settings.keep, *settings.keep_bars, total)
        return None

    def _sound(self, midi: Path, duration: float) -> np.ndarray:
        """The music (n, 2) at 48 kHz, exactly as long as the video, at the loudness asked for."""
        music = render(midi, soundfont=self.settings.soundfont, sample_rate=RATE)
        fade = {"fade": self.settings.fade, "cut": 0.02, "resolve": 0.6}[self.settings.ending]
        samples = round(duration * RATE)
        return fit_length(normalise_loudness(music, RATE, self.settings.lufs), samples, round(fade * RATE))


def _check(settings: Settings) -> None:
    """InputError for a setting out of its range."""
    slowest, fastest = 40.0, 240.0
    if settings.tempo != "auto":
        bpm = settings.tempo
        if isinstance(bpm, str) or not slowest <= bpm <= fastest:
            raise InputError(f"tempo={bpm} is no tempo; give {slowest:g} to {fastest:g} BPM, or tempo=auto")
    tempi = settings.tempo_range
    if len(tempi) != 2 or not slowest <= tempi[0] <= tempi[1] <= fastest:
        raise InputError(f"tempo_range={list(tempi)} is no range; give two rising tempi, such as [90,140]")
    for field, value, choices in (("ending", settings.ending, ENDINGS), ("mix", settings.mix, MIXES)):
        if value not in choices:
            raise InputError(f"{field}={value} is unknown; give one of {', '.join(choices)}")
    if settings.variations < 1:
        raise InputError(f"variations={settings.variations} asks for no music; give 1 or more")
    if settings.variations > MOST_VARIATIONS:
        raise InputError(f"variations={settings.variations} is more than fit in memory; give 1 to {MOST_VARIATIONS}")
    if settings.soundfont is not None and not Path(settings.soundfont).is_file():
        raise InputError(f"there is no soundfont {settings.soundfont}; give an .sf2 file, or none for the built-in one")
    if not 0 <= settings.program < 128:
        raise InputError(f"program={settings.program} is no instrument; give 0 to 127 (0 is the grand piano)")
    if (settings.keep is None) != (settings.keep_bars is None):
        raise InputError("keep=FILE.mid and keep_bars=[first,last] go together; give both")
    bars = settings.keep_bars
    if bars is not None and not (len(bars) == 2 and 1 <= bars[0] <= bars[1]):
        raise InputError(f"keep_bars={list(bars)} is no range; give the first and the last bar, such as [1,4]")
    if settings.melody is not None and settings.keep is not None:
        raise InputError("melody= and keep= cannot both be kept; give one of them")
    if settings.seed < 0:
        raise InputError(f"seed={settings.seed} is negative; give 0 or more")
    if not 0 <= settings.intensity <= 4:
        raise InputError(f"intensity={settings.intensity:g} is out of range; give 0 (calm) to 4, 1 is as filmed")
    if not 0 <= settings.fade <= 60:
        raise InputError(f"fade={settings.fade:g} is out of range; give 0 to 60 seconds")
    if not -70 < settings.lufs <= 0:
        raise InputError(f"lufs={settings.lufs:g} is out of range; give a loudness between -70 and 0, such as -16")
    for given in filter(None, (settings.melody, settings.keep)):
        read_midi(given)


@dataclass(frozen=True)
class _Take:
    """One variation of a piece."""

    number: int  # 0, 1, ... in the order of their seeds
    notes: Notes
    following: float | None  # Spearman correlation of notes and motion per beat; None where it cannot be computed
    states: tuple[np.ndarray, np.ndarray] | None  # kept timesteps (n,) and predicted rolls (n, 2, L, P)


def _following(notes: Notes, beats: BeatFeatures) -> float | None:
    motion = pace(beats)
    if motion is None:
        return None
    shown = int(beats.valid.sum())
    aligned = follows(note_density(notes, shown), motion[:shown], np.random.default_rng(0))
    return None if aligned is None else aligned.value


class _Clock:
    """Wall-clock seconds by stage, after what was measured `before`."""

    def __init__(self, before: Mapping[str, float] | None = None) -> None:
        self.seconds = dict(before or {})

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin
