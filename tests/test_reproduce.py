"""scripts/reproduce.py: variants differ in the ablated setting alone, both tables are written, no work is repeated."""

import sys
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from omegaconf import DictConfig, OmegaConf

from diffbgm.app.cli import CONFIGS, configure, run
from diffbgm.datasets.bgm909 import Bgm909
from diffbgm.errors import InputError
from diffbgm.fields import check
from diffbgm.generation.composer import Composer
from diffbgm.training.trainer import Trainer
from scripts.reproduce import TABLES, BudgetSettings, find_data, reproduce, sampling, training, variant_of

pytestmark = pytest.mark.slow

VARIANTS = OmegaConf.load(CONFIGS / "reproduce.yaml").hydra.sweeper.params.variant.split(",")
BUDGETS = ("smoke", "small", "full")
SELECTOR = {"selector.strategy", "model.conditioner.selector.strategy"}


def leaves(config: object, prefix: str = "") -> dict[str, object]:
    """Every value of a configuration by its dotted key."""
    plain = OmegaConf.to_container(config, resolve=True) if isinstance(config, DictConfig) else config
    if not isinstance(plain, dict):
        return {prefix[:-1]: plain}
    return {key: value for name, child in plain.items() for key, value in leaves(child, f"{prefix}{name}.").items()}


def changed(one: DictConfig, other: DictConfig) -> set[str]:
    a, b = leaves(one), leaves(other)
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


@pytest.mark.parametrize("name", BUDGETS)
def test_variants_differ_in_what_is_ablated_alone(name: str):
    budget = check(BudgetSettings, configure("reproduce", [f"budget={name}"]).budget, "budget")
    base, *others = VARIANTS
    trained, composed = (step(budget, base, "pop909", Path("x")) for step in (training, sampling))
    for variant in others:
        ablated = SELECTOR if variant.startswith("selector_") else {"data.window"}
        assert changed(trained, training(budget, variant, "pop909", Path("x"))) == {"out", *ablated}
        assert changed(composed, sampling(budget, variant, "pop909", Path("x"))) == {"out", "checkpoint"}


def test_every_row_of_both_tables_is_a_variant_and_every_variant_a_row():
    rows = {name: configure("evaluate", [f"table={table}"]).table.rows for name, table in TABLES.items()}
    assert {variant_of(row.key, name) for name in TABLES for row in rows[name]} == set(VARIANTS)
    assert variant_of("window_8", "s2") == variant_of("language_video", "s1"), "trained once"


@pytest.mark.parametrize("sweep", [["-m"], []])
def test_an_unknown_budget_is_one_sentence(sweep, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", *sweep, "budget=huge"])
    assert run(reproduce, "reproduce") == 1
    assert capsys.readouterr().err == "error: unknown option 'huge' for budget; choose one of full, small, smoke\n"


def test_the_data_are_the_first_that_are_here(tmp_path: Path, monkeypatch, capsys):
    for name in ("BGM909_DIR", "POP909_DIR"):
        monkeypatch.setenv(name, str(tmp_path))
    assert find_data(["bgm909", "pop909", "generated"]) == "generated"
    assert run(reproduce, "reproduce", ["budget=small", f"out={tmp_path}"]) == 1
    message = capsys.readouterr().err
    assert message.startswith("error: no data to train on; set BGM909_DIR or POP909_DIR")
    assert message.count("\n") == 1
    monkeypatch.setattr(Bgm909, "songs", lambda self: {})
    assert find_data(["bgm909", "pop909"]) == "bgm909"


def test_columns_that_will_be_empty_are_said_before_training(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.setattr("diffbgm.extras.find_spec", lambda package: None)
    for step in ("train", "sample_songs"):
        monkeypatch.setattr(f"scripts.reproduce.{step}", lambda cfg: 0)
    given = ["budget=smoke", "budget.data=[generated]", "variant=window_4", f"out={tmp_path}"]
    assert reproduce(configure("reproduce", given)) == 0
    warning = capsys.readouterr().err
    assert warning.startswith("warning: the columns of P@K, SI and the paper's protocol will be empty: libfmp is not")
    assert warning.count("\n") == 1


def test_tables_before_there_is_music_are_one_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="there is no music in .*; first: python scripts/reproduce.py -m budget=smoke"):
        reproduce(configure("reproduce", [f"out={tmp_path}", "budget.data=[generated]"]))


@pytest.fixture
def command(tmp_path: Path, monkeypatch):
    """The script on generated songs and a tiny network; a low threshold lets it play notes without training."""
    data = ["data.count=8", f"data.cache={tmp_path}"]
    train = ["model=tiny", "model.unet.channels=8", "model.unet.norm_groups=2", "sampling.threshold=0.015", *data]
    train += ["trainer.precision=fp32", "trainer.steps=3", "trainer.batch_size=4", "trainer.validation_segments=4"]
    lists = {"train": train, "sample": ["songs=1", "bars=8", "sampler.steps=2", *data]}
    lists["evaluate"] = ["figures=0", "workers=1", "metrics=[exact]"]
    given = ["budget.data=[generated]", *(f"budget.{name}={values}" for name, values in lists.items())]
    given += [f"out={tmp_path}/out", f"hydra.sweep.dir={tmp_path}/sweep"]

    def start(*arguments: str) -> int:
        AcceleratorState._reset_state(reset_partial_state=True)
        monkeypatch.setattr(sys, "argv", ["reproduce.py", *arguments, *given])
        return run(reproduce, "reproduce")

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield start
    torch.set_num_threads(threads)


def test_two_variants_become_both_tables_and_are_not_trained_again(command, tmp_path: Path, monkeypatch):
    assert command("-m", "variant=selector_language_video,window_16") == 0
    assert command() == 0
    place = tmp_path / "out" / "generated"
    kept = [path for path in place.rglob("*") if path.suffix in (".safetensors", ".jsonl", ".mid")]
    made = {path: path.read_bytes() for path in kept}
    assert {path.suffix for path in kept} == {".safetensors", ".jsonl", ".mid"}
    s1, s2 = ((place / name / "table.md").read_text() for name in TABLES)
    assert "| Language+Video (paper) | 2.840 | 0.601 | 0.521 |" in s1
    assert "**Language+Video, this run (n = 1)**" in s1
    assert "| k = 16 (paper) | 2.792 | 0.680 | 0.540 |" in s2
    for row in ("**k = 8, this run (n = 1)**", "**k = 16, this run (n = 1)**", "| reference of all |"):
        assert row in s2
    for text in (s1, s2):
        assert "* This run: songs drawn from a seed, because neither BGM909 nor POP909 was found" in text
        assert "Budget smoke: 3 steps of 4 segments, then music for 1 held-out songs (songs=1 bars=8 " in text
        assert "never with the paper's absolute numbers" in text

    def again(*_: object) -> None:
        raise AssertionError("done before")

    monkeypatch.setattr(Trainer, "_step", again)
    monkeypatch.setattr(Composer, "compose", again)
    assert command("-m", "variant=selector_language_video,window_16") == 0
    assert {path: path.read_bytes() for path in kept} == made
