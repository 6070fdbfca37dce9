"""What the performance is worth: loudness that follows the picture, soundfonts, ducking under speech.

    python scripts/measure_performance.py loudness videos=data/unseen [ending=cut]  short-term loudness against motion
    python scripts/measure_performance.py soundfonts "fonts=[builtin,musescore,fluid]"   size, seconds, spectrum
    python scripts/measure_performance.py ducking voice=speech.wav                 music where somebody speaks, and not

Each prints a table, means with 95 % intervals, then one JSON line. A voice comes from `espeak-ng -w speech.wav "..."`
(any WAV file will do).
"""

import json
import sys
import time
import wave
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from diffbgm import Pipeline
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.generation.music import Music
from diffbgm.generation.playing import cue_for, manner_of
from diffbgm.music.audio import RENDER_RATE, normalise_loudness, render_bytes, resample
from diffbgm.music.density import spearman
from diffbgm.music.fonts import find_soundfont
from diffbgm.music.loudness import short_term_loudness
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.mixing import duck_gain
from diffbgm.music.notes import Notes
from diffbgm.music.performer import shaped
from diffbgm.video.folder import find_videos
from diffbgm.video.steer import pace

SHORT_TERM = 3.0  # seconds that short-term loudness is measured over (EBU Tech 3341)
DYNAMICS = (0.0, 0.7, 1.0)
TURNS = 20  # times that a picture is turned in time for comparison
QUICK: dict[str, Any] = {"progress": False}


def loudness_follows(cfg: DictConfig) -> list[dict[str, Any]]:
    """Spearman correlation of short-term loudness with motion and with motion turned in time, for each dynamics.

    `over_flat` is the difference that dynamics make on the same notes. The fade at the end, which is as long as most of
    a short clip, counts unless ending=cut.
    """
    pipe = Pipeline.from_pretrained(cfg.checkpoint, device="cpu")
    found: list[list[tuple[float, float]]] = []
    for video in find_videos(cfg.videos)[: cfg.most]:
        flat = pipe(video, dynamics=0, humanize=0, seed=cfg.seed, ending=cfg.ending, **QUICK)
        pairs = [follows(with_dynamics(flat, dynamics)) for dynamics in DYNAMICS]
        found.append([pair for pair in pairs if pair is not None])
        print(f"{video}: {' '.join(f'{own:.3f}' for own, _ in found[-1])}", file=sys.stderr, flush=True)
    own, turned = np.array([rows for rows in found if len(rows) == len(DYNAMICS)]).T  # (dynamics, videos)
    return [
        {"dynamics": dynamics, "own": mean_of(a), "turned": mean_of(b), "over_flat": mean_of(a - own[0])}
        for dynamics, a, b in zip(DYNAMICS, own, turned, strict=True)
    ]


def with_dynamics(flat: Music, dynamics: float) -> Music:
    """The same notes with the loudness that these dynamics give them."""
    settings = replace(flat.settings, dynamics=dynamics)
    cue = cue_for(settings, flat.tempo, flat.shots, flat.shown, None)
    return replace(flat, settings=settings, notes=shaped(flat.notes, manner_of(settings), cue))


