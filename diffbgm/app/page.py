"""The page of a folder of results: videos and notes in step, takes to compare, and the commands to continue from them.

`index.html` (with `index-2.html` and so on for large folders) refers to the files beside it; `NAME.html` is a complete
page of one video that can be sent to somebody. Both work without a network and from a disk (`file://`).
"""

import base64
import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from diffbgm.app.command import keep_and_redo, make_again
from diffbgm.app.poster import data_uri, poster
from diffbgm.app.record import ORIGINAL, is_page
from diffbgm.app.take_data import take_data
from diffbgm.errors import InputError
from diffbgm.files import atomic

PAGES = ("folder", "single")
HERE = "./"  # files lie beside the page
PER_PAGE = 50  # videos
FEW = 3  # videos on a page up to which browsers load the start of each file at once
LARGEST = 300 * 2**20  # bytes of video that one self-contained page holds
_KINDS = {".mp4": "video/mp4", ".mid": "audio/midi", ".wav": "audio/wav", ".m4a": "audio/mp4"}


@dataclass(frozen=True)
class Take:
    """One take of a video."""

    name: str
    report: Mapping[str, Any]
    data: dict[str, Any]  # for the script
    again: str  # command
    redo: str  # command with {first} and {last}
    base: str  # address of the folder of its files

    @property
    def url(self) -> str:
        """The start of its files' addresses."""
        return f"{self.base}{quote(self.name)}"

    @property
    def number(self) -> int:
        """1 for the take that follows the picture best, then 2, 3, and so on."""
        match = re.search(r"\.take(\d+)$", self.name)
        return int(match[1]) if match else 1

    def parts(self, embedded: Mapping[str, object]) -> list[tuple[str, str]]:
        """Ending and name of the sounds to hear besides the film with its music.

        Where the film keeps its own sound, these are the music alone and that sound alone; then come the stems.
        A self-contained page (one with something `embedded`) has only those that are inside it.
        """
        found = sounds(self.report)
        return [part for part in found if not embedded or f"{self.name}.{part[0]}" in embedded]

    @property
    def description(self) -> str:
        """The roll in words, for people who do not see it."""
        parts = [f"{self.report['notes']} notes", f"{self.data['bars']} bars", f"{self.report['tempo']:g} BPM"]
        if self.report.get("key"):
            parts.append(self.report["key"])
        cuts = len(self.data["cuts"])
        parts.append(f"{cuts or 'no'} cut{'' if cuts == 1 else 's'}")
        if self.data["sections"]:
            parts.append("sections " + " ".join(letter for _, letter in self.data["sections"]))
        return f"Piano roll: {', '.join(parts)}."


