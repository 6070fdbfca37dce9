"""`diffbgm COMMAND --help`: the settings of one command, read from its configuration file as text.

Neither Hydra nor torch is loaded: the answer comes at once. Comments and defaults are those of the files themselves, so
that help cannot differ from what runs.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from diffbgm.shipped import CONFIGS

ENTRY = re.compile(r"  - (?:(?P<group>[\w/@]+): )?(?P<option>[\w/]+)(?:\s+#\s*(?P<comment>.*))?$")

Entry = tuple[str | None, re.Match[str]]  # the whole configuration that it names, or None for an option of a group
Group = tuple[str, list[str]]


def settings_help(name: str, usage: str, words: Sequence[str] = (), folder: Path = CONFIGS) -> str:
    """The settings of folder/NAME.yaml with their defaults, comments and, where options can be chosen, the choices.

    Of each group the default option's settings are listed, or those of the option that `words` choose (features=clip).
    """
    wanted = {word.partition("=")[0]: word.partition("=")[2] for word in words}
    purpose, entries, body = _read(folder / f"{name}.yaml")
    groups = list(_groups(entries, folder, wanted))
    lines = [f"usage: {usage} key=value ...", "", *purpose, "", "settings:"]
    for entry, _ in entries:
        if entry is None:
            continue
        if (folder / f"{entry}.yaml").exists():  # a configuration that this one begins with
            more, inherited = _read(folder / f"{entry}.yaml")[1:]
            groups += _groups(more, folder, wanted)
            body = _without(inherited, body) + body
    lines += [f"  {line}" for line in body]
    for title, chosen in groups:
        lines += ["", title, *(f"  {line}" for line in chosen)]
    lines += ["", "Nested settings are written with dots: sampler.steps=20. `??" + "?` must be given."]
    return "\n".join(lines)


def _read(path: Path) -> tuple[list[str], list[Entry], list[str]]:
    """The comment that opens a configuration, the entries of its defaults list, and its own settings."""
    purpose: list[str] = []
    entries: list[Entry] = []
    body: list[str] = []
    part = "purpose"
    for line in path.read_text(encoding="utf-8").splitlines():
        if part == "purpose" and line.startswith("#"):
            purpose.append(line.lstrip("# "))
            continue
        if re.match(r"\S", line) and not line.startswith("#"):
            part = {"defaults:": "defaults", "hydra:": "hydra"}.get(re.sub(r"\s*#.*", "", line), "body")
            if part in ("defaults", "hydra"):
                continue
        if part == "defaults":
            if found := ENTRY.match(line):
                entries.append((None if found["group"] else found["option"], found))
        elif part not in ("hydra", "purpose") and line and "_target_" not in line:
            body.append(line)
    return purpose, entries, body


def _groups(entries: list[Entry], folder: Path, wanted: Mapping[str, str], above: str = "") -> Iterator[Group]:
    """(title, settings) of each group of options that a defaults list names, and of the groups within its option."""
    for _, found in entries:
        if not found["group"]:
            continue
        group = f"{above}{found['group']}"
        options = sorted(path.stem for path in (folder / group).glob("*.yaml"))
        comment = f"  # {found['comment']}" if found["comment"] else ""
        title = f"{group}={' | '.join(options)}   (default: {found['option']}){comment}"
        chosen = wanted.get(group, found["option"])
        if chosen not in options:
            yield title, []
            continue
        _, inner, settings = _read(folder / group / f"{chosen}.yaml")
        yield title, settings
        yield from _groups(inner, folder, wanted, f"{group}/")


def _without(lines: list[str], others: list[str]) -> list[str]:
    """The lines but for top-level settings that `others` set as well."""
    again = {line.partition(":")[0] for line in others}
    return [line for line in lines if line.partition(":")[0] not in again or line.startswith(" ")]
