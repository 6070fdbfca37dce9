"""Which results a folder has, what they were made from, and which files may be replaced.

A result is ours if its json says so: NAME.json, written last, claims NAME.mid, NAME.wav and the others. No other file
in a folder is ever replaced, nor any file that the run reads, by whatever name or link it is reached.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import diffbgm
from diffbgm.errors import InputError
from diffbgm.files import locked, regular, sha256, write_json, writing

ENDINGS = ("mid", "wav", "mp4", "png", "json")
STATES = "states.npz"
PAGE = "html"
ORIGINAL = "original.m4a"  # the film's own sound, where it is mixed in
PART = re.compile(rf"[\w+-]+\.wav|{re.escape(ORIGINAL)}")  # a stem, or the film's own sound
OF_THE_RUN = frozenset(  # settings that say where and how a run is made, not what is made
    "videos out cache device compile page checkpoint hydra shards shard overwrite batch workers".split()
)
FILES = ("melody", "keep", "soundfont")  # settings that name files, whose content counts
LARGEST_JSON = 64 << 20
UNREADABLE = (InputError, OSError, ValueError, KeyError, TypeError, RecursionError)  # raised by files that are not ours


def made_from(config: Mapping[str, Any], checkpoint: str) -> dict[str, Any]:
    """What every result of a run is made from, apart from its video: settings, checkpoint (SHA-256) and version."""
    settings = {key: value for key, value in config.items() if key not in OF_THE_RUN}
    for name in FILES:
        if settings.get(name) is not None and Path(settings[name]).is_file():
            settings[name] = sha256(settings[name])
    return {"settings": settings, "checkpoint": checkpoint, "version": diffbgm.__version__}


def read_report(path: Path) -> dict[str, Any] | None:
    """The content of a NAME.json; None if there is none, or it is not ours."""
    try:
        report = json.loads(regular(path, LARGEST_JSON).read_bytes())
        ours = isinstance(report["name"], str) and isinstance(report["versions"]["diffbgm"], str)
    except UNREADABLE:
        return None
    return report if ours else None


def claimed(report: Mapping[str, Any] | None) -> list[str]:
    """The endings of the files that a NAME.json claims, except its page; [] without one.

    The list comes from a file, so only endings that a result can have are accepted. Versions before the list wrote the
    same files and, with stems, one for each instrument.
    """
    if report is None:
        return []
    found = report.get("files")
    if not isinstance(found, list):
        stems = report.get("stems")
        found = [*ENDINGS, STATES, *(f"{part}.wav" for part in (stems if isinstance(stems, list) else []))]
    return [end for end in map(str, found) if end in (*ENDINGS, STATES) or PART.fullmatch(end)]


def reports_in(out: Path) -> Iterator[dict[str, Any]]:
    """The NAME.json of every result in a folder and its subfolders, in order of name."""
    for folder, folders, files in os.walk(out):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            report = read_report(Path(folder, name)) if name.endswith(".json") else None
            if report is not None and Path(out, f"{report['name']}.json") == Path(folder, name):
                yield report


def differences(before: Mapping[str, Any], now: Mapping[str, Any], prefix: str = "") -> list[str]:
    """ "key: before -> now" for every leaf in which two nested dicts differ."""
    lines = []
    for key in {**before, **now}:
        name, old, new = f"{prefix}{key}", before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            lines += differences(old, new, f"{name}.")
        elif old != new:
            lines.append(f"{name}: {str(old)[:60]} -> {str(new)[:60]}")
    return lines


class Ledger:
    """Decides what may be written into `out`; asked before work on a video begins."""

    def __init__(self, out: Path, sources: Iterable[str | Path], made_from: Mapping[str, Any], overwrite: bool) -> None:
        """`sources`: every file that the run reads."""
        self.out, self.made_from, self.overwrite = out, dict(made_from), overwrite
        self.read: dict[tuple[int, int], str] = {}
        for source in sources:
            try:
                status = os.stat(source)
            except (OSError, ValueError):
                continue
            self.read[status.st_dev, status.st_ino] = str(source)

    def check(self, names: Iterable[str]) -> None:
        """Raise InputError if `out` has results made from other settings, or a user's file in place of its own."""
        for own, is_ours in (("index.html", is_page), ("summary.json", _is_summary)):
            path = self.out / own
            self._check_target(path)
            if path.exists() and not is_ours(path):
                raise InputError(f"{path} is not ours, and would be replaced; move it away or choose another out=")
        if self.overwrite:
            return
        for name in names:
            report = read_report(self.out / f"{name}.json")
            changed = [] if report is None else differences(report.get("made_from", {}), {**self.made_from, "video": 0})
            changed = [line for line in changed if not line.startswith("video: ")]
            if changed:
                what = "; ".join(changed[:3]) if "made_from" in (report or {}) else "by an older version"
                raise InputError(
                    f"{self.out} holds music made otherwise ({name}: {what}); give another out=, or overwrite=true"
                )

    def finished(self, name: str, takes: int, video: str) -> bool:
        """Whether all takes of a video (given by its SHA-256) are there, made from the same settings.

        Raises InputError if they were made from another file of this name, or a file that is not ours is in the way.
        """
        titles = [name, *(f"{name}.take{take}" for take in range(2, takes + 1))]
        reports = [read_report(self.out / f"{title}.json") for title in titles]
        for title, report in zip(titles, reports, strict=True):
            for ending in {*ENDINGS, STATES, PAGE, *claimed(report)}:
                target = self.out / f"{title}.{ending}"
                self._check_target(target)
                if report is None and os.path.lexists(target):
                    raise InputError(
                        f"{target} is not ours, and would be replaced; move it away or choose another out="
                    )
        if self.overwrite or None in reports:
            return False
        files = [
            f"{title}.{ending}"
            for title, report in zip(titles, reports, strict=True)
            for ending in {*ENDINGS, *(claimed(report) if "files" in (report or {}) else ())}
        ]
        if not all((self.out / file).is_file() for file in files):
            return False
        if any(report is not None and report["made_from"]["video"] != video for report in reports):
            raise InputError(f"the music in {self.out} is for another video called {name}; add overwrite=true")
        return True

    def forget(self, name: str, takes: int) -> None:
        """Remove what is left of an earlier run with more takes, and its page of the video."""
        place = self.out / name
        page = place.with_name(f"{place.name}.{PAGE}")
        if is_page(page):
            with writing(page):
                page.unlink()
        for path in place.parent.glob(f"{glob_escape(place.name)}.take*.json"):
            number = re.fullmatch(r"\.take(\d+)\.json", path.name.removeprefix(place.name))
            if number and int(number[1]) > takes:
                for ending in claimed(read_report(path)):
                    with writing(path):
                        path.with_name(f"{path.name.removesuffix('.json')}.{ending}").unlink(missing_ok=True)

    def _check_target(self, target: Path) -> None:
        try:
            status = os.stat(target)
        except (OSError, ValueError):
            return
        if (status.st_dev, status.st_ino) in self.read:
            source = self.read[status.st_dev, status.st_ino]
            raise InputError(f"{target} is the same file as {source}, which would be overwritten; choose another out=")


