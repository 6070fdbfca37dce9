"""Any folder of MIDI files as training data, with conditions computed from the music (self_paired.py).

Beats and bars come from each file's tempo map and time signatures. Two bars of 2/4 count as one of 4/4. Files that are
in another meter, have no notes, are too short or damaged are skipped, and the reason is reported.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from diffbgm.datasets.song import Song, root_folder, segment_starts
from diffbgm.datasets.splits import Split
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.music.midi import read_midi
from diffbgm.music.parts import in_parts, parts_of

logger = logging.getLogger(__name__)

ENDINGS = (".mid", ".midi")


@dataclass(frozen=True)
class MidiSettings:
    """What a folder of MIDI files has beside its split."""

    drums: bool = field(False, help="read drum tracks as if they were pitched")


class MidiFolder:
    """All MIDI files below `root`; a song's id is its path below `root`."""

    name = "midi_folder"

    def __init__(
        self, root: str | Path, split: str = "seeded", split_seed: int = 0, validation: float = 0.1, drums: bool = False
    ) -> None:
        self.root = root_folder(root)
        self.drums = check(MidiSettings, {"drums": drums}, "data").drums
        self._split = Split(split, split_seed, validation)

    def songs(self) -> Mapping[str, tuple[Path, ...]]:
        """Every MIDI file. Raises InputError if there is none, or if the split names files that are missing."""
        if not self.root.is_dir():
            raise InputError(f"there is no folder {self.root}: give a folder of MIDI files as data.root")
        files = sorted(p for p in self.root.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        if not files:
            raise InputError(f"{self.root} has no .mid files: give a folder of MIDI files as data.root")
        songs = {file.relative_to(self.root).as_posix(): (file,) for file in files}
        self._split.check(songs, self.root)
        return songs

    def excluded(self) -> Mapping[str, str]:
        """The files that the split leaves out."""
        return self._split.excluded(self.songs())

    def split(self, songs: Sequence[str]) -> Mapping[str, tuple[str, ...]]:
        """The configured split of these songs."""
        return self._split.divide(songs)

    def settings(self) -> Mapping[str, object]:
        """The split and the treatment of drums."""
        return self._split.settings() | {"drums": self.drums}

    def read(self, song: str) -> Song:
        """One file. Raises InputError if it is not a MIDI file, is empty, or is not in 4/4."""
        path = self.root / song
        score = read_midi(path, drums=self.drums)
        beats = len(score.beat_times)
        downbeats = paired(score.downbeats, score.meters)
        starts = segment_starts(downbeats, beats)
        if len(starts) == 0 and len(score.downbeats) >= 8:
            meters = ", ".join(f"{meter:g}" for meter in sorted(set(score.meters.tolist())))
            raise InputError(f"{path} has bars of {meters} beats; training needs eight consecutive bars of 4/4")
        if parts_of(score.notes, score.track_names) is None:
            logger.info("%s has no track named as the melody: the highest line becomes the lead", path)
        notes = in_parts(score.notes, score.track_names)
        return Song(song, notes, beats, downbeats, starts)


def paired(downbeats: np.ndarray, meters: np.ndarray) -> np.ndarray:
    """Downbeats (k,) with each pair of two-beat bars joined: many files declare 2/4 where the music is in 4/4."""
    kept, bar = [], 0
    while bar < len(downbeats):
        kept.append(downbeats[bar])
        bar += 2 if bar + 1 < len(downbeats) and meters[bar] == meters[bar + 1] == 2 else 1
    return np.array(kept, np.int64)
