"""Find and read the songs of a folder: any folder of MIDI files, or POP909 as published."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from diffbgm.datasets.pop909 import beat_table
from diffbgm.errors import InputError
from diffbgm.music.midi import Score, read_midi


@dataclass(frozen=True)
class SongFile:
    """A MIDI file and its song name: the file name without its ending, unless several files share it."""

    name: str
    path: Path

    @cached_property
    def score(self) -> Score:
        """The notes on the beats of the `beat_midi.txt` in the same folder (POP909) or else on the file's own beats.

        Raises InputError if it cannot be read or has no pitched notes.
        """
        table = self.path.with_name("beat_midi.txt")
        return read_midi(self.path, beat_times=beat_table(table)[:, 0] if table.is_file() else None)


def find_songs(folder: str | Path) -> list[SongFile]:
    """The `*.mid` and `*.midi` files of a folder, sorted by name: POP909's `NNN/NNN.mid`, or else files at any depth.

    A song is named after its file or, if several files share the name, after its path with dots for slashes. Hidden
    files and folders are skipped, and so are the other files in POP909's song folders. Raises InputError if there is no
    such folder or no MIDI file in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; give a folder of MIDI files")
    files = [path for path in folder.glob("*/*.mid") if path.stem == path.parent.name]
    flat = files + [path for path in folder.iterdir() if path.is_file()]
    found = [
        path.relative_to(folder)
        for path in (flat if files else folder.rglob("*"))
        if path.suffix.lower() in (".mid", ".midi")
    ]
    shown = sorted((path for path in found if not any(part.startswith(".") for part in path.parts)), reverse=True)
    if not shown:
        raise InputError(f"{folder} holds no MIDI files; expected *.mid in it or below it, or POP909's NNN/NNN.mid")
    folders: dict[str, set[Path]] = {}
    for path in shown:
        folders.setdefault(path.stem, set()).add(path.parent)
    songs: dict[str, SongFile] = {}
    for path in shown:
        single = len(folders[path.stem]) == 1
        name = path.stem if single else ".".join(path.with_suffix("").parts)
        songs[name] = SongFile(name, folder / path)
    return [songs[name] for name in sorted(songs)]