def sounds(report: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Ending and name of a take's sounds that its film does not play alone."""
    alone = [("wav", "the music alone")] if report.get("mix", "replace") != "replace" else []
    if ORIGINAL in report.get("files", []):
        alone.append((ORIGINAL, "the film's own sound alone"))
    stems = [stem for stem in map(str, report.get("stems", [])) if re.fullmatch(r"[\w-]+", stem)]
    return alone + [(f"{stem}.wav", stem.replace("-", " ")) for stem in stems]


@dataclass(frozen=True)
class VideoEntry:
    """A video and its takes, the best first."""

    title: str
    takes: tuple[Take, ...]
    poster: str  # data: address, or "" where the video has no picture

    @property
    def shots(self) -> list[tuple[float, str]]:
        """Start and caption of every shot."""
        report = self.takes[0].report
        captions = list(report["captions"])
        captions += captions[-1:] * (len(report["shots"]) - len(captions))
        return [(start, caption) for (start, _), caption in zip(report["shots"], captions, strict=False)]


def write_page(reports: Sequence[Mapping[str, Any]], failed: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write `index.html` and, beyond 50 videos, `index-2.html`, ...: every video with its takes, then what failed.

    reports: what each NAME.json holds, with "name" (output stem); their files lie beside `path`. failed: {"video",
    "error"}. Pages left over from a larger run are removed.
    """
    groups = _grouped(reports)
    parts = [groups[first : first + PER_PAGE] for first in range(0, len(groups), PER_PAGE)] or [[]]
    names = [path.name if k == 0 else f"{path.stem}-{k + 1}{path.suffix}" for k in range(len(parts))]
    for name in names:
        _check_replaceable(path.with_name(name))
    for number, (name, part) in enumerate(zip(names, parts, strict=True)):
        entries = [_entry(group, path.parent) for group in part]
        told = failed if number == len(parts) - 1 else ()
        text = _render(entries, told, total=len(groups), pages=names, page=number, embedded={})
        _write(path.with_name(name), text)
    for old in path.parent.glob(f"{path.stem}-*{path.suffix}"):
        if re.fullmatch(rf"{re.escape(path.stem)}-\d+", old.stem) and old.name not in names and is_page(old):
            old.unlink()


def write_single_pages(reports: Sequence[Mapping[str, Any]], out: Path) -> list[str]:
    """Write NAME.html for every video; returns a sentence for each that is too large for a page of its own."""
    problems = []
    for group in _grouped(reports):
        try:
            write_single_page(group, out / f"{_base(group[0]['name'])}.html")
        except InputError as error:
            problems.append(str(error))
    return problems


def write_single_page(reports: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Write one video with all of its takes as one file that needs no other: pictures, sound, notes and MIDI inside.

    reports: those of the takes, whose files lie beside `path`. InputError where the takes are too large for a page.
    """
    _check_replaceable(path)
    names = [f"{report['name']}{ending}" for report in reports for ending in (".mp4", ".mid")]
    size = sum((path.parent / name).stat().st_size for name in names)
    if size > LARGEST:
        raise InputError(
            f"{path} would hold {size / 2**20:.0f} MB of video, more than browsers open ({LARGEST // 2**20} MB); "
            "share the folder, or make fewer variations"
        )
    parts = [f"{report['name']}.{ending}" for report in reports for ending, _ in sounds(report)]
    more = [name for name in parts if (path.parent / name).is_file()]
    if size + sum((path.parent / name).stat().st_size for name in more) <= LARGEST:
        names += more
    embedded = {name: (_KINDS[Path(name).suffix], _base64(path.parent / name)) for name in names}
    _write(path, _render([_entry(list(reports), path.parent)], (), 1, [path.name], 0, embedded))


def page_html(reports: Sequence[Mapping[str, Any]], out: Path, base: str, named: Path) -> str:
    """The page of one video as text, to be shown where the files of the folder `out` are found below `base`.

    The commands on it call that folder `named`; its title is the video's name.
    """
    entry = replace(_entry(list(reports), out, base, named), title=Path(reports[0]["video"]).stem)
    return _render([entry], (), 1, ["index.html"], 0, {}, base)


def _grouped(reports: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The reports of each video, in the order given."""
    return [list(group) for _, group in groupby(reports, key=lambda report: (report["video"], _base(report["name"])))]


def _base(name: str) -> str:
    return re.sub(r"\.take\d+$", "", name)


def _entry(reports: list[Mapping[str, Any]], out: Path, base: str = HERE, named: Path | None = None) -> VideoEntry:
    called = out if named is None else named
    takes = tuple(
        Take(
            report["name"],
            report,
            take_data(report, out),
            make_again(report, called),
            keep_and_redo(report, called),
            base,
        )
        for report in reports
    )
    picture = poster(out / f"{takes[0].name}.mp4")
    return VideoEntry(_base(takes[0].name), takes, data_uri(picture, "image/jpeg") if picture else "")


@lru_cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("diffbgm.app"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["clock"] = clock
    return environment


def _render(
    entries: Sequence[VideoEntry],
    failed: Sequence[Mapping[str, Any]],
    total: int,
    pages: Sequence[str],
    page: int,
    embedded: Mapping[str, tuple[str, str]],
    base: str = HERE,
) -> str:
    data = [
        [take.data | {"again": take.again, "redo": take.redo, "about": take.description} for take in entry.takes]
        for entry in entries
    ]
    return (
        _environment()
        .get_template("page.html")
        .render(
            entries=entries,
            failed=failed,
            total=total,
            pages=pages,
            page=page,
            per_page=PER_PAGE,
            embedded=embedded,
            base=base,
            preload="metadata" if len(entries) <= FEW and not embedded else "none",
            data=json.dumps(data, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
            style=_asset("page.css"),
            script=_asset("page.js"),
        )
    )


def _asset(name: str) -> str:
    return files("diffbgm.app").joinpath("templates", name).read_text(encoding="utf-8")


def _write(path: Path, text: str) -> None:
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors="backslashreplace")


def _check_replaceable(path: Path) -> None:
    if os.path.lexists(path) and not is_page(path):
        raise InputError(f"{path} is not ours, and would be replaced; move it away or choose another out=")


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()


def clock(seconds: float) -> str:
    """Minutes and seconds, such as 1:05."""
    whole = int(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
