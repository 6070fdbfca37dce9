"""Settings as text: what `--help` shows of a config, and that nothing of a config is left out."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from omegaconf import DictConfig

from diffbgm.app.cli import CONFIGS, configure, run
from diffbgm.app.completion import OTHERS, choices, main, script
from diffbgm.app.fetch import ASSETS
from diffbgm.app.gradio_app import AppSettings
from diffbgm.app.main import COMMANDS
from diffbgm.app.main import main as command_line
from diffbgm.app.settings_text import EXAMPLES, REQUIRED, Setting, first_comment, help_text, read_command
from diffbgm.errors import InputError


@pytest.fixture
def configs(tmp_path: Path) -> Path:
    (tmp_path / "job.yaml").write_text(
        """# job in=FOLDER [key=value ...]: does a thing.
defaults:
  - size: small
  - _self_
  - override hydra/job_logging: none

in: ???  # where from

# How it is done
way: fast  # fast | slow: how
text: "a # b"  # quoted
nest:  # several
  alpha: 1.5  # a number
  list: [1, 2]

hydra:
  run: {dir: .}
"""
    )
    (tmp_path / "size").mkdir()
    (tmp_path / "size" / "small.yaml").write_text("# For a laptop. Little memory.\nwidth: 8  # channels\n")
    (tmp_path / "size" / "large.yaml").write_text("width: 64\n")
    return tmp_path


def test_a_config_is_read_with_its_comments_and_headings(configs: Path):
    command = read_command(configs / "job.yaml")
    assert command.title == "job in=FOLDER [key=value ...]: does a thing."
    assert [topic.heading for topic in command.topics] == ["", "How it is done", "size=small"]
    assert command.settings == [
        Setting("in", REQUIRED, "where from"),
        Setting("way", "fast", "fast | slow: how"),
        Setting("text", '"a # b"', "quoted"),
        Setting("nest.alpha", "1.5", "a number"),
        Setting("nest.list", "[1, 2]", ""),
        Setting("size.width", "8", "channels"),
    ]
    assert command.groups[0].options == {"large": "", "small": "For a laptop"}


def test_a_config_takes_over_what_another_has(configs: Path):
    (configs / "other.yaml").write_text("# other: more.\ndefaults:\n  - job\n  - _self_\n\nway: slow  # ours\n")
    settings = read_command(configs / "other.yaml").settings
    assert settings[0] == Setting("way", "slow", "ours")
    assert [setting.key for setting in settings] == ["way", "in", "text", "nest.alpha", "nest.list", "size.width"]


def test_help_is_for_people(configs: Path):
    text = help_text("job", configs)
    assert text.startswith("usage: job in=FOLDER [key=value ...]\n\nDoes a thing.\n")
    assert "  way=fast                        fast | slow: how\n" in text
    assert "  size=small                      For a laptop (default)\n" in text
    assert "hydra" not in text
    assert max(map(len, text.splitlines())) <= 120


def leaves(node: object, prefix: str = "") -> set[str]:
    if isinstance(node, DictConfig) and len(node):
        return {key for name in node for key in leaves(node._get_node(name), f"{prefix}{name}.")}
    return {prefix.rstrip(".")}


@pytest.mark.parametrize("name", ["sample", "train", "evaluate", "extract_features"])
def test_every_setting_of_a_command_is_in_its_help(name: str):
    command = read_command(CONFIGS / f"{name}.yaml")
    known = {setting.key for setting in command.settings}
    groups = tuple(f"{group.name}." for group in command.groups)
    composed = {key for key in leaves(configure(name)) if not key.startswith(groups) and "_target_" not in key}
    assert composed - known - {group.name for group in command.groups} == set()


def test_help_is_what_the_command_prints(capsys):
    assert run(lambda config: 1, "sample", ["--help"]) == 0
    assert capsys.readouterr().out == help_text("sample", CONFIGS)


def test_first_comments(configs: Path):
    assert first_comment(configs / "size" / "small.yaml") == "For a laptop"
    assert first_comment(configs / "size" / "large.yaml") == ""


def test_a_config_that_begins_with_another_has_its_settings_too_each_of_them_once():
    found = {setting.key: setting.default for setting in read_command(CONFIGS / "card.yaml").settings}
    assert found["out"] == "outputs/card"
    assert found["split"] == "val"
    keys = [setting.key for setting in read_command(CONFIGS / "card.yaml").settings]
    assert len(keys) == len(set(keys))


@pytest.mark.parametrize("group", ["model", "objective", "selector", "sampler", "data"])
def test_every_setting_of_training_has_a_comment(group: str):
    files = [CONFIGS / "train.yaml", *(CONFIGS / group).glob("*.yaml")]
    found = [setting for file in files for setting in read_command(file).settings]
    keys = [setting.key for setting in found if not setting.comment and not setting.default.startswith("${..")]
    assert [key for key in keys if "_target_" not in key] == []
    assert group != "model" or "conditioner.null" in {setting.key for setting in found}, "a quoted key is read"


def test_choices_are_those_that_a_comment_begins_with():
    assert choices("fade | cut | resolve (a held tonic chord)") == ["fade", "cut", "resolve"]
    assert choices("folder: index.html | single: more") == []
    assert choices("BPM, or auto") == []


def test_completion_offers_commands_settings_and_choices(tmp_path: Path):
    bash = script("bash", CONFIGS)
    (tmp_path / "complete.sh").write_text(
        bash
        + """
