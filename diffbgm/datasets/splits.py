"""The split of songs into training and validation, from text files or by a seeded draw.

A split is a folder with `train.txt` and `val.txt` (one song id per line, `#` starts a comment) and optionally
`excluded.txt` with a reason after each id. `splits/polyffusion` is the published split of Polyffusion (Min et al.
2023). The Diff-BGM release reads a different file, `pop909_new.pickle`, from its own download, which may differ from
it; `split: release` uses that file if it is with the data.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from diffbgm.datasets.unpickle import load_pickle
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.files import regular

LARGEST = 64 << 20  # bytes of a list file
PICKLES = (".pickle", ".pkl")
RELEASE_FILE = "pop909_new.pickle"  # the released code reads it from data/train_split_pnt
RELEASE_SONGS, RELEASE_LEFT_OUT = 50, 29  # it generates for the first 50 validation songs except index 29
SHIPPED = Path(__file__).parent / "splits"


def read_list(path: Path) -> dict[str, str]:
    """The ids in a list file, each with its comment (or ""). Raises InputError if it cannot be read."""
    try:
        lines = regular(path, LARGEST).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError, InputError) as error:
        reason = getattr(error, "strerror", None) or " ".join(str(error).split())[:200]
        raise InputError(
            f"cannot read the split list {path}: {reason}; give a folder with train.txt and val.txt"
        ) from error
    rows = (line.partition("#") for line in lines)
    return {song.strip(): remark.strip() for song, _, remark in rows if song.strip()}


def folder(split: str) -> Path:
    """The folder of a shipped split by its name, or any other folder by its path."""
    return SHIPPED / split if (SHIPPED / split / "train.txt").is_file() else Path(split)


def release_split(folders: Iterable[Path]) -> str | None:
    """The path of the release's own split in one of these folders or in its train_split_pnt/; None if it is missing."""
    places = [place / RELEASE_FILE for folder in folders for place in (folder, folder / "train_split_pnt")]
    return next((str(path) for path in places if path.is_file()), None)


def read_split(split: str, trust: bool = False) -> dict[str, tuple[str, ...]]:
    """{"train": ids, "val": ids}. A .pickle (or .pkl) holds two lists of file names, as in the Diff-BGM release.

    Raises InputError if a list is missing or a song is in both lists.
    """
    if Path(split).suffix in PICKLES:
        content = load_pickle(split, trust)
        try:
            train, val = (tuple(Path(name).stem for name in part) for part in content)
        except (TypeError, ValueError) as error:
            raise InputError(f"{split} does not hold two lists of file names: give another split") from error
        lists = {"train": train, "val": val}
    else:
        lists = {part: tuple(read_list(folder(split) / f"{part}.txt")) for part in ("train", "val")}
    both = sorted(set(lists["train"]) & set(lists["val"]))
    if both:
        raise InputError(
            f"split {split} has {len(both)} songs in both train.txt and val.txt ({listed(both)}): remove them from one"
        )
    return lists


def read_excluded(split: str) -> dict[str, str]:
    """The songs that a split leaves out, with reasons; empty if it has no `excluded.txt`."""
    path = folder(split) / "excluded.txt"
    return read_list(path) if path.is_file() else {}


def seeded_split(songs: Iterable[str], seed: int, validation: float) -> dict[str, tuple[str, ...]]:
    """A draw that assigns each song by the hash of its id, so that adding or removing songs moves no other song.

    `validation` is the expected share of validation songs. With two or more songs, each part gets at least one.
    """
    place = {song: int(hashlib.sha256(f"{seed}:{song}".encode()).hexdigest()[:13], 16) / 16**13 for song in songs}
    order = sorted(place, key=lambda song: place[song])
    count = sum(place[song] < validation for song in order)
    count = min(max(count, 1), len(order) - 1) if len(order) > 1 else 0
    return {"train": tuple(sorted(order[count:])), "val": tuple(sorted(order[:count]))}


@dataclass(frozen=True)
class SplitSettings:
    """What the configs of data call the fields of `Split`."""

    split: str = field("seeded", length=(1, 4096), help="seeded, a shipped split, a folder of lists, or a .pickle")
    split_seed: int = field(0, low=0, high=2**63 - 1)
    validation: float = field(0.1, low=0, high=1, help="share of the songs, for split=seeded")
    trust_pickles: bool = field(False, help="load pickles that hold more than arrays and plain values")
    songs: str | None = field(None, choices=("release",), help="only those that the released code infers for")


@dataclass(frozen=True)
class Split:
    """How the songs of a source are split.

    name         "seeded", a shipped split, a folder of lists, or the release's pickle
    seed         seed of the draw (only for "seeded")
    validation   share of songs in "val" (only for "seeded")
    trust        load a pickle even if it holds more than plain values
    songs        "release": in "val", only the songs that the released code generates music for; None: all
    """

    name: str = "seeded"
    seed: int = 0
    validation: float = 0.1
    trust: bool = False
    songs: str | None = None

    def __post_init__(self) -> None:
        names = ("split", "split_seed", "validation", "trust_pickles", "songs")
        values = (
            str(self.name) if isinstance(self.name, Path) else self.name,
            self.seed,
            self.validation,
            self.trust,
            self.songs,
        )
        check(SplitSettings, dict(zip(names, values, strict=True)), "data")

    def settings(self) -> dict[str, object]:
        """The fields that determine the split, as JSON values."""
        return {key: value for key, value in asdict(self).items() if (key, value) != ("songs", None)}

    def lists(self) -> dict[str, tuple[str, ...]]:
        """The lists of the split, whether or not the songs exist."""
        return read_split(self.name, self.trust)

    def check(self, songs: Iterable[str], where: str | Path) -> None:
        """Raises InputError if a list names songs that the source does not have."""
        if self.name == "seeded":
            return
        members = {song for part in self.lists().values() for song in part}
        absent = sorted(members - set(songs))
        if absent:
            raise InputError(
                f"the split {self.name} names songs that are not in {where} "
                f"({len(absent)} of {len(members)}: {listed(absent)}): "
                "unpack the whole archive, or choose another split (data.split=seeded draws one)"
            )

    def excluded(self, songs: Iterable[str]) -> dict[str, str]:
        """Songs in neither list, each with the reason."""
        if self.name == "seeded":
            return {}
        reasons = read_excluded(self.name)
        members = {song for part in self.lists().values() for song in part}
        return {s: reasons.get(s) or f"not in the split {self.name}" for s in songs if s in reasons or s not in members}

    def divide(self, songs: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """{"train": ids, "val": ids} among these songs."""
        drawn = self.name == "seeded"
        lists = seeded_split(songs, self.seed, self.validation) if drawn else self.lists()
        if self.songs == "release":
            first = lists["val"][:RELEASE_SONGS]
            lists["val"] = first[:RELEASE_LEFT_OUT] + first[RELEASE_LEFT_OUT + 1 :]
        known = set(songs)
        return {part: tuple(s for s in members if s in known) for part, members in lists.items()}


def listed(songs: list[str], most: int = 5) -> str:
    """The first few ids, for use in a message."""
    return ", ".join(songs[:most]) + (", ..." if len(songs) > most else "")
