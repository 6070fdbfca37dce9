"""Find videos, and name their results.

Folders are searched recursively, and results get the same subfolders. Names are unique: videos that share a stem keep
their endings.
"""

import glob
import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from diffbgm.errors import InputError

SUFFIXES = frozenset(".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split())
LISTS = frozenset((".txt", ".list"))
RESERVED = frozenset(("summary", "index"))  # names of the run's own files
LONGEST_NAME = 200  # bytes of a result's name, so that file systems accept NAME.take100.states.npz


@dataclass(frozen=True)
class NamedVideo:
    """A video and the name of its results below `out`, such as "holiday/clip" for holiday/clip.mp4."""

    path: Path
    name: str


def find_videos(path: str | Path) -> list[Path]:
    """The videos of a folder, by `find_sources`."""
    return [source.path for source in find_sources(path)]


def find_sources(
    videos: str | Path | Sequence[str | Path], out: Path | None = None, takes: int = 1
) -> list[NamedVideo]:
    """The videos of a folder and its subfolders, of a glob, of a list file (.txt, a path a line), or several of these.

    In folders, videos are recognised by their ending; hidden files and folders and all files below `out` are skipped.
    Sorted by name. Raises InputError if there are no videos, and if the results of `takes` takes would collide.
    """
    several = not isinstance(videos, str | Path)
    found: list[tuple[Path, Path]] = []  # the folder that the name is relative to, and the file
    for given in videos if several else [videos]:  # type: ignore[union-attr]
        found += _found(str(given), None if out is None else out.resolve())
    unique = {_absolute(file): (top, file) for top, file in found}
    places = [(top, file) for top, file in unique.values()]
    if several or len({top for top, _ in places}) > 1:
        top = Path(os.path.commonpath([_absolute(file).parent for _, file in places]))
        places = [(top, _absolute(file)) for _, file in places]
    relative = [file.relative_to(top) for top, file in places]
    names = _names(relative, takes)
    return sorted(map(NamedVideo, [file for _, file in places], names), key=lambda source: os.fsencode(source.name))


def output_names(videos: Sequence[Path], variations: int = 1) -> list[str]:
    """A name for each video's results: its stem, or its whole file name if two videos share a stem.

    Raises InputError if results would still overwrite one another, such as those of `a.take2.mp4` and the second
    take of `a.mp4`.
    """
    return _names([Path(video.name) for video in videos], variations)


def _names(videos: Sequence[Path], takes: int) -> list[str]:
    def folded(video: Path) -> str:
        return str(video.with_suffix("")).casefold()

    stems = Counter(map(folded, videos))
    stems.update(RESERVED)
    names = [_fitting(v.with_suffix("") if stems[folded(v)] == 1 else v) for v in videos]
    owner: dict[str, Path] = {}
    for video, name in zip(videos, names, strict=True):
        for title in (name, *(f"{name}.take{take}" for take in range(2, takes + 1))):
            other = owner.setdefault(title.casefold(), video)
            if other != video:
                raise InputError(f"the results of {video} and {other} would overwrite each other; rename one")
    return names


def _fitting(name: Path) -> str:
    """The name; if its last part is too long for file systems, it is cut and gets a hash that keeps it unique."""
    last = os.fsencode(name.name)
    if len(last) <= LONGEST_NAME:
        return str(name)
    digest = hashlib.sha256(last).hexdigest()[:8]
    return str(name.with_name(f"{last[: LONGEST_NAME - 9].decode(errors='ignore')}~{digest}"))


def _found(given: str, out: Path | None) -> list[tuple[Path, Path]]:
    """(the folder that the name is relative to, file) for each video that one argument stands for."""
    path = Path(given)
    if path.is_dir():
        videos = [(path, file) for file in _walk(path, out)]
        if not videos:
            raise InputError(f"no videos in {path}; put files such as clip.mp4, clip.mov or clip.webm there")
        return videos
    if path.is_file():
        return _listed(path) if path.suffix.lower() in LISTS else [(path.parent, path)]
    if glob.has_magic(given):
        top = _before_magic(path)
        files = sorted(map(Path, glob.iglob(given, recursive=True)), key=os.fsencode)
        videos = [(top, file) for file in files if file.suffix.lower() in SUFFIXES and file.is_file()]
        if not videos:
            raise InputError(f"no videos are called {given}; quote a glob, for example 'videos/**/*.mp4'")
        return videos
    if path.exists():
        raise InputError(f"{path} is a pipe or a device; give a video file or a folder")
    raise InputError(f"there is no folder {path}; give videos=FOLDER with your videos in it")


def _walk(top: Path, out: Path | None) -> Iterator[Path]:
    """The videos below a folder, sorted by name; links to folders are not followed."""
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and (out is None or Path(folder, name).resolve() != out)
        )
        for name in sorted(files):
            file = Path(folder, name)
            if file.suffix.lower() in SUFFIXES and not name.startswith(".") and file.is_file():
                yield file


def _listed(path: Path) -> list[tuple[Path, Path]]:
    """The files named by a list, relative to its folder. A missing one is reported when it would be processed."""
    try:
        lines = os.fsdecode(path.read_bytes()).splitlines()
    except OSError as error:
        raise InputError(f"cannot read the list {path}: {error.strerror}; check the file") from error
    if any("\0" in line for line in lines):
        raise InputError(f"the list {path} is not a text file; write the path of a video on each line")
    named = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    files = [_absolute(path.parent / name) for name in named]
    if not files:
        raise InputError(f"the list {path} names no videos; write the path of a video on each line")
    for name, file in zip(named, files, strict=True):
        if file.is_dir():
            raise InputError(
                f"the list {path} names {name!r}, which is a folder; write the path of a video on each line"
            )
    top = Path(os.path.commonpath([file.parent for file in files]))
    return [(top, file) for file in files]


def _absolute(path: Path) -> Path:
    """The absolute path without following links; two leading slashes, which POSIX treats specially, become one."""
    return Path(re.sub("^//", "/", os.path.abspath(path)))


def _before_magic(path: Path) -> Path:
    """The part of a glob before its first folder with a pattern."""
    plain = []
    for part in path.parent.parts:
        if glob.has_magic(part):
            break
        plain.append(part)
    return Path(*plain)
