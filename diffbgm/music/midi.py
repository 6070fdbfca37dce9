"""MIDI files to notes on a beat grid and back; midi_score.py writes whole performances.

Shape legend: N notes, n beats, k bar lines. A beat is a quarter note unless the caller gives the beats.
"""

import io
import warnings
from dataclasses import dataclass
from itertools import pairwise, product
from pathlib import Path

import mido
import numpy as np
import pretty_midi

from diffbgm.errors import InputError
from diffbgm.files import atomic, regular
from diffbgm.music.notes import STEPS_PER_BEAT, Notes

RESOLUTION = 480  # ticks per beat in the files that are written
DRUMS = 9  # General MIDI's channel for drums
BANK = 0  # the controller that selects a bank of programs
DRUM_BANK = 128  # the bank of drum kits in a soundfont
GM_NAMES = tuple(pretty_midi.INSTRUMENT_MAP)  # the 128 programs of General MIDI
# BPM: the slowest that a MIDI file can hold (24 bits of microseconds), and the fastest that a player can follow
SLOWEST, FASTEST = 4.0, 1000.0
LARGEST = 4 << 20  # bytes of a MIDI file; a song has about ten thousand
MOST_BEATS, MOST_SECONDS = 50_000, 4 * 3600  # of a piece; arrays are as long as these
MOST_CHANGES = 4096  # of tempo, and of meter
SHORTEST_BAR, LONGEST_BAR = 0.25, 64.0  # quarter notes; other meters are damage and are ignored


@dataclass(frozen=True)
class Score:
    """The notes of a MIDI file on the grid of its beats. Step 4 i of the notes is beat i."""

    notes: Notes  # track = index into track_names
    beat_times: np.ndarray  # (n,) seconds, increasing
    downbeats: np.ndarray  # (k,) index into beat_times of each bar line that falls on a beat
    meters: np.ndarray  # (k,) beats in the bar that starts there, e.g. 4.0; 3.5 for 7/8
    tempo: float  # BPM, from the median beat
    track_names: tuple[str, ...]


def read_midi(
    path: str | Path,
    beat_times: np.ndarray | None = None,
    drums: bool = False,
    require_notes: bool = True,
    downbeats: np.ndarray | None = None,
) -> Score:
    """Read a MIDI file and quantise it to sixteenths by piecewise-linear interpolation between its beats.

    `beat_times` (n,) seconds and `downbeats` (k,) indices into them replace the file's own tempo map and meters; the
    first and last beat lengths carry on outside. Onsets and ends go to the nearest step, a note lasts at least one
    step, and notes that start before step 0 are left out. `drums` keeps the drum tracks. Raises InputError for a file
    that is missing, not a MIDI file, damaged, or, with `require_notes`, without notes.
    """
    midi = _parse(Path(path))
    tracks = [track for track in midi.instruments if drums or not track.is_drum]
    rows = [(n.start, n.end, n.pitch, n.velocity, i) for i, track in enumerate(tracks) for n in track.notes]
    if require_notes and not rows:
        what = "only drums" if midi.instruments else "no notes"
        raise InputError(f"{path} has {what}; give a MIDI file with pitched notes")
    start, end, pitch, velocity, track = np.array(rows, np.float64).reshape(-1, 5).T
    if rows and end.max() > MOST_SECONDS:
        raise InputError(
            f"{path} lasts {end.max() / 3600:.1f} hours, more than {MOST_SECONDS // 3600}; cut it in pieces"
        )

    if beat_times is None:
        knots, positions = _tempo_map(midi, path)
        count = max(int(np.ceil(_interpolate(end.max(), knots, positions))) if rows else 0, 1) + 1
        if count > MOST_BEATS:
            raise InputError(f"{path} has {count} beats, more than {MOST_BEATS}; cut it in pieces")
        beat_times = _interpolate(np.arange(count, dtype=np.float64), positions, knots)
        downbeats, meters = _bars(midi, knots, positions, count)
    else:
        beat_times = np.asarray(beat_times, np.float64)
        if len(beat_times) < 2 or not (np.diff(beat_times) > 0).all():
            raise InputError(f"the beats given for {path} do not increase; give at least two beat times in seconds")
        knots, positions = beat_times, np.arange(len(beat_times), dtype=np.float64)
        downbeats = np.asarray(downbeats if downbeats is not None else [], np.int64)
        gaps = np.diff(downbeats).astype(np.float64)
        meters = np.append(gaps, gaps[-1:]) if len(gaps) else np.zeros(0)
        downbeats = downbeats[: len(meters)]

    onset = _nearest_step(_interpolate(start, knots, positions))
    duration = np.maximum(_nearest_step(_interpolate(end, knots, positions)) - onset, 1)
    notes = Notes(onset, pitch.astype(np.int64), duration, velocity.astype(np.int64), track.astype(np.int64))
    tempo = 60.0 / float(np.median(np.diff(beat_times)))
    names = tuple(track.name for track in tracks)
    return Score(notes.select(notes.onset >= 0).sorted(), beat_times, downbeats, meters, tempo, names)


