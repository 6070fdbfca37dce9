"""The one path from a video file to its finished music: features, composition, sound, picture.

    video -> features -> beats -> rolls -> notes -> NAME.mid -> NAME.wav -> NAME.mp4, with NAME.png and NAME.json

A video's files are made in a hidden folder beside their place and moved there together, so that a video has all of
its results or none.

Shape legend: N beats of a piece, L = 4 N steps, n samples of sound.
"""

import contextlib
import json
import math
import os
import secrets
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.compose import Composer, Request
from diffbgm.errors import InputError
from diffbgm.files import writable_folder
from diffbgm.music.audio import fit_length, normalise_loudness, render, write_wav
from diffbgm.music.ending import cut_at, resolve
from diffbgm.music.key import Key, estimate_key, into_key
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.tempo import TempoChoice, beat_score, choose_tempo
from diffbgm.page import draw_roll
from diffbgm.video.features import BeatFeatures, Extractor, VideoFeatures, cached, on_beats
from diffbgm.video.mux import MIXES, RATE, mux
from diffbgm.video.steer import pace, with_caption, with_intensity

ENDINGS = ("fade", "cut", "resolve")
Advance = Callable[[int], None]
Stage = Callable[[str, int], AbstractContextManager[Advance]]  # stage(name, total) -> advance(done more)


