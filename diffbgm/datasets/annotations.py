"""What is written about the videos of a data set: captions, shots, styles and other facts, where it is there.

    bgm909/captions/NNN.txt                 a caption a line, one for each shot or sample (also .json: a list)
    bgm909/detection/NNN_scenes.txt         a line a shot: its first and last frame
    bgm909/metadata.csv                     a row a song: `song` (or `id`), `style`, and any other column (also .json)

The paper's supplement counts eight styles and describes titles, singers and the like; the release that this layout
follows ships shots and features alone, so the other files are for those who have them. Nothing here is needed to train.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from diffbgm.errors import InputError

CAPTIONS, SCENES, METADATA = "bgm909/captions", "bgm909/detection", "bgm909/metadata"
NAMES = ("song", "id", "name", "index")  # columns that may hold a song's number


@dataclass(frozen=True)
class Annotations:
    """What is known of one song's video; empty where nothing is."""

    captions: tuple[str, ...] = ()
    shots: tuple[tuple[int, int], ...] = ()  # first and last frame of each
    style: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)  # the other columns of the metadata


def read_annotations(root: str | Path) -> dict[str, Annotations]:
    """All songs below `root` of which anything is written. InputError for a file that cannot be read as above."""
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
        return path.read_text(encoding="utf-8-sig")
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
    """First and last frame of each line; lines of another kind count as shots without frames."""
    shots = []
    for line in _text(path).splitlines():
        words = line.split()
        if words:
            first, last = (int(float(word)) if _number(word) else -1 for word in (words[0], words[-1]))
            shots.append((first, last))
    return tuple(shots)


def _number(word: str) -> bool:
    return word.replace(".", "", 1).isdigit()


def _metadata(root: Path) -> dict[str, dict[str, str]]:
    """Facts by song, from metadata.csv or metadata.json; empty where neither is there."""
    table = root / f"{METADATA}.csv"
    if table.is_file():
        rows: list[dict[str, Any]] = list(csv.DictReader(_text(table).splitlines()))
    elif (root / f"{METADATA}.json").is_file():
        table = root / f"{METADATA}.json"
        content = _json(table)
        if isinstance(content, dict):
            content = [{"song": song, **facts} for song, facts in content.items() if isinstance(facts, dict)]
        rows = content if isinstance(content, list) else []
    else:
        return {}
    found = {}
    for row in rows:
        facts = {str(key).strip().lower(): str(value).strip() for key, value in row.items() if value is not None}
        name = next((facts.pop(name) for name in NAMES if name in facts), None)
        if name is None:
            raise InputError(f"{table} has no column {' or '.join(NAMES[:2])}: it must say which song a row is of")
        found[name.zfill(3)] = facts
    return found


def _json(path: Path) -> Any:
    try:
        return json.loads(_text(path))
    except ValueError as error:
        raise InputError(f"{path} is not JSON: fetch it again") from error
