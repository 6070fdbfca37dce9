"""Moods: words and numbers as points in the plane of valence (sad to happy) and arousal (calm to excited), both -1..1.

A word in the table below has the point given there. Any other text gets the mean of the table's points, weighted by
similarity of meaning (sentence embeddings). Russell (1980), "A circumplex model of affect", gives 28 of the words as
angles; the points of the others, which are common for films and music, are ours.

What a point means for music follows Gabrielsson & Lindstrom (2010), "The role of structure in the musical expression
of emotions": arousal acts on tempo, density and loudness, valence on mode and register.

Shape legend: N notes, T beats, K moments of a moods.csv, D width of an embedding.
"""

import csv
import difflib
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.files import regular
from diffbgm.music.key import estimate_key, key_correlations, pitch_class_weights
from diffbgm.music.notes import Notes

Embed = Callable[[Sequence[str]], np.ndarray]  # texts to unit vectors (n, D)

_RUSSELL = {  # degrees, anticlockwise from pure pleasure; 90 is pure arousal
    "happy": 7.8, "delighted": 24.9, "excited": 48.6, "astonished": 69.8, "aroused": 73.8, "tense": 92.8,
    "alarmed": 96.5, "angry": 99.0, "afraid": 116.0, "annoyed": 123.0, "distressed": 138.0, "frustrated": 141.0,
    "miserable": 188.7, "sad": 207.5, "gloomy": 209.0, "depressed": 210.0, "bored": 242.0, "droopy": 256.5,
    "tired": 267.7, "sleepy": 271.9, "calm": 316.2, "relaxed": 318.0, "satisfied": 319.0, "at ease": 321.0,
    "content": 323.0, "serene": 328.6, "glad": 349.0, "pleased": 353.2,
}  # fmt: skip
_OURS = {  # valence, arousal
    "hopeful": (0.6, 0.1), "hope": (0.6, 0.1), "romantic": (0.6, -0.2), "love": (0.8, 0.1), "warm": (0.6, -0.2),
    "epic": (0.4, 0.8), "heroic": (0.5, 0.7), "triumph": (0.7, 0.7), "power": (0.3, 0.7), "adventure": (0.5, 0.6),
    "energetic": (0.5, 0.8), "fast": (0.1, 0.7), "thrill": (0.4, 0.8), "fun": (0.7, 0.5), "funny": (0.6, 0.4),
    "festive": (0.7, 0.6), "upbeat": (0.7, 0.5), "joy": (0.9, 0.4), "uplifting": (0.7, 0.3), "inspiring": (0.6, 0.3),
    "dark": (-0.6, -0.1), "bleak": (-0.7, -0.4), "sinister": (-0.7, 0.3), "ominous": (-0.6, 0.2), "creepy": (-0.6, 0.4),
    "horror": (-0.8, 0.6), "fear": (-0.7, 0.6), "suspenseful": (-0.4, 0.6), "mysterious": (-0.2, 0.0),
    "aggressive": (-0.5, 0.8), "anger": (-0.6, 0.8), "violent": (-0.7, 0.8), "chaotic": (-0.4, 0.8),
    "frantic": (-0.3, 0.8), "lonely": (-0.6, -0.5), "grief": (-0.8, -0.3), "sorrow": (-0.8, -0.4),
    "melancholic": (-0.5, -0.5), "nostalgic": (-0.1, -0.4), "bittersweet": (-0.1, -0.3), "solemn": (-0.2, -0.5),
    "dreamlike": (0.3, -0.6), "peaceful": (0.6, -0.7), "gentle": (0.5, -0.6), "cosy": (0.6, -0.5),
    "elegant": (0.4, -0.2), "meditation": (0.4, -0.8), "slow": (0.0, -0.7), "lazy": (0.0, -0.8), "neutral": (0.0, 0.0),
    # Embeddings place these with their opposites, or nowhere.
    "cold": (-0.4, -0.3), "icy": (-0.4, -0.3), "light": (0.5, 0.0), "cool": (0.4, 0.0), "carefree": (0.7, 0.2),
    "breezy": (0.6, 0.2), "jolly": (0.8, 0.5), "whimsical": (0.5, 0.3), "funky": (0.5, 0.6),
    "euphoric": (0.8, 0.7), "grand": (0.5, 0.5), "ethereal": (0.3, -0.6), "pensive": (-0.2, -0.4),
    "wistful": (-0.2, -0.4), "sentimental": (0.1, -0.3), "stormy": (-0.4, 0.7), "urgent": (-0.2, 0.7),
    "confident": (0.6, 0.3), "rural": (0.4, -0.3), "restful": (0.5, -0.7),
}  # fmt: skip
WORDS: dict[str, tuple[float, float]] = {
    **{word: (math.cos(math.radians(angle)), math.sin(math.radians(angle))) for word, angle in _RUSSELL.items()},
    **_OURS,
}
NEARNESS = 0.06  # increase in cosine similarity that multiplies the weight of a word by e
FOREIGN = 0.36  # a text whose cosine similarity to every word of the table is below this is not a mood
DECIDED = 0.25  # absolute valence from which the mode is set
TEMPO_OCTAVES = 0.35  # octaves by which the tempo range moves at full arousal
MOST_BYTES, MOST_MOMENTS, LONGEST_CELL = 1 << 20, 10_000, 200  # of a moods.csv
LAST_SECOND = 1e7  # largest time in a moods.csv
GLIDE_SECONDS = 2.0  # duration of the change from one mood of a moods.csv to the next