def follows(music: Music) -> tuple[float, float] | None:
    """Correlation of loudness with motion, and its mean over motion turned in time; None where either is level."""
    motion = None if music.shown is None else pace(music.shown)
    beat = 60 / music.tempo
    centres = np.arange(SHORT_TERM / 2, music.duration - SHORT_TERM / 2, beat)
    if motion is None or len(centres) < 8:
        return None
    spans = centres[:, None] + [-SHORT_TERM / 2, SHORT_TERM / 2]  # seconds
    level = short_term_loudness(music.audio, RENDER_RATE, np.rint(spans * RENDER_RATE).astype(int))
    level = np.maximum(level, -60.0)
    ends = np.minimum((spans / beat).astype(int), len(motion) - 1)
    moved = np.array([motion[a : b + 1].mean() for a, b in ends])
    own = spearman(level, moved)
    if own is None:
        return None
    shifts = np.random.default_rng(0).integers(len(moved) // 4, 3 * len(moved) // 4 + 1, TURNS)
    return own, float(np.mean([spearman(level, np.roll(moved, shift)) for shift in shifts]))


def soundfonts(cfg: DictConfig) -> list[dict[str, Any]]:
    """Size, processor seconds for a minute of piano (the first time, and again), brightness of soft and loud notes."""
    table = []
    for name in cfg.fonts:
        font = find_soundfont(name)
        seconds = []
        for _ in range(2):
            begin = time.process_time()
            sound = render_bytes(minute(), font, [0])
            seconds.append((time.process_time() - begin) * 60 / (len(sound) / RENDER_RATE))
        soft, loud = (centroid(render_bytes(minute(velocity), font, [0])) for velocity in (40, 110))
        table.append(
            {
                "soundfont": font.name,
                "megabytes": round(font.stat().st_size / 1e6),
                "first_s_a_minute": round(seconds[0], 2),
                "again_s_a_minute": round(seconds[1], 2),
                "centroid_hz_soft": round(soft),
                "centroid_hz_loud": round(loud),
            }
        )
    return table


def minute(velocity: int | None = None) -> bytes:
    """A minute of piano at 120 BPM: four notes a second from a seed, of one velocity or of any."""
    rng = np.random.default_rng(0)
    onset = np.arange(0, 480, 2)
    pitch = rng.choice([48, 52, 55, 60, 64, 67, 72, 76], len(onset))
    loud = rng.integers(40, 110, len(onset)) if velocity is None else np.full(len(onset), velocity)
    notes = Notes(onset, pitch, rng.integers(2, 8, len(onset)), loud, np.zeros(len(onset), np.int64))
    return midi_bytes([Track("piano", 0, notes, np.zeros(len(notes)))], 120)


def centroid(sound: np.ndarray) -> float:
    """The centre of the power spectrum in Hz."""
    power = np.abs(np.fft.rfft(sound.mean(axis=1))) ** 2
    return float((np.fft.rfftfreq(len(sound), 1 / RENDER_RATE) * power).sum() / power.sum())


def ducking(cfg: DictConfig) -> list[dict[str, Any]]:
    """Gain of the music (dB) where the original speaks or makes another sound as loud, and where it is silent."""
    voice = normalise_loudness(read_wav(Path(cfg.voice)), RENDER_RATE, -20)
    rng = np.random.default_rng(0)
    noise = normalise_loudness(rng.standard_normal(voice.shape).astype(np.float32), RENDER_RATE, -20)
    piano = normalise_loudness(np.resize(render_bytes(minute(), None, [0]), voice.shape), RENDER_RATE, -20)
    quiet = np.zeros((4 * RENDER_RATE, 2), np.float32)
    table = []
    for by in ("speech", "loudness"):
        for name, sound in {
            "speech": voice,
            "speech in noise 10 dB under": voice + noise * 10 ** (-10 / 20),
            "noise": noise,
            "piano": piano,
        }.items():
            original = np.concatenate([quiet, sound, quiet])
            decibels = 20 * np.log10(duck_gain(original, RENDER_RATE, -16.0, by))
            inside = slice(len(quiet) + RENDER_RATE, len(quiet) + len(sound) - RENDER_RATE)
            outside = np.r_[0 : 3 * RENDER_RATE, len(decibels) - 3 * RENDER_RATE : len(decibels)]
            table.append(
                {
                    "by": by,
                    "original": name,
                    "inside_db": round(float(decibels[inside].mean()), 1),
                    "outside_db": round(float(decibels[outside].mean()), 1),
                }
            )
    return table


def read_wav(path: Path) -> np.ndarray:
    """A 16-bit WAV file as stereo (n, 2) at 48 kHz."""
    with wave.open(str(path)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, file.getnchannels())
        sound = np.repeat(pcm.mean(axis=1, keepdims=True), 2, axis=1).astype(np.float32) / 32768
        return resample(sound, file.getframerate(), RENDER_RATE)


PARTS: dict[str, Callable[[DictConfig], list[dict[str, Any]]]] = {
    "loudness": loudness_follows,
    "soundfonts": soundfonts,
    "ducking": ducking,
}


def main() -> int:
    """Print the table of one part; the exit code is 2 for a part that does not exist."""
    if len(sys.argv) < 2 or sys.argv[1] not in PARTS:
        print(__doc__, file=sys.stderr)
        return 2
    defaults = {
        "videos": "data/demo",
        "most": 1000,
        "seed": 0,
        "ending": "fade",
        "checkpoint": "diffbgm-lite",
        "fonts": ["builtin", "musescore", "fluid"],
        "voice": "speech.wav",
    }
    cfg = OmegaConf.merge(defaults, OmegaConf.from_dotlist(sys.argv[2:]))
    table = PARTS[sys.argv[1]](cfg)
    print(" | ".join(table[0]))
    for row in table:
        print(" | ".join(mean_text(cell) if isinstance(cell, dict) else str(cell) for cell in row.values()))
    print(json.dumps({sys.argv[1]: table}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
