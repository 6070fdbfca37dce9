"""From notes to a performance and its sound: instruments, loudness, timing and reverberation.

    cue = cue_for(settings, tempo, shots, shown, moods)
    notes = shaped(notes, manner_of(settings), cue)             loudness
    played = play(notes, settings, tempo, shots, cue)           timing and instruments; played.midi
    sound = sounding(played, settings, seconds, fade)           sound.mix, sound.stems

Shape legend: N notes, T beats, S shots, n samples of sound.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.generation.settings import SampleSettings
from diffbgm.music.arrange import Part, arrange
from diffbgm.music.audio import RENDER_RATE, fit_length, normalise_together, render_bytes
from diffbgm.music.fonts import find_soundfont, licence_of
from diffbgm.music.instruments import ALL, Voice, palette, program_named
from diffbgm.music.key import estimate_key
from diffbgm.music.midi_score import Marker, midi_bytes
from diffbgm.music.mood import Mood, MoodCurve, Moods, read_moods
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.parts import lead_of
from diffbgm.music.performer import Cue, Manner, Performance, timed
from diffbgm.video.captions import MiniLMEmbedder
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import curves

MOTION_SHARE, LIGHT_SHARE = 0.75, 0.25  # weights of motion and brightness in the energy of the picture
EPIC = 0.65  # arousal from which a mood gets an orchestra, whatever its valence
AROUSAL_SHARE = 0.5  # what full arousal adds to the energy
CUT_FADE = {"cut": 0.02, "resolve": 0.6}  # seconds in which the sound ends, by settings.ending
LEAST_FADE = 2.0  # seconds; the shortest fade of fade=auto


@dataclass(frozen=True)
class Played:
    """A piece as it is played."""

    performance: Performance
    parts: tuple[Part, ...]
    tempo: float  # BPM
    cuts: np.ndarray  # seconds of each cut
    room: float  # 0..1, the reverb send level
    left_out: tuple[str, ...] = ()  # instruments that were asked for but have nothing to play

    @property
    def notes(self) -> Notes:
        """All notes as composed, with the velocities of the performance."""
        return self.performance.notes

    @cached_property
    def midi(self) -> bytes:
        """A MIDI file of all parts, with tempo, key and a marker at each cut."""
        return self._file(self.parts)

    def alone(self, part: Part) -> bytes:
        """A MIDI file of one part."""
        return self._file((part,))

    def names(self) -> list[str]:
        """The names of the stems, such as "flute-lead", in the order of the parts."""
        return ["-".join(part.voice.name.lower().replace("(", " ").replace(")", " ").split()) for part in self.parts]

    def _file(self, parts: Sequence[Part]) -> bytes:
        key = estimate_key(self.notes) if len(self.notes) else None
        markers = [Marker(float(second), f"cut {number}") for number, second in enumerate(self.cuts, start=1)]
        return midi_bytes([part.track() for part in parts], self.tempo, key, markers, self.room)


@dataclass(frozen=True)
class Sound:
    """The sound of a piece, as long as its video."""

    mix: np.ndarray  # (n, 2)
    stems: dict[str, np.ndarray]  # name of the part -> (n, 2); they add up to the mix


@lru_cache(maxsize=1)
def mood_plane() -> Moods:
    """The points of mood words; its language model is loaded for the first word that is not in its table."""
    return Moods(MiniLMEmbedder().embed)


def mood_curve(settings: SampleSettings, moods: Moods) -> MoodCurve | None:
    """The requested moods over the course of the video, or None. Raises InputError for text that is not a mood."""
    if settings.moods is not None:
        return read_moods(settings.moods, moods)
    if settings.mood is None and settings.valence is None and settings.arousal is None:
        return None
    place = Mood() if settings.mood is None else moods.of(settings.mood)
    return MoodCurve.constant(
        Mood(
            place.valence if settings.valence is None else settings.valence,
            place.arousal if settings.arousal is None else settings.arousal,
        )
    )


def voices_of(settings: SampleSettings) -> tuple[Voice, ...]:
    """The voices that play; `program` is one instrument for everything. Raises InputError for an unknown name."""
    program = program_named(settings.program)
    if program and settings.instruments != "piano":
        raise InputError(f"instruments={settings.instruments} and program={settings.program} both choose; give one")
    if program:
        return (Voice(program, ALL),)
    return palette(settings.instruments)


def fitting_palette(mood: Mood | None) -> str:
    """A palette that suits a mood: bright for happy moods, dark for sad ones, with more instruments for excited ones.

    Very excited moods (epic, heroic, triumph) get the orchestra even if they are happy.
    """
    if mood is None or abs(mood.valence) + abs(mood.arousal) < 0.3:
        return "piano"
    if mood.arousal >= EPIC:
        return "orchestra"
    if mood.valence >= 0:
        return "folk" if mood.arousal >= 0 else "harp"
    return "orchestra" if mood.arousal >= 0 else "chamber"


def cue_of(shown: BeatFeatures | None, cuts: np.ndarray, tempo: float, arousal: np.ndarray | None = None) -> Cue:
    """What the picture asks for: loud with much motion, soft in the dark, accents on the cuts (seconds).

    The swell of all parts follows motion alone. `arousal` (T,) -1..1 is added to both. Image embeddings do not contain
    motion and light.
    """
    seen = {} if shown is None else curves(shown)
    energy = swell = np.zeros(0)
    if seen:
        swell = 2 * np.array(seen["motion"]) - 1
        energy = MOTION_SHARE * swell + LIGHT_SHARE * (2 * np.array(seen["light"]) - 1)
    if arousal is not None:
        bases = (base if len(base) else np.zeros(len(arousal)) for base in (energy, swell))
        energy, swell = (np.clip(base + AROUSAL_SHARE * arousal[: len(base)], -1, 1) for base in bases)
    return Cue(energy, np.rint(np.asarray(cuts) * tempo / 60 * STEPS_PER_BEAT).astype(np.int64), swell)


def cue_for(
    settings: SampleSettings, tempo: float, shots: np.ndarray, shown: BeatFeatures | None, moods: MoodCurve | None
) -> Cue:
    """The cue of a video with these shots (S, 2) seconds under these settings and moods."""
    cuts = np.asarray(shots)[1:, 0] if settings.accent_cuts else np.zeros(0)
    arousal = None
    if moods is not None and shown is not None:
        arousal = moods.at((np.arange(len(shown.visual)) + 0.5) * 60 / tempo)[1]
    return cue_of(shown, cuts, tempo, arousal)


def play(notes: Notes, settings: SampleSettings, tempo: float, shots: np.ndarray, cue: Cue, take: int = 0) -> Played:
    """Perform and arrange notes that have their velocities (performer.shaped); reproducible for settings and take.

    Raises InputError for an unknown instrument and for more instruments than parts.
    """
    lead = lead_of(notes)
    seed = (settings.seed, take) if take else (settings.seed,)
    played = timed(notes, manner_of(settings), cue, seed, tempo, lead)
    voices = voices_of(settings)
    parts = tuple(arrange(played, lead, voices))
    playing = {(part.voice.program, role) for part in parts for role in (part.voice.role, ALL)}
    left_out = tuple(voice.name for voice in voices if (voice.program, voice.role) not in playing)
    return Played(played, parts, tempo, np.asarray(shots)[1:, 0], settings.room, left_out)


def manner_of(settings: SampleSettings) -> Manner:
    """The manner of playing that the settings ask for."""
    return Manner(settings.dynamics, settings.humanize)


def sounding(
    played: Played,
    settings: SampleSettings,
    seconds: float,
    fade: float | None = None,
    advance: Callable[[int], None] | None = None,
) -> Sound:
    """The sound, `seconds` long, at the requested loudness; with settings.stems also that of each part.

    `fade` is how long the picture takes to fade to black, if it does; with fade=auto the music fades with it.
    advance(1) is called after each rendering. Raises InputError for a soundfont that cannot be used.
    """
    font = find_soundfont(settings.soundfont)
    samples, ending = round(seconds * RENDER_RATE), round(fade_seconds(settings, fade) * RENDER_RATE)
    programs = [part.voice.program for part in played.parts]
    files = [played.alone(part) for part in played.parts] if settings.stems else [played.midi]
    raw = []
    for file in files:
        raw.append(fit_length(render_bytes(file, font, programs), samples, ending))
        if advance is not None:
            advance(1)
    mix, stems = normalise_together(raw, RENDER_RATE, settings.lufs)
    return Sound(mix, dict(zip(played.names(), stems, strict=True)) if settings.stems else {})


def fade_seconds(settings: SampleSettings, picture: float | None) -> float:
    """Seconds in which the sound fades out; `picture`: those in which the picture fades to black, None for none."""
    if settings.ending != "fade":
        return CUT_FADE[settings.ending]
    if settings.fade == "auto":
        return LEAST_FADE if picture is None else max(LEAST_FADE, picture)
    return float(settings.fade)


def rights(settings: SampleSettings) -> dict[str, str]:
    """The licences of everything that went into the music, and who owns the result."""
    font: Path = find_soundfont(settings.soundfont)
    return {
        "code": "MIT (diffbgm)",
        "weights": "MIT (diffbgm-lite, trained on POP909, MIT); other checkpoints as their makers say",
        "soundfont": licence_of(font),
        "result": "yours: this project claims no rights in the notes and the sound that it makes for you",
    }
