"""Which songs a folder holds, and how each is read: anyone's flat folder of MIDI, or POP909 as it is published."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffbgm.datasets.pop909 import beat_table
from diffbgm.errors import InputError
from diffbgm.music.midi import Score, read_midi


@dataclass(frozen=True)
class Song:
    """A MIDI file and the name it goes by: the file's name without ending."""

    name: str
    path: Path

    @cached_property
    def score(self) -> Score:
        """The notes on the beats of `beat_midi.txt` where the file has one beside it (POP909), else on its own beats.

        Raises InputError where it cannot be read or has no pitched notes.
        """
        beats = self.path.with_name("beat_midi.txt")
        return read_midi(self.path, beats=beat_table(beats)[:, 0] if beats.is_file() else None)


def find_songs(folder: str | Path) -> list[Song]:
    """The `*.mid` and `*.midi` of a folder, and of POP909's `NNN/NNN.mid` below it, sorted by name.

    Hidden files are passed over. Raises InputError where there is no such folder or no MIDI file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder of MIDI files")
    files = [path for path in folder.iterdir() if path.suffix.lower() in (".mid", ".midi")]
    files += [path for path in folder.glob("*/*.mid") if path.stem == path.parent.name]
    shown = sorted((path for path in files if not path.name.startswith(".")), reverse=True)
    songs = {path.stem: Song(path.stem, path) for path in shown}
    if not songs:
        raise InputError(f"{folder} holds no MIDI files; expected *.mid in it, or POP909's NNN/NNN.mid")
    return [songs[name] for name in sorted(songs)]
