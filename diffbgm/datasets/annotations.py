"""Optional annotations of a data set's videos: captions, shots, styles and other metadata.

    bgm909/captions/NNN.txt                 one caption per line, for each shot or sample (or .json: a list)
    bgm909/detection/NNN_scenes.txt         one line per shot: its first and last frame
    bgm909/metadata.csv                     one row per song: `song` (or `id`), `style`, any other columns (or .json)

The paper's supplement counts eight styles and describes titles, singers and the like. The release, whose layout this
is, contains only shots and features; the other files are read if you have them. Training needs none of them.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffbgm.errors import InputError
from diffbgm.files import regular

CAPTIONS, SCENES, METADATA = "bgm909/captions", "bgm909/detection", "bgm909/metadata"
LARGEST = 64 << 20  # bytes of a file
NAMES = ("song", "id", "name", "index")  # columns that may hold the song id


@dataclass(frozen=True)
class Annotations:
    """The annotations of one song's video; unknown fields are empty."""

    captions: tuple[str, ...] = ()
    shots: tuple[tuple[int, int], ...] = ()  # first and last frame of each
    style: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)  # the other columns of the metadata


def read_annotations(root: str | Path) -> dict[str, Annotations]:
    """Annotations by song id, for every song that has any. Raises InputError for a file not in the format above."""
    root = Path(root)
    facts = _metadata(root)
    captions = {path.stem: path for path in sorted((root / CAPTIONS).glob("*")) if path.suffix in (".txt", ".json")}
    scenes = {path.name.removesuffix("_scenes.txt"): path for path in sorted((root / SCENES).glob("*_scenes.txt"))}
    found = {}
    for song in sorted({*facts, *captions, *scenes}):
        own = dict(facts.get(song, {}))
        style = own.pop("style", None)
        found[song] = Annotations(
            _captions(captions[song]) if song in captions else (),
            _shots(scenes[song]) if song in scenes else (),
            style or None,
            own,
        )
    return found


def _text(path: Path) -> str:
    try:
        return regular(path, LARGEST).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read as text: fetch it again") from error


def _captions(path: Path) -> tuple[str, ...]:
    if path.suffix == ".txt":
        return tuple(line.strip() for line in _text(path).splitlines() if line.strip())
    content = _json(path)
    if not isinstance(content, list) or not all(isinstance(line, str) for line in content):
        raise InputError(f"{path} is not a list of captions: fetch it again")
    return tuple(content)


def _shots(path: Path) -> tuple[tuple[int, int], ...]:
    """First and last frame of each line that is not empty. Raises InputError for a line in another format."""
    shots = []
    for number, line in enumerate(_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            first, last = (int(float(word)) for word in words)
        except (ValueError, OverflowError):
            first, last = -1, -1
        if not 0 <= first <= last:
            raise InputError(
                f"line {number} of {path} is not the first and last frame of a shot: fetch the file again, or remove it"
            )
        shots.append((first, last))
    return tuple(shots)


def _metadata(root: Path) -> dict[str, dict[str, str]]:
    """Metadata by song, from metadata.csv or metadata.json; empty if there is neither."""
    table = root / f"{METADATA}.csv"
    if table.is_file():
        try:
            rows: list[dict[str, Any]] = list(csv.DictReader(_text(table).splitlines()))
        except csv.Error as error:
            raise InputError(f"{table} is not a table ({error}): fetch it again") from error
    elif (root / f"{METADATA}.json").is_file():
        table = root / f"{METADATA}.json"
        content = _json(table)
        if isinstance(content, dict):
            content = [{"song": song, **facts} for song, facts in content.items() if isinstance(facts, dict)]
        rows = [row for row in content if isinstance(row, dict)] if isinstance(content, list) else []
    else:
        return {}
    found = {}
    for row in rows:
        facts = {str(key).strip().lower(): str(value).strip() for key, value in row.items() if value is not None}
        name = next((facts.pop(name) for name in NAMES if name in facts), None)
        if name is None:
            raise InputError(f"{table} has no column {' or '.join(NAMES[:2])}: add the song id of each row")
        found[name.zfill(3)] = facts
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: fetch it again") from error
