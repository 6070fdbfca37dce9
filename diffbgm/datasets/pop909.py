"""POP909 (Wang et al., ISMIR 2020) as its archive unpacks: one folder per song, with MIDI and annotations.

    POP909/NNN/NNN.mid          tracks MELODY, BRIDGE and PIANO; only times in seconds are used, its bars are arbitrary
    POP909/NNN/beat_midi.txt    one line per beat: seconds, simple metre flag, double metre flag
    POP909/NNN/chord_midi.txt   one line per chord: start and end in seconds, name such as Gb:maj7/5, or N for none
    POP909/NNN/key_audio.txt    one line per key: start and end in seconds, name such as Gb:maj (same clock as the MIDI)

The two flags mark bar lines under two interpretations: the first every second (or third) beat, the second every fourth
(or sixth). A song whose first flag comes every three beats is in triple metre (29 songs, the ones that POP909's own
index calls triple). In all others the second flag marks the bars of 4/4; in each of the 909 songs, more chords start on
those beats than on any other. `beat_audio.txt` is not used: it was tracked from the recording, in many songs at twice
the tempo.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diffbgm.datasets.song import Song, root_folder, segment_starts
from diffbgm.datasets.splits import LARGEST, Split, read_excluded
from diffbgm.errors import InputError
from diffbgm.files import regular
from diffbgm.music.midi import read_midi
from diffbgm.music.notes import STEPS_PER_BEAT
from diffbgm.music.parts import in_parts

_FILES = ("{}.mid", "beat_midi.txt", "chord_midi.txt", "key_audio.txt")
_TONICS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}
_DEGREES = {"2": 2, "b3": 3, "3": 4, "4": 5, "5": 7, "6": 9, "b7": 10, "7": 11}  # bass degree -> semitones above root
_CHORDS = {
    "maj": (0, 4, 7),
    "min": (0, 3, 7),
    "dim": (0, 3, 6),
    "aug": (0, 4, 8),
    "sus2": (0, 2, 7),
    "sus4": (0, 5, 7),
    "7": (0, 4, 7, 10),
    "maj7": (0, 4, 7, 11),
    "min7": (0, 3, 7, 10),
    "minmaj7": (0, 3, 7, 11),
    "maj6": (0, 4, 7, 9),
    "min6": (0, 3, 7, 9),
    "dim7": (0, 3, 6, 9),
    "hdim7": (0, 3, 6, 10),
    "sus4(b7)": (0, 5, 7, 10),
}


class Pop909:
    """All songs under `root`. `split` is "polyffusion", "seeded" or a folder of lists (splits.py)."""

    name = "pop909"

    def __init__(
        self, root: str | Path, split: str = "polyffusion", split_seed: int = 0, validation: float = 0.1
    ) -> None:
        self.root = root_folder(root)
        self._split = Split(split, split_seed, validation)

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """Every numbered folder and its files. Raises InputError if there is none or the split names missing songs."""
        folders = sorted(path for path in self._top().glob("[0-9][0-9][0-9]") if path.is_dir())
        if not folders:
            raise InputError(
                f"no POP909 songs (folders 001 to 909) under {self.root}: "
                "unpack the archive and give its folder as data.root"
            )
        self._split.check([folder.name for folder in folders], self.root)
        return {folder.name: _files(folder) for folder in folders}

    def excluded(self) -> Mapping[str, str]:
        """The songs that the split leaves out, and those in triplets, which do not fit the sixteenth grid."""
        return self._split.excluded(self.songs()) | read_excluded("polyffusion")

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The configured split of these songs."""
        return self._split.divide(songs)

    def settings(self) -> Mapping[str, object]:
        """The split."""
        return self._split.settings()

    def read(self, song: str) -> Song:
        """One song. Raises InputError if a file is missing or damaged, or if the song is not in 4/4."""
        midi, beat_file, chord_file, key_file = _files(self._top() / song)
        times, downbeats = read_beats(beat_file)
        beats = len(times)
        score = read_midi(midi, beat_times=times)
        notes = in_parts(score.notes, score.track_names)
        notes = notes.select(notes.onset < STEPS_PER_BEAT * beats)
        middles = _middles(times)
        chords, mode = read_chords(chord_file, middles)[:, 1:13] > 0, read_mode(key_file, middles)
        return Song(song, notes, beats, downbeats, segment_starts(downbeats, beats), chords, mode)

    def chords(self, song: str) -> np.ndarray:
        """The chord of each beat of a song as in BGM909's release, (n, 14): rows of `chord_row`."""
        _, beat_file, chord_file, _ = _files(self._top() / song)
        return read_chords(chord_file, _middles(read_beats(beat_file)[0]))

    def _top(self) -> Path:
        return self.root / "POP909" if (self.root / "POP909").is_dir() else self.root


