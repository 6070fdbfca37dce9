"""What the page shows of a take, read from its files: notes, chords, sections and curves, as small integers.

Shape legend: N notes, T beats.
"""

import math
import wave
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.chord_names import chord_names
from diffbgm.music.midi import read_midi
from diffbgm.music.notes import BEATS_PER_BAR, BEATS_PER_SEGMENT, Notes

FREE = "free"
LOWEST_LEAD = 60  # middle C: with a single track, the highest note of a chord is the lead if it is not below this
QUIETEST = -50.0  # dBFS, the bottom of the loudness curve


def take_data(report: Mapping[str, Any], out: Path) -> dict[str, Any]:
    """A take for the page's script: notes as flat [onset, steps, pitch, velocity, lead] and everything drawn with them.

    report: the content of NAME.json; out: the folder with NAME.mid and NAME.wav. If a file is missing or damaged, its
    part stays empty, so that a page can always be made.
    """
    notes, duration, tempo = _notes(out / f"{report['name']}.mid"), float(report["duration"]), float(report["tempo"])
    beats = max(1, math.ceil(duration * tempo / 60.0 - 1e-6))
    columns = np.stack([notes.onset, notes.duration, notes.pitch, notes.velocity, lead(notes).astype(int)], axis=1)
    curves = {name: _percent(values) for name, values in report.get("curves", {}).items() if values}
    curves["loudness"] = _loudness(out / f"{report['name']}.wav", beats, 60.0 / tempo)
    return {
        "name": report["name"],
        "tempo": tempo,
        "duration": round(duration, 3),
        "bars": math.ceil(beats / BEATS_PER_BAR),
        "notes": columns.ravel().tolist(),
        "cuts": [round(start, 3) for start, _ in report["shots"][1:]],
        "chords": [[chord.beat, chord.name] for chord in chord_names(notes) if chord.beat < beats],
        "sections": _sections(report, beats),
        "curves": {name: values for name, values in curves.items() if values},
    }


def lead(notes: Notes) -> np.ndarray:
    """Which of N notes are the lead, (N,) bool: the first of several tracks; of one track its highest line."""
    if len(np.unique(notes.track)) > 1:
        return notes.track == notes.track.min()
    highest: dict[int, int] = {}
    for onset, pitch in zip(notes.onset.tolist(), notes.pitch.tolist(), strict=True):
        highest[onset] = max(pitch, highest.get(onset, 0))
    top = np.array([highest[onset] for onset in notes.onset.tolist()], dtype=np.int64)
    return (notes.pitch == top) & (notes.pitch >= LOWEST_LEAD)


def _notes(path: Path) -> Notes:
    try:
        return read_midi(path, require_notes=False).notes
    except InputError:
        return Notes.empty()


def _sections(report: Mapping[str, Any], beats: int) -> list[list[Any]]:
    """[first beat, letter] of each section; none where the form is free or the piece has one section only."""
    if "sections" in report:
        found = [[int(beat), str(letter)] for beat, letter in report["sections"]]
        return found if len(found) > 1 else []
    form = report.get("settings", {}).get("form") or FREE  # a json of version 0.2
    if not form.isupper() or beats <= BEATS_PER_SEGMENT:
        return []
    return [[beat, form[k % len(form)]] for k, beat in enumerate(range(0, beats, BEATS_PER_SEGMENT))]


def _loudness(path: Path, beats: int, beat_seconds: float) -> list[int]:
    """The level of each beat of a WAV file, 0 (`QUIETEST` or less) to 100 (full scale); [] if it cannot be read."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels = file.getframerate(), file.getnchannels()
            levels = []
            for beat in range(beats):
                count = round((beat + 1) * beat_seconds * rate) - file.tell()
                sound = np.frombuffer(file.readframes(count), "<i2").astype(np.float32) / 32768
                levels.append(float(np.sqrt((sound**2).mean())) if len(sound) >= channels else 0.0)
    except (OSError, EOFError, wave.Error, ValueError):
        return []
    decibels = 20 * np.log10(np.maximum(levels, 1e-6))
    return _percent((decibels / -QUIETEST + 1).tolist())


def _percent(values: list[float]) -> list[int]:
    return [round(100 * min(max(value, 0.0), 1.0)) for value in values]
