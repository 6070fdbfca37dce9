"""What `--help` of a command prints: its own settings with their defaults, comments and choices.

Read from the text of configs/*.yaml, where the comments stand, without composing anything.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from diffbgm.shipped import CONFIGS

_LINE = re.compile(
    r"""^(?P<indent>\ *)"?(?P<key>[\w@/]+)"?:  # a key
    (?:\ +(?P<value>(?:"[^"]*"|[^#\n])*?))?  # its value, if it is not a block
    (?:\ *\#\ *(?P<comment>.*))?$""",
    re.VERBOSE,
)
_DEFAULT = re.compile(r"^ +- (?:override )?(?P<name>[\w/@]+)(?:: *(?P<option>[\w]+))?(?: *# *(?P<comment>.*))?$")
_APART = {"defaults", "hydra"}  # blocks that are no settings of ours
WIDTH = 34  # columns of the settings


@dataclass(frozen=True)
class Setting:
    """A line of the help."""

    name: str
    value: str
    comment: str


@dataclass(frozen=True)
class Group:
    """A group of options, of which one is chosen."""

    name: str
    chosen: str
    comment: str
    settings: tuple[Setting, ...]


def help_text(name: str, configs: Path = CONFIGS) -> str:
    """The help of configs/NAME.yaml."""
    title, settings, groups = _read(configs, name)
    lines = [*title, "", *_table(settings)]
    if groups:
        lines += ["", "Options: GROUP=NAME chooses one; what it consists of can be set beside it."]
    for group in groups:
        options = ", ".join(sorted(path.stem for path in (configs / group.name).glob("*.yaml")))
        lines += ["", *_table([Setting(group.name, group.chosen, group.comment or f"one of {options}")])]
        lines += [f"{'':4s}one of {options}"] if group.comment else []
        lines += [f"  {line}" for line in _table(group.settings)]
    lines += ["", "??? has to be given. Also: --cfg job (print the configuration), -m key=a,b (one run each)."]
    return "\n".join(lines)


def _table(settings: list[Setting] | tuple[Setting, ...]) -> list[str]:
    lines = []
    for setting in settings:
        left = f"  {setting.name}={setting.value}"
        lines.append(f"{left:{WIDTH}s}  {setting.comment}".rstrip())
    return lines


def _read(configs: Path, name: str) -> tuple[list[str], list[Setting], list[Group]]:
    """The opening comment, the settings and the groups of a config, with those of the configs that it builds on."""
    text = (configs / f"{name}.yaml").read_text(encoding="utf-8")
    title = [line.removeprefix("# ") for line in _opening(text)]
    settings: dict[str, Setting] = {}
    groups: dict[str, Group] = {}
    for match in _defaults(text):
        group, chosen = match["name"], match["option"]
        if group.startswith("hydra/") or group == "_self_":
            continue
        if chosen is None:  # another whole config
            _, inherited, more = _read(configs, group)
            settings |= {setting.name: setting for setting in inherited}
            groups |= {entry.name: entry for entry in more}
            continue
        path = configs / group / f"{chosen}.yaml"
        own = _settings(path.read_text(encoding="utf-8"), f"{group}.") if path.is_file() else iter(())
        groups[group] = Group(group, chosen, match["comment"] or "", tuple(own))
    settings |= {setting.name: setting for setting in _settings(text)}
    return title, list(settings.values()), list(groups.values())


def _opening(text: str) -> Iterator[str]:
    """The comment that a file begins with."""
    for line in text.splitlines():
        if not line.startswith("#"):
            return
        yield line


def _defaults(text: str) -> Iterator[re.Match[str]]:
    """The entries of the defaults list."""
    inside = False
    for line in text.splitlines():
        if not line.startswith(" "):
            inside = line.startswith("defaults:")
        elif inside and (match := _DEFAULT.match(line)):
            yield match


def _settings(text: str, prefix: str = "") -> Iterator[Setting]:
    """The settings of a file in dotted form; what is computed from others or names a class is left out."""
    above: list[tuple[int, str]] = []  # indentation and key of the blocks around a line
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        indent, key, value = len(match["indent"]), match["key"], (match["value"] or "").strip()
        above = [(depth, name) for depth, name in above if depth < indent]
        names = [name for _, name in above] + [key]
        if not value:
            above.append((indent, key))
        elif names[0] not in _APART and key != "_target_" and "${.." not in value:
            yield Setting(prefix + ".".join(names), value, match["comment"] or "")