@dataclass(frozen=True)
class Mood:
    """A point in the plane. Raises InputError outside -1..1."""

    valence: float = 0.0
    arousal: float = 0.0

    def __post_init__(self) -> None:
        for name in ("valence", "arousal"):
            value = getattr(self, name)
            if not -1 <= value <= 1:
                raise InputError(f"{name}={value:g} is out of range; give -1 to 1")

    @property
    def mode(self) -> str | None:
        """Major or minor; None if the valence is too small to decide."""
        return None if abs(self.valence) < DECIDED else "major" if self.valence > 0 else "minor"

    def tempi(self, low: float, high: float, slowest: float = 40.0, fastest: float = 240.0) -> tuple[float, float]:
        """A range of tempi (BPM), raised or lowered by the arousal."""
        factor = 2 ** (TEMPO_OCTAVES * self.arousal)
        return float(np.clip(low * factor, slowest, fastest)), float(np.clip(high * factor, slowest, fastest))


@dataclass(frozen=True)
class MoodCurve:
    """Moods over the course of a video."""

    seconds: np.ndarray  # (K,) rising
    valence: np.ndarray  # (K,)
    arousal: np.ndarray  # (K,)

    @classmethod
    def constant(cls, mood: Mood) -> "MoodCurve":
        """One mood throughout."""
        return cls(np.zeros(1), np.array([mood.valence]), np.array([mood.arousal]))

    def at(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Valence and arousal (T,) at moments (T,): each mood holds until it glides into the next one."""
        edges = np.array([-GLIDE_SECONDS / 2, GLIDE_SECONDS / 2])
        knots = np.maximum.accumulate((self.seconds[1:, None] + edges).ravel())
        if not len(knots):
            return np.full(len(seconds), self.valence[0]), np.full(len(seconds), self.arousal[0])
        valence, arousal = (np.repeat(values, 2)[1:-1] for values in (self.valence, self.arousal))
        return np.interp(seconds, knots, valence), np.interp(seconds, knots, arousal)

    def mean(self, duration: float | None = None) -> Mood:
        """The mean mood of a film of `duration` seconds, by the time that each mood holds; None: all count alike."""
        weights = np.ones(len(self.seconds))
        if duration is not None:
            starts = np.minimum([0.0, *self.seconds[1:]], duration)
            weights = np.diff([*starts, duration])
        return Mood(*(float(np.average(values, weights=weights)) for values in (self.valence, self.arousal)))


class Moods:
    """The points of words. `embed` returns sentence embeddings of unit length; it is called for unknown words only."""

    def __init__(self, embed: Embed) -> None:
        self.embed = embed

    def of(self, text: str) -> Mood:
        """The point of words such as "calm, hopeful": the mean of their points.

        Raises InputError, which names the nearest words of the table, if a part of the text is not a mood.
        """
        parts = [part for part in re.split(r"\s*(?:,|;|\+|&|\band\b)\s*", text.strip().lower()) if part]
        if not parts:
            raise InputError("mood= is empty; give words such as 'calm, hopeful'")
        places = np.array([WORDS[part] if part in WORDS else self._by_meaning(part) for part in parts])
        return Mood(*(float(value) for value in np.clip(places.mean(axis=0), -1, 1)))

    @cached_property
    def _table(self) -> np.ndarray:
        """Embeddings of the table's words, (words, D)."""
        return self.embed(list(WORDS))

    def _by_meaning(self, part: str) -> tuple[float, float]:
        words = list(WORDS)
        if not re.search(r"[^\W\d_]", part):
            raise InputError(
                f"mood={part!r} is not a mood; give words such as 'calm, hopeful', or valence= and arousal="
            )
        likeness = self._table @ self.embed([part])[0]
        if likeness.max() < FOREIGN:
            spelled = difflib.get_close_matches(part, words, n=3, cutoff=0.6)
            near = spelled or [words[index] for index in np.argsort(-likeness)[:3]]
            raise InputError(f"mood={part!r} is not a mood; did you mean {' or '.join(near)}?")
        weight = np.exp((likeness - likeness.max()) / NEARNESS)
        valence, arousal = weight @ np.array([WORDS[word] for word in words]) / weight.sum()
        return float(valence), float(arousal)


def read_moods(path: str | Path, table: Moods) -> MoodCurve:
    """The moods of a CSV file with the columns time (seconds) and mood, or time, valence and arousal.

    Raises InputError if the file is missing or too large and, naming the line, if a cell is empty or not a number, a
    mood is unknown, or the times do not increase.
    """
    try:
        with open(regular(path, MOST_BYTES), encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, skipinitialspace=True)
            rows = [(reader.line_num, row) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise InputError(f"{path} cannot be read ({reason}); give a CSV file with the columns time and mood") from error
    names = {name.strip().lower(): name for name in (rows[0][1] if rows else {}) if name}
    if not ({"time", "mood"} <= set(names) or {"time", "valence", "arousal"} <= set(names)):
        raise InputError(f"{path} has no moods; give the columns time and mood (or time, valence and arousal)")
    if len(rows) > MOST_MOMENTS:
        raise InputError(f"{path} has {len(rows)} moods; give at most {MOST_MOMENTS}")
    moments: list[tuple[float, Mood]] = []
    for line, row in rows:
        time, mood = _moment(
            f"{path}, line {line}", {key: (row[name] or "").strip() for key, name in names.items()}, table
        )
        if moments and time <= moments[-1][0]:
            raise InputError(
                f"{path}, line {line}: the time {time:g} is not later than the one before; sort the lines by time"
            )
        moments.append((time, mood))
    seconds, moods = zip(*moments, strict=True)
    return MoodCurve(np.array(seconds), np.array([m.valence for m in moods]), np.array([m.arousal for m in moods]))


def _moment(where: str, cells: dict[str, str], table: Moods) -> tuple[float, Mood]:
    wanted = ("time", "mood") if "mood" in cells else ("time", "valence", "arousal")
    for name in wanted:
        if not cells[name]:
            raise InputError(f"{where}: there is no {name}; fill the gap, or leave the line out")
        if len(cells[name]) > LONGEST_CELL:
            raise InputError(f"{where}: the {name} has {len(cells[name])} characters; give at most {LONGEST_CELL}")
    try:
        numbers = [float(cells[name]) for name in wanted if name != "mood"]
    except ValueError as error:
        raise InputError(f"{where}: {error.args[0]}; write numbers such as 12.5") from error
    if not 0 <= numbers[0] <= LAST_SECOND:
        raise InputError(f"{where}: the time {cells['time']} cannot be used; give seconds from 0 on")
    try:
        return numbers[0], table.of(cells["mood"]) if "mood" in cells else Mood(*numbers[1:])
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def into_mode(notes: Notes, mode: str | None) -> Notes:
    """The piece in the parallel major or minor key if its mode is another than `mode`; unchanged for None.

    Third, sixth and seventh degree move by a semitone. In minor the leading note is kept, as in the harmonic scale.
    Where the result would still be heard in the old mode (in the relative key), the next likely tonic is taken.
    """
    key = estimate_key(notes)
    if mode is None or not len(notes) or key.minor == (mode == "minor"):
        return notes
    lowered = {4: 3, 9: 8}
    moved = lowered if mode == "minor" else {flat: sharp for sharp, flat in lowered.items()} | {10: 11}
    shift = np.array([moved.get(degree, degree) - degree for degree in range(12)])
    likely = key_correlations(pitch_class_weights(notes))[12 * key.minor :][:12]
    found = []
    for tonic in np.argsort(-likely):
        found.append(replace(notes, pitch=np.clip(notes.pitch + shift[(notes.pitch - tonic) % 12], 0, 127)))
        if estimate_key(found[-1]).minor != key.minor:
            return found[-1]
    return found[0]
