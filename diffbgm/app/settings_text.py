"""The settings of a command as text, read from the comments of its config: for `--help` and for the documentation.

A config is read line by line, without Hydra or a YAML parser, so that `--help` answers at once. It has to be written as
follows: a setting is `key: value  # what it means`; nested settings are indented by two spaces; a comment on its own
line after an empty line is the heading of the settings below it; a group of the defaults list is
`- name: option  # comment`, with its options in the folder of that name; `- other` includes all of other.yaml,
and `- /group/other@_here_` that of another group.
"""

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

_VALUE = r'"[^"]*"|[^#\s].*?'
_SETTING = re.compile(rf"^(?P<indent> *)\"?(?P<key>[\w/]+)\"?:(?: +(?P<value>{_VALUE}))??(?: +# (?P<comment>.*))?$")
_GROUP = re.compile(r"^ *- (?:override )?/?(?P<name>[\w/@.]+): *(?P<option>[\w/]+)(?: +# (?P<comment>.*))?$")
_BASE = re.compile(r"^  - (?P<name>(?!_self_)[\w/]+)(?:@_here_)?$")  # a config that this one begins with
_NOT_FOR_PEOPLE = ("hydra", "defaults")
REQUIRED = "???"
WIDTH = 100
_CLOSING = """Quote a value with spaces: "key=A minor". -m runs a sweep, such as seed=0,1,2; --cfg job shows a config.
Tab completion: eval "$(diffbgm completion bash)" (or zsh)"""

EXAMPLES = {  # by config
    "sample": (
        "diffbgm sample videos=my_videos out=my_music",
        'diffbgm sample videos=clip.mp4 out=takes variations=4 "mood=calm, hopeful" mix=duck',
        "diffbgm sample videos=clip.mp4 out=redo seed=1 tempo=98.5 keep=takes/clip.mid keep_bars=[1,4]",
    ),
    "index": ("diffbgm index out=my_music", "diffbgm index out=my_music page=single"),
    "train": (
        "diffbgm train experiment=smoke",
        "diffbgm train experiment=my_midi data.root=my_midi_folder init=pretrained/diffbgm-lite.safetensors",
    ),
    "evaluate": (
        "diffbgm evaluate generated=my_music out=my_numbers",
        "diffbgm evaluate generated=my_music reference=POP909 videos=my_videos out=my_numbers metrics=[exact,rhythm]",
    ),
    "extract_features": (
        "diffbgm features videos=my_videos out=features",
        "diffbgm features videos=archive out=features features=clip shards=64 shard=7",
    ),
    "sample_songs": (
        "diffbgm songs data.root=POP909 out=songs",
        "diffbgm songs data.root=POP909 out=songs songs=8 bars=32",
    ),
    "prepare": ("diffbgm prepare data.root=POP909", "diffbgm prepare data=midi_folder data.root=my_midi_folder"),
    "prepare_bgm909": (
        "diffbgm prepare-bgm909 videos=my_videos out=bgm909",
        "diffbgm prepare-bgm909 videos=my_videos pop909=POP909 out=bgm909 device=cpu",
    ),
    "card": ("diffbgm card data.root=POP909", "diffbgm card checkpoint=mine.safetensors data.root=POP909 out=card"),
}


@dataclass(frozen=True)
class Setting:
    """One line of a config."""

    key: str  # dotted, as on a command line
    default: str  # as written; REQUIRED if it has to be given
    comment: str


@dataclass(frozen=True)
class Group:
    """A choice between config files."""

    name: str
    default: str
    options: dict[str, str]  # name -> the first sentence of that file's first comment
    comment: str


@dataclass
class Topic:
    """Settings under one heading."""

    heading: str  # "" where the config gives none
    settings: list[Setting] = field(default_factory=list)


@dataclass(frozen=True)
class CommandText:
    """What a command's config says about itself."""

    title: str  # its first comment
    topics: list[Topic]
    groups: list[Group]

    @property
    def settings(self) -> list[Setting]:
        """All settings, in order."""
        return [setting for topic in self.topics for setting in topic.settings]


