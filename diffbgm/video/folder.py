"""Which files of a folder are videos, and how their results are named."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from diffbgm.errors import InputError

SUFFIXES = frozenset(".3gp .avi .flv .gif .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .ogv .ts .vob .webm .wmv".split())


def find_videos(path: str | Path) -> list[Path]:
    """The video files directly in a folder, known by their ending, sorted by name; or the one file that `path` is.

    Hidden files are passed over. Raises InputError where there is no such folder or nothing in it is a video.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(f"there is no folder {path}; give videos=FOLDER with your videos in it")
    videos = sorted(
        file
        for file in path.iterdir()
        if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith(".")
    )
    if not videos:
        raise InputError(f"no videos in {path}; put files such as clip.mp4, clip.mov or clip.webm there")
    return videos


def output_names(videos: Sequence[Path], variations: int = 1) -> list[str]:
    """A name for each video's results: its stem, or its whole file name where two videos share a stem.

    Raises InputError where results would still overwrite one another, such as those of `a.take2.mp4` and the second
    take of `a.mp4`.
    """
    stems = Counter(video.stem.casefold() for video in videos)
    stems["summary"] += 1  # summary.json is the run's own
    names = [video.stem if stems[video.stem.casefold()] == 1 else video.name for video in videos]
    owner: dict[str, Path] = {}
    for video, name in zip(videos, names, strict=True):
        for title in (name, *(f"{name}.take{take}" for take in range(2, variations + 1))):
            other = owner.setdefault(title.casefold(), video)
            if other != video:
                raise InputError(f"the results of {video.name} and {other.name} would overwrite each other; rename one")
    return names