ask() { COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=(); _diffbgm; echo "${COMPREPLY[*]}"; }
ask diffbgm sam
ask diffbgm sample endi
ask diffbgm sample sampler=dd
ask diffbgm evaluate reference_
ask diffbgm sample mix = du
ask diffbgm sample mix =
ask diffbgm sample sampler = dd
ask diffbgm app sha
ask diffbgm fetch so
cd "$1" && ask diffbgm sample videos = my_
"""
    )
    (tmp_path / "my_videos").mkdir()
    words = ["bash", str(tmp_path / "complete.sh"), str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [
        "sample",
        "ending= ending=fade ending=cut ending=resolve",
        "sampler=ddim sampler=ddpm",
        "reference_sample=",
        "duck",
        "replace duck keep",
        "ddim ddpm",
        "share= share=true",
        "soundfont",
        "my_videos",
    ]


def test_words_of_commands_without_a_config_are_those_they_have():
    assert {word.partition("=")[0] for word in OTHERS["app"]} == {field.name for field in fields(AppSettings)}
    assert OTHERS["fetch"] == sorted({asset.group for asset in ASSETS})


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_shells(capsys, shell: str):
    assert main([shell], CONFIGS) == 0
    assert "complete -F _diffbgm diffbgm" in capsys.readouterr().out


@pytest.mark.parametrize("arguments", [["fish"], []])
def test_other_shells_have_no_completion(arguments: list[str]):
    with pytest.raises(InputError, match="bash or zsh"):
        main(arguments, CONFIGS)


@pytest.mark.parametrize("name", [command.config for command in COMMANDS if command.config])
def test_help_begins_with_the_usage_and_has_examples(name: str):
    text = help_text(name, CONFIGS)
    assert text.startswith(("usage: diffbgm ", "usage: python "))
    assert len(EXAMPLES[name]) >= 2
    assert "\nExamples:\n  diffbgm " in text
    called = help_text(name, CONFIGS, "python x\\1.py")
    assert called.startswith("usage: python x\\1.py ")
    assert called.count("\n  python x\\1.py ") == len(EXAMPLES[name])


@pytest.mark.parametrize(
    ("script", "called"), [("sample.py", "python sample.py"), ("/usr/bin/diffbgm", "diffbgm sample")]
)
def test_help_names_the_command_as_it_was_called(monkeypatch, capsys, script: str, called: str):
    monkeypatch.setattr(sys, "argv", [script, "--help"])
    assert command_line(["sample", "--help"]) == 0
    assert capsys.readouterr().out == help_text("sample", CONFIGS, called)
