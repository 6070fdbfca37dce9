"""Commands that reproduce a take: the settings that differ from the defaults, as the command line reads them."""

import shlex
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from diffbgm.app import command
from diffbgm.app.cli import configure
from diffbgm.app.command import beside, changed_settings, keep_and_redo, make_again
from diffbgm.diffusion.samplers import Sampler, default_sampler
from diffbgm.fields import check


def plain(overrides: list[str]) -> dict:
    return OmegaConf.to_container(configure("sample", overrides), resolve=True)


GIVEN = [
    [],
    ["seed=7", "tempo=96", "tempo_range=[80,120]", "key=F# minor", "ending=resolve", "accent_cuts=false"],
    ['caption=A slow, dark scene; it\'s "cold".', "compose.form=AABA", "compose.guidance=2.5"],
    ["sampler=ddim", "sampler.eta=0.5", "features=clip"],
    ["sampler=ddpm", "sampler.clip=null", "features=lite"],
    ["sampler.steps=20", "keep=some folder/a.mid", "keep_bars=[1,4]", "variations=4"],
]


@pytest.mark.parametrize("overrides", GIVEN, ids=lambda overrides: overrides[0] if overrides else "defaults")
def test_the_command_gives_the_same_settings(overrides: list[str]):
    config = plain(["videos=my videos", "out=made", *overrides])
    report = {"name": "clip", "video": "my videos/clip.mp4", "config": config, "seed": 0, "tempo": 98.5}
    words = shlex.split(make_again(report, Path("made")))
    assert words[:4] == ["diffbgm", "sample", "videos=my videos/clip.mp4", "out=made-again"]
    again = plain(words[2:])
    different = {key for key in config if config[key] != again[key]}
    assert different == {"videos", "out"}
    assert len(words) == 4 + len(overrides), "no setting that was not given"


def test_some_bars_are_kept_and_the_rest_has_another_seed():
    config = plain(["videos=v", "out=made", "variations=3", "melody=tune.mid", "ending=cut"])
    report = {"name": "clip.take2", "video": "v/clip.mp4", "config": config, "seed": 4, "tempo": 98.5}
    words = shlex.split(keep_and_redo(report, Path("made")).format(first=2, last=3))
    again = plain(words[2:])
    assert (again["seed"], again["tempo"], again["keep"], again["keep_bars"]) == (
        5,
        98.5,
        "made/clip.take2.mid",
        [2, 3],
    )
    assert (again["variations"], again["melody"], again["ending"], again["out"]) == (1, None, "cut", "made-redo")


def test_how_a_run_is_made_is_left_out():
    assert changed_settings(plain(["videos=a", "out=b", "device=cpu", "cache=c", "precision=fp32"])) == {}
    assert beside(Path("a/b"), "redo") == Path("a/b-redo")


def test_the_defaults_read_from_the_files_are_those_that_hydra_composes() -> None:
    assert command._defaults() == OmegaConf.to_container(configure("sample", ["videos=???", "out=???"]))


@pytest.mark.parametrize(
    ("sampler", "words"),
    [
        (default_sampler("dpm"), ["sampler=dpm"]),
        (replace(default_sampler("dpm"), steps=3, sde=False), ["sampler=dpm", "sampler.steps=3", "sampler.sde=false"]),
        (replace(default_sampler("ddim"), eta=0.0), ["sampler=ddim", "sampler.eta=0"]),
        (default_sampler("ddpm"), ["sampler=ddpm"]),
        (default_sampler("release"), ["sampler=release"]),
        (replace(default_sampler("dpm"), start=500), ["sampler=dpm", "+sampler.start=500"]),
    ],
)
def test_a_take_that_python_made_has_its_checkpoint_and_sampler_in_the_command(sampler: Sampler, words: list[str]):
    report = {
        "name": "music",
        "video": "clip.mp4",
        "settings": {"seed": 3, "guidance": 2.0},
        "checkpoint": {"path": "mine.safetensors", "sha256": ""},
        "sampler": asdict(sampler),
    }
    given = shlex.split(make_again(report, Path("made")))[4:]
    assert given == ["seed=3", "compose.guidance=2", "checkpoint=mine.safetensors", *words]
    again = plain(["videos=a", "out=b", *given])
    chosen = {key: value for key, value in again["sampler"].items() if key != "_target_"}
    assert check(Sampler, chosen) == sampler
