"""A finished piece: the value that `Pipeline` returns, to be played, shown, measured or saved.

Shape legend: N notes, L steps of the piece, P pitches, S shots, n samples of sound.
"""

import base64
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.generation.harmony import HarmonyPlan
from diffbgm.generation.playing import Played, Sound, cue_for, play, rights, sounding
from diffbgm.generation.settings import SampleSettings
from diffbgm.generation.states import States
from diffbgm.music.audio import RENDER_RATE
from diffbgm.music.key import estimate_key
from diffbgm.music.mood import MoodCurve
from diffbgm.music.notes import STEPS_PER_BEAT, Notes
from diffbgm.music.pianoroll import encode
from diffbgm.video.features import Advance, BeatFeatures
from diffbgm.video.steer import curves, pace

log = logging.getLogger(__name__)
SAMPLE_RATE = RENDER_RATE  # Hz


@dataclass(frozen=True, eq=False)
class Music:
    """The music for a video. Audio is rendered when it is first used, and nothing is written before `save`."""

    notes: Notes  # N notes, in the requested key and up to the end of the video
    tempo: float  # beats per minute
    duration: float  # seconds of the video
    shots: NDArray[np.float64]  # (S, 2) seconds
    captions: tuple[str, ...]  # of the shots, or the single one that replaced them
    following: float | None  # Spearman correlation of notes and motion per beat; None if it cannot be computed
    settings: SampleSettings  # all settings in effect, including defaults of the checkpoint
    video: Path | None = None  # None if only features were given
    fade: float | None = None  # seconds in which the picture fades to black at its end; None if it does not
    shown: BeatFeatures | None = None  # the features that the network was conditioned on, but for `motion_contrast`
    sections: tuple[tuple[int, str], ...] = ()  # (first beat, letter) of each section; empty without a form
    take: int = 0  # 0, 1, ... in the order of their seeds
    tempo_score: float | None = None  # share of cuts on beats (`choose_tempo`)
    transposed: int = 0  # semitones by which the piece was transposed to reach `settings.key`
    harmony: HarmonyPlan | None = None  # the chords it was composed in; None without a plan
    states: States | None = None  # denoising states, if requested by keep_states
    moods: MoodCurve | None = None  # the requested moods
    seconds: Mapping[str, float] = field(default_factory=dict)  # wall-clock seconds by stage
    about: Mapping[str, Any] = field(default_factory=dict)  # checkpoint, device and versions
    sample_rate: int = SAMPLE_RATE  # Hz, of `audio`

    @cached_property
    def roll(self) -> NDArray[np.float32]:
        """The piano roll (2, L, 128) of 0 and 1: onset and sustain."""
        steps = int(np.ceil(self.duration * self.tempo / 60 * STEPS_PER_BEAT - 1e-6))
        return encode(self.notes, max(steps, self.notes.end))

    @cached_property
    def played(self) -> Played:
        """The piece as it is played: timing, instruments, and its MIDI file.

        Instruments for which the piece has no notes are left out, with a warning in the log.
        """
        cue = cue_for(self.settings, self.tempo, self.shots, self.shown, self.moods)
        played = play(self.notes, self.settings, self.tempo, self.shots, cue, self.take)
        if played.left_out:
            piece = "this piece" if self.video is None else f"the music for {self.video.name}"
            log.warning("%s is without %s, which would have nothing to play", piece, " and ".join(played.left_out))
        return played

    @cached_property
    def _sound(self) -> Sound:
        return self._rendered()

    def _rendered(self, advance: Advance | None = None) -> Sound:
        return sounding(self.played, self.settings, self.duration, self.fade, advance)

    @property
    def renderings(self) -> int:
        """How many times a soundfont player goes through the piece for its audio: once, or with stems once per part."""
        return len(self.played.parts) if self.settings.stems else 1

    def render(self, advance: Advance | None = None) -> None:
        """Render the audio now rather than when it is first used; advance(1) is called after each of `renderings`."""
        if "_sound" not in self.__dict__:
            self.__dict__["_sound"] = self._rendered(advance)

    @property
    def audio(self) -> NDArray[np.float32]:
        """The audio (n, 2) float32, exactly as long as the video, at the requested loudness.

        Raises InputError if the soundfont cannot be used.
        """
        return self._sound.mix

    @property
    def stems(self) -> dict[str, NDArray[np.float32]]:
        """The audio (n, 2) of each part by its name, such as "flute-lead"; empty unless settings.stems is true."""
        return self._sound.stems

    @property
    def key(self) -> str | None:
        """The key the notes are in, such as "A minor"; None for a piece without notes."""
        return str(estimate_key(self.notes)) if len(self.notes) else None

    def save(self, path: str | Path) -> Path:
        """Write the piece atomically in the format given by the ending of `path`, and return the path.

        .mp4: the video with the music; .mid; .wav; .png: the piano roll; .json: `report()`. The path of the video
        is allowed: the video is then replaced. Raises InputError for any other ending, for a missing folder, and for
        .mp4 if the music was made from features only.
        """
        path = Path(path)
        writers: dict[str, Callable[[Path], object]] = {
            ".mp4": self.save_video,
            ".mid": self._save_midi,
            ".wav": self._save_sound,
            ".png": self._save_picture,
            ".json": self._save_report,
        }
        if path.suffix.lower() not in writers:
            raise InputError(f"{path} has the ending {path.suffix!r}, which is unknown; give {' '.join(writers)}")
        if not path.parent.is_dir():
            raise InputError(f"there is no folder {path.parent}; make it first, or give another")
        writers[path.suffix.lower()](path)
        return path

    def save_video(self, path: Path, original: Path | None = None, advance: Advance | None = None) -> str:
        """Write the video with the music as an MP4; returns the mix in effect ("replace" for a silent video).

        `original`: an .m4a file for the video's own sound, written if it is mixed in. advance(1) is called after each
        second of the video.
        """
        from diffbgm.video.mux import mux

        if self.video is None:
            raise InputError(f"{path} needs the video, but this music was made from features; save .wav or .mid")
        with atomic(path) as temporary:
            muxed = mux(self.video, self.audio, self.sample_rate, temporary, self.settings.mix, 0.0, original, advance)
        return muxed.mix

    def report(self) -> dict[str, Any]:
        """Everything known about the piece, as JSON values."""
        return {
            "video": None if self.video is None else str(self.video),
            **self.about,
            "tempo": self.tempo,
            "tempo_score": self.tempo_score,
            "seed": self.settings.seed,
            "take": self.take,
            "following": self.following,
            "duration": self.duration,
            "key": self.key,
            "transposed": self.transposed,
            "chords_asked": None if self.harmony is None else [str(chord) for chord in self.harmony.chords],
            "chords_heard": None if self.harmony is None else self.harmony.heard(self.notes),
            "notes": len(self.notes),
            "instruments": [part.voice.name for part in self.played.parts],
            "instruments_left_out": list(self.played.left_out),
            "mood": self.mood(),
            "mix": self.settings.mix,
            "shots": self.shots.tolist(),
            "captions": list(self.captions),
            "sections": [list(section) for section in self.sections],
            "curves": {} if self.shown is None else curves(self.shown),
            "settings": asdict(self.settings),
            "rights": rights(self.settings),
            "seconds": {**self.seconds, "total": sum(self.seconds.values())},
        }

    def mood(self) -> dict[str, Any]:
        """The requested mood, and how the piece expresses it: notes per beat, mean velocity and pitch, mode."""
        notes, beats = self.notes, max(self.duration * self.tempo / 60, 1e-9)
        mean = None if self.moods is None else self.moods.mean(self.duration)
        return {
            "valence": None if mean is None else mean.valence,
            "arousal": None if mean is None else mean.arousal,
            "notes_per_beat": len(notes) / beats,
            "velocity": float(notes.velocity.mean()) if len(notes) else None,
            "pitch": float(notes.pitch.mean()) if len(notes) else None,
            "minor": estimate_key(notes).minor if len(notes) else None,
        }

    def _save_midi(self, path: Path) -> None:
        with atomic(path) as temporary:
            temporary.write_bytes(self.played.midi)

    def _save_sound(self, path: Path) -> None:
        from diffbgm.music.audio import write_wav

        write_wav(path, self.audio, self.sample_rate)

    def _save_picture(self, path: Path) -> None:
        from diffbgm.generation.picture import draw_roll

        motion = None if self.shown is None else pace(self.shown)
        draw_roll(self.notes, path, self.tempo, self.shots[1:, 0].tolist(), motion, self.duration)

    def _save_report(self, path: Path) -> None:
        with atomic(path) as temporary:
            temporary.write_text(json.dumps(self.report(), indent=1, ensure_ascii=False), encoding="utf-8")

    def _repr_html_(self) -> str:
        """The piano roll and a player, for notebooks."""
        with TemporaryDirectory() as folder:
            files = [self.save(Path(folder) / name).read_bytes() for name in ("music.png", "music.wav")]
        picture, sound = (base64.b64encode(data).decode() for data in files)
        facts = f"{self.duration:.1f} s, {len(self.notes)} notes, {self.tempo:g} BPM, {self.key or 'no key'}"
        return (
            f'<figure style="margin:0"><img alt="Piano roll: {facts}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"><figcaption>{facts}</figcaption>'
            f'<audio controls src="data:audio/wav;base64,{sound}"></audio></figure>'
        )