def write_midi(notes: Notes, path: str | Path, tempo: float = 120.0, program: int = 0) -> None:
    """Write notes as a MIDI file in 4/4: a MIDI track for each track of the notes, all with one General MIDI `program`.

    The same notes give the same bytes in any order. Where notes of one pitch and track overlap, the
    newer onset ends the older note. Raises InputError for a tempo or a program out of range, and where the file cannot
    be written.
    """
    if not SLOWEST <= tempo <= FASTEST:
        raise InputError(f"the tempo is {tempo} BPM; give one from {SLOWEST:g} to {FASTEST:g}")
    if not 0 <= program < 128:
        raise InputError(
            f"the instrument is {program}; give a General MIDI program from 0 to 127 (0 is the grand piano)"
        )
    midi = pretty_midi.PrettyMIDI(resolution=RESOLUTION, initial_tempo=tempo)
    step = 60.0 / tempo / STEPS_PER_BEAT
    notes = notes.without_overlaps()
    for track in np.unique(notes.track) if len(notes) else [0]:
        instrument = pretty_midi.Instrument(program=program)
        part = notes.select(notes.track == track)
        for onset, pitch, duration, velocity in zip(
            *(column.tolist() for column in (part.onset, part.pitch, part.duration, part.velocity)), strict=True
        ):
            instrument.notes.append(pretty_midi.Note(velocity, pitch, onset * step, (onset + duration) * step))
        midi.instruments.append(instrument)
    with atomic(path) as temporary:
        midi.write(str(temporary))


def sounds_in(midi: bytes) -> set[int] | None:
    """The sounds that a MIDI file may use: 128 times the bank plus the program, so 0..127 for General MIDI.

    Drum kits are in bank 128. A channel with notes counts with the default program and bank and with all that it is
    ever given. None if the file cannot be read.
    """
    playing: set[int] = set()
    programs: dict[int, set[int]] = {}
    banks: dict[int, set[int]] = {}
    try:
        messages = [message for track in mido.MidiFile(file=io.BytesIO(midi)).tracks for message in track]
    except Exception:  # a damaged file fails anywhere in the parser, with any exception
        return None
    for message in messages:
        if message.type == "note_on":
            playing.add(message.channel)
        elif message.type == "program_change":
            programs.setdefault(message.channel, set()).add(message.program)
        elif message.type == "control_change" and message.control == BANK:
            banks.setdefault(message.channel, set()).add(message.value)
    found = set()
    for channel in playing:
        first = DRUM_BANK if channel == DRUMS else 0
        pairs = product({0} | banks.get(channel, set()), {0} | programs.get(channel, set()))
        found |= {128 * (first + bank) + program for bank, program in pairs}
    return found


def _parse(path: Path) -> pretty_midi.PrettyMIDI:
    if not path.is_file():
        raise InputError(f"there is no MIDI file {path}; check the name")
    regular(path, LARGEST)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pretty_midi's remarks on tempo events outside track 0
            midi = pretty_midi.PrettyMIDI(str(path))
        changes = max(len(midi.time_signature_changes), len(midi.get_tempo_changes()[0]))
    except Exception as error:  # a damaged file fails anywhere in the parser, with any exception
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        reason = " ".join(reason.split())[:200]
        raise InputError(f"{path} cannot be read as a MIDI file ({reason}); export it again or remove it") from error
    if changes > MOST_CHANGES:
        raise InputError(f"{path} changes tempo or meter {changes} times, more than {MOST_CHANGES}; export it again")
    return midi


def _tempo_map(midi: pretty_midi.PrettyMIDI, path: str | Path) -> tuple[np.ndarray, np.ndarray]:
    """Knots of the piecewise-linear map from seconds to quarter notes: (times, positions)."""
    times, tempi = midi.get_tempo_changes()
    if not (np.isfinite(tempi).all() and (tempi > 0).all()):
        raise InputError(f"{path} has a tempo of zero or infinity; export it again or remove it")
    times = np.append(times, times[-1] + 60.0 / tempi[-1])
    positions = np.concatenate([[0.0], np.cumsum(np.diff(times) * tempi / 60.0)])
    distinct = np.append(np.diff(times) > 0, True)
    return times[distinct], positions[distinct]


def _interpolate(x: np.ndarray, xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
    """Piecewise-linear interpolation through (xs, ys), extrapolated with the outer pieces."""
    piece = np.clip(np.searchsorted(xs, x, side="right") - 1, 0, len(xs) - 2)
    slope = np.diff(ys) / np.diff(xs)
    return ys[piece] + (x - xs[piece]) * slope[piece]


def _nearest_step(beat: np.ndarray) -> np.ndarray:
    """Beats to the nearest sixteenth; halves are rounded up, whatever the rounding noise."""
    return np.floor(beat * STEPS_PER_BEAT + 0.5 + 1e-6).astype(np.int64)


def _bars(
    midi: pretty_midi.PrettyMIDI, knots: np.ndarray, positions: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """The bar lines before beat `count` that fall on a beat, (k,), and the quarter notes in the bars there, (k,)."""
    changes = {0.0: 4.0}  # position in quarter notes -> bar length; 4/4 until the file says otherwise
    for change in midi.time_signature_changes:
        at = float(_interpolate(np.array(change.time), knots, positions))
        length = 4.0 * change.numerator / change.denominator
        if SHORTEST_BAR <= length <= LONGEST_BAR and at < count:
            changes[round(at, 3)] = length
    starts = [*sorted(changes), float(count)]
    bars = [(np.arange(a, b - 1e-3, changes[a]), changes[a]) for a, b in pairwise(starts)]
    line = np.concatenate([lines for lines, _ in bars])
    length_there = np.concatenate([np.full(len(lines), length) for lines, length in bars])
    on_beat = np.abs(line - np.rint(line)) < 1e-2
    return np.rint(line[on_beat]).astype(np.int64), length_there[on_beat]
