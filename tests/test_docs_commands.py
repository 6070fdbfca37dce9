"""All commands and settings in README and docs exist, and all links have a target."""

import re
import shlex
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from diffbgm.app.cli import CONFIGS, _fixed, configure
from diffbgm.app.evaluate import EvaluateSettings
from diffbgm.app.main import COMMANDS
from diffbgm.app.sample import FolderSettings
from diffbgm.app.settings_text import EXAMPLES, read_command
from diffbgm.errors import InputError
from diffbgm.fields import check
from diffbgm.generation.settings import sample_settings

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
    "index": "index",
    "dataset_report": "dataset_report",
    "fit_discriminator": "fit_discriminator",
    "fit_grooves": "fit_grooves",
    "fit_harmony": "fit_harmony",
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
FOUND += [("--help", line) for lines in EXAMPLES.values() for line in lines]


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


ELSEWHERE = {  # what has no configuration to compose, and what stands in for it
    "make": "its targets are compared with the Makefile above",
    "app": "test_studio.py reads its settings and serves it",
    "doctor": "test_readme_commands.py runs it",
    "fetch": "needs the network; test_fetch.py runs it on a registry of its own",
    "import": "needs the release's weights; test_release.py imports some of its kind",
    "draw_loss": "test_draw_loss.py draws the loss of a run",
    "measure_following": "needs the unseen videos, which `diffbgm fetch unseen` gets",
    "-m": "modules: pytest itself, and the benchmarks, which test_benchmarks.py runs",
}


def composed(line: str) -> tuple[str, tuple[str, ...]]:
    """(config, settings that are not swept over) of a line; ("", ...) where it has none."""
    name, settings = parsed(line)
    own = [word for word in settings if not word.startswith(("hydra", "key=")) and _fixed(word)]
    return CONFIGURED.get(Path(name).stem, ""), tuple(own)


COMPOSED = sorted({found for _, line in FOUND if (found := composed(line))[0] and found[1]})


@pytest.mark.parametrize(("config", "settings"), COMPOSED, ids=[" ".join((c, *s))[:80] for c, s in COMPOSED])
def test_settings_are_accepted_as_the_command_reads_them(config: str, settings: tuple[str, ...]):
    """Composed by the command's own parser; settings that have a type pass its check."""
    plain = OmegaConf.to_container(configure(config, settings))
    lacking = {key for key, value in plain.items() if value == "???"} - {"videos", "out", "generated"}
    assert not lacking
    if config == "sample":
        inside = {entry.name: plain[entry.name] for entry in fields(FolderSettings)}
        check(FolderSettings, inside | {key: "a" for key in ("videos", "out") if plain[key] == "???"})
        sample_settings(plain)
    if config == "evaluate":
        names = {entry.name for entry in fields(EvaluateSettings)}
        check(EvaluateSettings, {name: value for name, value in plain.items() if name in names})


def test_what_is_not_composed_is_exactly_what_has_no_configuration():
    names = set()
    for _, line in FOUND:
        words = line.split()
        module = "-m" in words and ".py" not in line and "diffbgm" not in words
        names.add("-m" if module else "make" if words[0] == "make" else Path(parsed(line)[0]).stem)
    assert names - set(CONFIGURED) == set(ELSEWHERE)


@pytest.mark.parametrize("word", ["tempo=fast", "mix=ducked", "sampler.stepps=3", "variations=0", "page=doubled"])
def test_a_wrong_value_or_key_is_noticed(word: str):
    with pytest.raises(InputError):
        test_settings_are_accepted_as_the_command_reads_them("sample", ("videos=a", "out=b", word))


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