@dataclass(frozen=True)
class Settings:
    """What a user can ask of the music of every video."""

    seed: int = 0
    tempo: float | str = "auto"  # BPM, or "auto": the tempo in `tempo_range` that puts most cuts on beats
    tempo_range: tuple[float, float] = (90.0, 140.0)
    intensity: float = 1.0  # factor on the motion that the model is shown (lite features)
    caption: str | None = None  # takes the place of every shot's caption
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
        if settings.keep_states and composer.settings.longform == "outpaint":
            raise InputError("keep_states needs all windows at once; add longform=joint or longform=independent")

    def run(self, video: Path, name: str, out: Path, stage: Stage) -> dict[str, Any]:
        """Make NAME.{mid,wav,mp4,png,json} in `out` from a video and return what the json holds.

        `stage` reports progress. Raises InputError where the video cannot be used; then nothing of it is left.
        """
        clock = _Clock()
        with clock("features"), stage("features", 1) as advance:
            features = cached(video, self.extractor, self.cache)
            advance(1)
        tempo = self._tempo(features)
        beats = self._beats(features, tempo.bpm)
        with clock("compose"):
            roll_notes, states = self._compose(beats, stage)
        end = math.ceil(features.duration * tempo.bpm / 60.0 * STEPS_PER_BEAT - 1e-6)
        notes = (resolve if self.settings.ending == "resolve" else cut_at)(roll_notes, end)
        moved = 0
        if self.key is not None:
            notes, moved = into_key(notes, self.key)
        with _staged(out, name) as folder:
            with clock("sound"), stage("sound", 1) as advance:
                write_midi(notes, folder / "mid", tempo.bpm, self.settings.program)
                sound = self._sound(folder / "mid", features.duration)
                write_wav(folder / "wav", sound, RATE)
                advance(1)
            with clock("mux"), stage("mux", 1) as advance:
                muxed = mux(video, sound, RATE, folder / "mp4", self.settings.mix, fade=0.0)
                advance(1)
            with clock("picture"):
                cuts = features.shots[1:, 0].tolist()
                draw_roll(notes, folder / "png", tempo.bpm, cuts, pace(beats), features.duration)
            if states is not None:
                np.savez_compressed(folder / "states.npz", **states)
            report = {
                "name": name,
                "video": str(video),
                "seed": self.settings.seed,
                **self.about,
                "duration": features.duration,
                "tempo": tempo.bpm,
                "tempo_score": tempo.score,
                "key": str(estimate_key(notes)) if len(notes) else None,
                "transposed": moved,
                "notes": len(notes),
                "mix": muxed.mix,
                "shots": features.shots.tolist(),
                "captions": list(features.captions),
                "settings": asdict(self.settings) | asdict(self.composer.settings),
                "seconds": clock.seconds | {"total": sum(clock.seconds.values())},
            }
            (folder / "json").write_text(json.dumps(report, indent=1, ensure_ascii=False), encoding="utf-8")
        return report

    def _tempo(self, features: VideoFeatures) -> TempoChoice:
        """The tempo asked for, or the one that suits the cuts; either way with its score."""
        cuts = features.shots[1:, 0]
        if self.settings.tempo == "auto":
            return choose_tempo(cuts, *self.settings.tempo_range)
        bpm = float(self.settings.tempo)
        return TempoChoice(bpm, beat_score(cuts, bpm) if len(cuts) else None)

    def _beats(self, features: VideoFeatures, bpm: float) -> BeatFeatures:
        """The features on the beats of the piece, with the user's wishes worked in."""
        count = max(1, math.ceil(features.duration * bpm / 60.0 - 1e-6))
        beats = on_beats(features, count, 60.0 / bpm)
        if self.settings.intensity != 1:
            beats = with_intensity(beats, self.settings.intensity)
        if self.settings.caption is not None:
            beats = with_caption(beats, self.settings.caption, self.extractor.embed([self.settings.caption])[0])
        return beats

    def _compose(self, beats: BeatFeatures, stage: Stage) -> tuple[Notes, dict[str, np.ndarray] | None]:
        """The notes of the piece and, where asked for, its predicted rolls at the kept timesteps."""
        composer, wanted = self.composer, self.settings.keep_states
        # What the last step gives is the finished roll, t = 0, wherever the network was asked last.
        labels = [*composer.sampler.timesteps(composer.schedule)[:-1], 0]
        nearest = {min(labels, key=lambda t: abs(t - wish)) for wish in wanted}
        kept: dict[int, np.ndarray] = {}
        request = Request(beats, seed=(self.settings.seed,))
        with stage("compose", composer.calls(request)) as advance:
            for progress in composer.compose([request]):
                label = labels[progress.step % len(labels)]
                if label in nearest:
                    kept[label] = progress.rolls[0].float().cpu().numpy()
                advance(1)
        states = {"t": np.array(list(kept)), "rolls": np.stack(list(kept.values()))} if kept else None
        return composer.notes(progress.rolls[0]), states

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
    low, high = settings.tempo_range
    if not slowest <= low <= high <= fastest:
        raise InputError(f"tempo_range=[{low:g},{high:g}] is no range; give two rising tempi, such as [90,140]")
    for field, value, choices in (("ending", settings.ending, ENDINGS), ("mix", settings.mix, MIXES)):
        if value not in choices:
            raise InputError(f"{field}={value} is unknown; give one of {', '.join(choices)}")
    if settings.seed < 0:
        raise InputError(f"seed={settings.seed} is negative; give 0 or more")
    if not 0 <= settings.intensity <= 4:
        raise InputError(f"intensity={settings.intensity:g} is out of range; give 0 (calm) to 4, 1 is as filmed")
    if not 0 <= settings.fade <= 60:
        raise InputError(f"fade={settings.fade:g} is out of range; give 0 to 60 seconds")
    if not -70 < settings.lufs <= 0:
        raise InputError(f"lufs={settings.lufs:g} is out of range; give a loudness between -70 and 0, such as -16")


class _Clock:
    """Wall-clock seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - begin


@contextlib.contextmanager
def _staged(out: Path, name: str) -> Iterator["_Folder"]:
    """Yield a hidden folder; afterwards move what lies in it to out/NAME.*, or after an exception remove it."""
    writable_folder(out)
    hidden = out / f".making.{os.getpid()}.{secrets.token_hex(4)}"
    hidden.mkdir()
    try:
        yield _Folder(hidden)
        for file in sorted(hidden.iterdir()):
            os.replace(file, out / f"{name}.{file.name.removeprefix('music.')}")
    finally:
        shutil.rmtree(hidden, ignore_errors=True)


class _Folder:
    """folder / "mid" is the path of music.mid in the hidden folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __truediv__(self, suffix: str) -> Path:
        return self.path / f"music.{suffix}"