def read_command(path: Path) -> CommandText:
    """The settings of a command's config file, by topic."""
    lines = path.read_text(encoding="utf-8").splitlines()
    title = lines[0].removeprefix("#").strip() if lines and lines[0].startswith("#") else ""
    topics = [Topic("")]
    groups: list[Group] = []
    inherited: list[Path] = []
    parents: list[str] = []
    fresh = False
    for line in lines[1 if title else 0 :]:
        if not line.strip():
            fresh = True
            continue
        if fresh and line.startswith("# "):
            topics.append(Topic(line.removeprefix("# ")))
        fresh = False
        if base := _BASE.match(line):
            inherited.append(_base(path, base["name"]))
        elif group := _GROUP.match(line):
            if not group["name"].startswith(("hydra", "override")):
                groups.append(_group(path.parent, group["name"], group["option"], group["comment"] or ""))
        elif setting := _SETTING.match(line):
            depth = len(setting["indent"]) // 2
            parents = [*parents[:depth], setting["key"]]
            if parents[0] in _NOT_FOR_PEOPLE:
                continue
            if setting["value"] is not None:
                text = setting["comment"] or ""
                topics[-1].settings.append(Setting(".".join(parents), setting["value"], text))
    _drop_repeated(topics)
    topics += [_inside(path.parent, group) for group in groups]
    for command in (read_command(file) for file in inherited if file.is_file()):
        own = {setting.key for topic in topics for setting in topic.settings}
        topics += [Topic(t.heading, [s for s in t.settings if s.key not in own]) for t in command.topics]
        groups += [group for group in command.groups if group.name not in {known.name for known in groups}]
    return CommandText(title, [topic for topic in topics if topic.settings], groups)


def _base(path: Path, name: str) -> Path:
    """The file that a config begins with: beside it, or below the folder of all groups."""
    return (path.parents[1] / name[1:] if name.startswith("/") else path.parent / name).with_suffix(".yaml")


def _drop_repeated(topics: list[Topic]) -> None:
    """Of settings that occur twice keep the last, which is the one that applies."""
    seen: set[str] = set()
    for topic in reversed(topics):
        topic.settings = [setting for setting in topic.settings if setting.key not in seen]
        seen |= {setting.key for setting in topic.settings}


def _inside(configs: Path, group: Group) -> Topic:
    """The settings of a group's default option, under the group's name."""
    path = configs / group.name / f"{group.default}.yaml"
    if not path.is_file():
        return Topic("")
    settings = [
        Setting(f"{group.name}.{setting.key}", setting.default, setting.comment)
        for setting in read_command(path).settings
        if not setting.key.startswith("_") and "._" not in setting.key and not setting.default.startswith("${..")
    ]
    return Topic(f"{group.name}={group.default}", settings)


def first_comment(path: Path) -> str:
    """The first sentence of a config file's opening comment; "" where there is none."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        words.append(line.removeprefix("#").strip())
    sentence = re.match(r".*?(?:\.(?= |$)|$)", " ".join(words))
    return sentence[0].rstrip(".") if sentence else ""


def help_text(name: str, configs: Path, called: str | None = None) -> str:
    """What `--help` prints of configs/NAME.yaml: usage, settings by topic with defaults and comments, groups, examples.

    `called`: how the command was called, such as "python sample.py"; None: as the config's first line has it.
    """
    command = read_command(configs / f"{name}.yaml")
    usage, _, purpose = command.title.partition("]: ") if "]: " in command.title else (command.title, "", "")
    parts = [f"usage: {_as_called(usage, called)}{']' if purpose else ''}"]
    if purpose:
        parts.append(purpose[:1].upper() + purpose[1:])
    parts += [_listed(topic) for topic in command.topics]
    if command.groups:
        parts.append("Choices (group=option):\n" + "\n".join(_choices(group) for group in command.groups))
    if name in EXAMPLES:
        examples = [f"  {_as_called(example, called)}" for example in EXAMPLES[name]]
        parts.append("\n".join(["Examples:", *examples]))
    parts.append(_CLOSING)
    return "\n\n".join(parts) + "\n"


def _as_called(line: str, called: str | None) -> str:
    return line if called is None else re.sub(r"^(python|diffbgm) \S+", lambda _: called, line)


def _group(configs: Path, name: str, default: str, comment: str) -> Group:
    files = sorted((configs / name).glob("*.yaml"))
    return Group(name, default, {file.stem: first_comment(file) for file in files}, comment)


def _listed(topic: Topic) -> str:
    lines = [f"{topic.heading}:"] if topic.heading else []
    for setting in topic.settings:
        shown = f"{setting.key}={'...' if setting.default == REQUIRED else setting.default}"
        lines += _columns(f"  {shown}", setting.comment)
    return "\n".join(lines)


def _choices(group: Group) -> str:
    lines: list[str] = []
    for option, about in group.options.items():
        lines += _columns(f"  {group.name}={option}", about + (" (default)" if option == group.default else ""))
    return "\n".join(lines)


def _columns(left: str, right: str, edge: int = 34) -> Iterator[str]:
    """`left`, and `right` wrapped in a column of its own."""
    rows = textwrap.wrap(right, WIDTH - edge) or [""]
    if len(left) >= edge:
        yield left
        left = ""
    for row in rows:
        yield f"{left:{edge}s}{row}".rstrip()
        left = ""
