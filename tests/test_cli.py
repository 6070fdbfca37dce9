"""The command line of every entry point: overrides as users type them, and mistakes as one sentence."""

from pathlib import Path

import pytest

from diffbgm.app import cli
from diffbgm.errors import InputError


@pytest.fixture
def configs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "job.yaml": "defaults: [size: small, _self_, experiment: null]\nout: ???\nnest: {alpha: 1, beta: 2}\n",
        "size/small.yaml": "width: 1\n",
        "size/large.yaml": "width: 9\n",
        "experiment/big.yaml": "# @package _global_\ndefaults:\n  - override /size: large\nout: big\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(cli, "CONFIGS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    "path",
    ["plain", "with space", "a,b", "Vidéos (1)", "it's [x]", "a=b", "-dash", "~/home", "back\\slash", "ünï/{x}", "x'"],
)
def test_any_path_is_a_value(configs: Path, path: str):
    assert cli.configure("job", [f"out={path}"]).out == path


def test_values_keep_their_types(configs: Path):
    config = cli.configure("job", ["nest.alpha=2.5", "nest.beta=[1,2]", "out=null", "+nest.gamma=true"])
    assert (config.nest.alpha, list(config.nest.beta), config.out, config.nest.gamma) == (2.5, [1, 2], None, True)


@pytest.mark.parametrize("override", ["experiment=big", "+experiment=big"])
def test_experiments_override_groups_and_keys(configs: Path, override: str):
    config = cli.configure("job", [override])
    assert (config.size.width, config.out) == (9, "big")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("nest.alfa=1", "unknown setting 'nest.alfa'; did you mean 'nest.alpha'?"),
        ("zzz=1", "unknown setting 'zzz'; --help lists them all"),
        ("size=huge", "unknown option 'huge' for size; choose one of large, small"),
        ("word", "cannot read the argument 'word'; write settings as key=value"),
        ("nest.alpha=1", "no value for out; add out=..."),
    ],
)
def test_mistakes_become_one_sentence(configs: Path, capsys, argument: str, words: str):
    assert cli.run(lambda config: 0, "job", [argument]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {words}")
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["-m", "size=huge", "nest.alpha=1,2"], "unknown option 'huge' for size; choose one of large, small"),
        (["nest.beta=2", "--multirun", "nest.alfa=1"], "unknown setting 'nest.alfa'; did you mean 'nest.alpha'?"),
    ],
)
def test_mistakes_that_all_jobs_of_a_sweep_share_are_one_sentence(configs: Path, capsys, arguments, words: str):
    assert cli.run(lambda config: 0, "job", arguments) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith(f"error: {words}")
    assert captured.err.count("\n") == 1


def test_jobs_of_a_sweep_may_compose(configs: Path, monkeypatch):
    found = []

    def job(config):
        found.append((config.nest.alpha, cli.configure("job", ["size=large", "out=x"]).size.width))

    given = ["-m", "out=x", "nest.alpha=1,2", f"hydra.sweep.dir={configs}/sweep"]
    monkeypatch.setattr("sys.argv", ["job", *given])
    assert cli.run(job, "job") == 0
    assert found == [(1, 9), (2, 9)]


def test_exit_codes(configs: Path, capsys):
    def refuse(config):
        raise InputError("the file is empty; give another")

    def break_down(config):
        raise ZeroDivisionError

    assert cli.run(lambda config: None, "job", ["out=x"]) == 0
    assert cli.run(lambda config: 7, "job", ["out=x"]) == 7
    assert cli.run(refuse, "job", ["out=x"]) == 1
    assert capsys.readouterr().err == "error: the file is empty; give another\n"
    assert cli.run(break_down, "job", ["out=x"]) == 1
    assert capsys.readouterr().err == "error: job failed unexpectedly (ZeroDivisionError: ); --debug shows where\n"


def test_a_setting_of_another_option_is_told_from_an_unknown_one():
    with pytest.raises(InputError, match=r"'sampler.sde' is a setting of another option than the one chosen"):
        cli.configure("sample", ["videos=a", "out=b", "sampler=ddim", "sampler.sde=true"])