def glob_escape(text: str) -> str:
    """A name as a pattern that matches nothing else."""
    return re.sub(r"([*?[])", r"[\1]", text)


def write_summary(
    out: Path, failed: Sequence[Mapping[str, str]], tried: Iterable[str], seconds: float
) -> dict[str, Any]:
    """Write summary.json from the results in `out` and what failed; earlier failures stay until they succeed.

    failed: {"video", "error", "name"}; tried: the names of this run's videos. Returns what it holds.
    """
    with locked(out):
        before = _read_summary(out / "summary.json")
        done = sorted({re.sub(r"\.take\d+$", "", report["name"]) for report in reports_in(out)})
        gone = {*tried, *done}
        kept = [item for item in before.get("failed", []) if item.get("name") not in gone]
        summary = {
            "ok": done,
            "failed": sorted([*kept, *failed], key=lambda item: str(item.get("name"))),
            "seconds": seconds,
        }
        write_json(out / "summary.json", summary)
    return summary


def _read_summary(path: Path) -> dict[str, Any]:
    try:
        summary = json.loads(regular(path, LARGEST_JSON).read_bytes())
        return summary if isinstance(summary["failed"], list) and isinstance(summary["ok"], list) else {}
    except UNREADABLE:
        return {}


def _is_summary(path: Path) -> bool:
    return bool(_read_summary(path))


def is_page(path: Path) -> bool:
    """Whether this is a page of ours."""
    try:
        with open(regular(path, LARGEST_JSON), "rb") as file:
            return b'<meta name="generator" content="diffbgm' in file.read(2000)
    except (InputError, OSError):
        return False
