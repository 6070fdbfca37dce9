"""Every command in README and docs is one that exists, with settings that exist; every link leads somewhere."""

import re
import shlex
from functools import cache
from pathlib import Path

import pytest

from diffbgm.app.cli import CONFIGS, configure
from diffbgm.app.main import COMMANDS
from diffbgm.app.settings_text import read_command

ROOT = Path(__file__).resolve().parents[1]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
PAGES = [
    *(ROOT / name for name in ("README.md", "data/README.md", "pretrained/README.md")),
    *(page for page in DOCS if page.name != "log.md"),  # the log's commands are those of their day
]
CONFIGURED = {
    "sample": "sample",
    "train": "train",
    "evaluate": "evaluate",
    "features": "extract_features",
    "extract_features": "extract_features",
    "songs": "sample_songs",
    "sample_songs": "sample_songs",
    "prepare": "prepare",
    "prepare-bgm909": "prepare_bgm909",
    "card": "card",
    "reproduce": "reproduce",
}
START = re.compile(r"^ *(?:[\w/.]*python |[\w/.]*accelerate launch |torchrun |diffbgm |make |srun )")


def commands(text: str) -> list[str]:
    """The command lines of a page's code blocks and of its inline code, continued lines joined."""
    joined = re.sub(r"\\\n\s*", " ", text)
    blocks = [line for line in joined.splitlines() if START.match(line) and re.match(r"    |diffbgm |python ", line)]
    inline = [code for code in re.findall(r"`([^`\n]+)`", joined) if START.match(code)]
    return [line.strip() for line in blocks + inline]


FOUND = [(page.relative_to(ROOT).as_posix(), line) for page in PAGES for line in commands(page.read_text("utf-8"))]


def parsed(line: str) -> tuple[str, list[str]]:
    """(script or subcommand, settings) of a command line, without placeholders and remarks."""
    words = shlex.split(line, comments=True)
    while words and not (words[0].endswith(".py") or words[0] in ("diffbgm", "make")):
        words.pop(0)
    if not words:
        return "", []
    name = words.pop(0)
    if name == "diffbgm":
        name = words.pop(0) if words else ""
    settings = []
    for word in words:
        word = (
            word.removeprefix("[").removesuffix("]") if word.count("[") != word.count("]") or word[0] == "[" else word
        )
        key, equals, value = word.partition("=")
        if equals and not (value.isupper() and key in GROUPS) and "..." not in value and "|" not in value:
            settings.append(word)
    return name, settings


GROUPS = {group.name for path in CONFIGS.glob("*.yaml") for group in read_command(path).groups} | {"table"}


def test_there_are_commands_to_check():
    assert len(FOUND) > 60
    assert parsed("    .venv/bin/python sample.py videos=a 'keep_bars=[1,4]'  # why") == (
        "sample.py",
        ["videos=a", "keep_bars=[1,4]"],
    )
    assert parsed("python train.py experiment=NAME [data.root=FOLDER] [key=value ...]") == (
        "train.py",
        ["data.root=FOLDER", "key=value"],
    )


@pytest.mark.parametrize(("page", "line"), FOUND, ids=[f"{page}:{line[:60]}" for page, line in FOUND])
def test_a_command_is_one_that_can_be_given(page: str, line: str):
    name, settings = parsed(line)
    if line.startswith("make "):
        target = line.split()[1]
        assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.M), f"no target {target}"
        return
    if name.endswith(".py"):
        assert (ROOT / name).is_file(), f"no script {name}"
    elif name:
        assert name in {command.name for command in COMMANDS}, f"no command {name}"
    config = CONFIGURED.get(Path(name).stem)
    if config is not None:
        for word in settings:
            assert is_setting(word, config), f"{page}: {word} is no setting of {name}"


@cache
def known(config: str) -> tuple[dict[str, list[str]], set[str]]:
    """(options by group, keys of settings) of a command, those of every option of its groups among them."""
    command = read_command(CONFIGS / f"{config}.yaml")
    groups = {group.name: [*group.options, "null"] for group in command.groups}
    keys = {setting.key for setting in command.settings}
    for name in list(groups):
        for path in (CONFIGS / name).rglob("*.yaml"):
            inside = ".".join((CONFIGS / name / path.relative_to(CONFIGS / name)).parent.relative_to(CONFIGS).parts)
            keys |= {f"{inside}.{setting.key}" for setting in read_command(path).settings}
            if path.parent != CONFIGS / name:
                groups.setdefault(path.parent.relative_to(CONFIGS).as_posix(), []).append(path.stem)
    return groups, keys


def is_setting(word: str, config: str) -> bool:
    """Whether key=value names a setting or a choice of a command."""
    key, _, value = word.partition("=")
    groups, keys = known(config)
    if key in groups and "{" not in value:
        return set(value.strip("[]").split(",")) <= set(groups[key])
    free = ("also.", "+data@also.", "hydra", "key")  # datasets by name, Hydra's own, the placeholder key=value
    return key in keys or key in groups or any(other.startswith(f"{key}.") for other in keys) or key.startswith(free)


def test_what_is_no_setting_is_noticed():
    assert is_setting("sampler=ddim", "sample")
    assert is_setting("sampler.eta=1", "sample")
    assert is_setting("compose.form=AABA", "sample")
    assert not is_setting("sampler=euler", "sample")
    assert not is_setting("form=AABA", "sample")
    assert not is_setting("trainer.speed=1", "train")


@pytest.mark.parametrize(
    ("config", "settings"),
    [
        ("sample", ["videos=a", "out=b", "seed=1", "tempo=98.5", "keep=takes/clip.mid", "keep_bars=[1,4]"]),
        ("sample", ["videos=a", "out=b", "caption=A slow, dark scene in cool colours.", "page=single"]),
        ("train", ["experiment=my_midi", "data.root=a", "init=pretrained/diffbgm-lite.safetensors", "trainer.steps=2"]),
        ("train", ["experiment=pop909_lite", "trainer.tracker=[tensorboard,mlflow]"]),
        ("evaluate", ["generated=a", "reference=b", "out=c", "metrics=[exact,rhythm,texture]"]),
    ],
)
def test_some_of_them_as_the_command_reads_them(config: str, settings: list[str]):
    assert configure(config, settings) is not None


def test_links_inside_the_documentation_lead_somewhere():
    generated = {"reference/settings.md", "reference/data.md", "model-card.md"}
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            if re.match(r"https?:", target):
                continue
            place = (page.parent / target).resolve()
            inside = place.relative_to(ROOT / "docs").as_posix() if (ROOT / "docs") in place.parents else ""
            assert place.exists() or inside in generated, f"{page.name}: {target}"


def test_the_site_names_every_page():
    listed = set(re.findall(r": ([\w/-]+\.md)", (ROOT / "mkdocs.yml").read_text()))
    written = {page.relative_to(ROOT / "docs").as_posix() for page in (ROOT / "docs").rglob("*.md")}
    assert listed == written | {"reference/settings.md", "reference/data.md", "model-card.md"}