def _files(folder: Path) -> tuple[Path, ...]:
    """The MIDI, beat, chord and key files in a song's folder."""
    return tuple(folder / name.format(folder.name) for name in _FILES)


def _middles(times: np.ndarray) -> np.ndarray:
    """The middle of each beat in seconds (n,)."""
    return times + 0.5 * np.append(np.diff(times), times[-1] - times[-2])


def beat_table(path: Path) -> np.ndarray:
    """A `beat_midi.txt` as (n, 3): seconds, simple and double metre flags. Raises InputError if it is damaged."""
    rows = _columns(path)
    try:
        table = np.array(rows, np.float64).reshape(len(rows), 3)
    except ValueError:
        table = np.zeros((0, 3))
    times = table[:, 0]
    if len(table) < 2 or not (np.isfinite(times).all() and (np.diff(times) > 0).all()):
        raise InputError(f"{path} is not a list of ascending beat times with two flags: unpack the archive again")
    return table


def read_beats(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Beat times in seconds (n,) and the beats that begin a bar (D,), from a `beat_midi.txt`.

    Raises InputError if the file is damaged or the song is not in 4/4.
    """
    table = beat_table(path)
    times = table[:, 0]
    simple, double = (np.flatnonzero(table[:, column]) for column in (1, 2))
    if _usual_gap(simple) == 3:
        raise InputError(f"{path.parent.name} is in triple metre; segments need bars of four beats")
    if _usual_gap(double) not in (0, 4):
        raise InputError(f"{path.parent.name} has no bars of four beats in {path.name}")
    return times, double


def read_chords(path: Path, at: np.ndarray) -> np.ndarray:
    """The annotated chord at each time `at` (n,) in seconds, (n, 14): rows of `chord_row`."""
    spans = _spans(path)
    return _lookup(spans, np.array([chord_row(name) for _, _, name in spans]), at)


def read_mode(path: Path, at: np.ndarray) -> np.ndarray:
    """The mode of the annotated key at each time `at` (n,) in seconds: 1 major, -1 minor, 0 none."""
    spans = _spans(path)
    modes = np.array([{"maj": 1, "min": -1}.get(name.partition(":")[2], 0) for _, _, name in spans])
    return _lookup(spans, modes, at)


def chord_row(name: str) -> np.ndarray:
    """A chord label `root:quality[/bass degree]` as (14,) int: root, twelve pitch classes as 0 or 1, bass.

    All zeros for N and for unknown labels.
    """
    row = np.zeros(14, np.int64)
    label, _, degree = name.partition("/")
    root, _, kind = label.partition(":")
    if root[:1] in _TONICS and kind in _CHORDS:
        tonic = (_TONICS[root[0]] + root.count("#") - root.count("b")) % 12
        row[0], row[13] = tonic, (tonic + _DEGREES.get(degree, 0)) % 12
        row[1 + (tonic + np.array(_CHORDS[kind])) % 12] = 1
    return row


def _columns(path: Path) -> list[list[str]]:
    """The words of each non-empty line."""
    try:
        lines = regular(path, LARGEST).read_text(encoding="utf-8").splitlines()
    except (InputError, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is missing or unreadable: unpack the archive again") from error
    return [line.split() for line in lines if line.strip()]


def _spans(path: Path) -> list[tuple[float, float, str]]:
    """(start, end, name) of each line, sorted by time."""
    try:
        spans = sorted((float(start), float(end), name) for start, end, name in _columns(path))
    except ValueError as error:
        raise InputError(f"{path} is not a list of start, end and name: unpack the archive again") from error
    if not spans:
        raise InputError(f"{path} is empty: unpack the archive again")
    return spans


def _lookup(spans: list[tuple[float, float, str]], values: np.ndarray, at: np.ndarray) -> np.ndarray:
    """The value of the span that covers each time, or zero."""
    starts, ends = (np.array([span[i] for span in spans], np.float64) for i in (0, 1))
    row = np.searchsorted(starts, at, side="right") - 1
    covered = (row >= 0) & (at < ends[row])
    return np.where(covered.reshape(-1, *[1] * (values.ndim - 1)), values[row], np.zeros_like(values[:1]))


def _usual_gap(flagged: np.ndarray) -> int:
    """The most common distance between flagged beats; 0 for fewer than two."""
    return int(np.bincount(np.diff(flagged)).argmax()) if len(flagged) > 1 else 0
