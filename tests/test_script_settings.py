"""Scripts and benchmarks answer a setting that they cannot use in one sentence, before they read or write anything."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from benchmarks.samplers import bench_samplers
from benchmarks.samplers_settings import bench_settings, row_settings
from diffbgm.app.cli import configure, run
from diffbgm.app.prepare_bgm909 import prepare_bgm909
from diffbgm.app.songs import sample_songs
from diffbgm.errors import InputError
from scripts.dataset_report import dataset_report
from scripts.fit_discriminator import fit_discriminator
from scripts.fit_grooves import fit_grooves
from scripts.fit_harmony import fit_harmony
from scripts.measure_harmony import measure_harmony
from scripts.measure_reprise import measure_reprise
from scripts.reproduce import reproduce

BENCH = ("bench_samplers", bench_samplers, ("out=b.json",))
TABLE: list[tuple[tuple[str, Callable[..., Any], tuple[str, ...]], dict[str, str]]] = [
    (
        BENCH,
        {
            "segments=0": "segments=0 cannot be used; give a whole number from 1 to 1e+06",
            "speed=many": "speed=many cannot be used; give a whole number from 0 to 10000",
            "segmentz=3": "unknown setting 'segmentz'; did you mean 'segments'?",
            "data.window=5": "data.window=5 cannot be used; give one of 4, 8, 16, 32, or dynamic",
            "only=[ddpm]": "there is no row ddpm in samplers; choose from ddpm_1000, ddim_50",
            "paper=mine": "there is no row mine in samplers; choose from",
            "shared.clip=3": "shared.clip=3 cannot be used; give a list of 2 rising items",
            "+samplers.mine=3": "samplers.mine=3 cannot be used; give settings by name",
            "+samplers.mine={halves:true}": "no value for samplers.mine.sampler; give settings by name",
            "+samplers.mine={sampler:{steps:3}}": "no value for samplers.mine.sampler.name; give the name of a sampler",
            "samplers.ddim_10.sampler.steps=0": "samplers.ddim_10.sampler.steps=0 cannot be used; give a whole number",
            "+samplers.ddim_10.sampler.stepz=1": "unknown setting 'samplers.ddim_10.sampler.stepz'; did you mean",
            "+samplers.ddim_10.compose.guidance=abc": "samplers.ddim_10.compose.guidance=abc cannot be used; give",
            "+samplers.ddim_10.precision=fp8": "samplers.ddim_10.precision=fp8 cannot be used; give one of fp32",
        },
    ),
    (
        ("dataset_report", dataset_report, ("out=d", "data=generated")),
        {
            "songs=0": "songs=0 cannot be used; give a whole number from 1 to 1e+06, or null",
            "data.workers=0": "data.workers=0 cannot be used; give a whole number from 1 to 1024, or null",
            "song=3": "unknown setting 'song'; did you mean 'songs'?",
        },
    ),
    (
        ("fit_harmony", fit_harmony, ("out=h.npz",)),
        {
            "out=": "out= cannot be used; give text of 1 to 4096 characters",
            "data=generated": "generated has no annotated chords and keys; give data=pop909",
        },
    ),
    (
        ("fit_discriminator", fit_discriminator, ("music=m", "out=f.safetensors")),
        {
            "steps=0": "steps=0 cannot be used; give a whole number from 1 to 1e+07",
            "width=0": "width=0 cannot be used; give a whole number from 1 to 1024",
            "times=0": "times=0 cannot be used; give a whole number from 1 to 1000",
        },
    ),
    (
        ("fit_grooves", fit_grooves, ("out=g.npz",)),
        {"segments=0": "segments=0 cannot be used; give a whole number from 1 to 1e+06"},
    ),
    (
        ("measure_harmony", measure_harmony, ()),
        {
            "songs=0": "songs=0 cannot be used; give a whole number from 1 to 1e+06, or null",
            "out=here": "out=here cannot be used; give null",
            "compose.rows=0": "compose.rows=0 cannot be used; give a whole number from 1 to 4096",
            "precision=fp8": "precision=fp8 cannot be used; give one of auto, fp32, bf16, fp16",
        },
    ),
    (
        ("measure_reprise", measure_reprise, ()),
        {
            "songs=null": "songs=None cannot be used; give a whole number from 1 to 1e+06",
            "form=auto": "form=auto names no sections to compare; give letters, such as AABA",
            "form=a1": "form is 'a1'; give one letter per eight bars",
            "reprises=[0.5,2]": "reprises=[0.5, 2] cannot be used; give a list of 1 to 100 items, each a number from 0",
            "reprises=[]": "reprises=[] cannot be used; give a list of 1 to 100 items",
            "bars=8": "bars=8 cannot be used; give null",
            "compose.reprise=2": "compose.reprise=2 cannot be used; give a number from 0 to 1, or null",
        },
    ),
    (
        ("reproduce", reproduce, ("out=r",)),
        {
            "budget.weights=first": "budget.weights=first cannot be used; give one of last, best",
            "budget.data=[mp3]": "budget.data=['mp3'] cannot be used; give a list of 1 to 3 items, each one of bgm909",
            "budget.train=3": "budget.train=3 cannot be used; give a list of 0 to 4096 items",
            "+budget.trian=[]": "unknown setting 'budget.trian'; did you mean 'budget.train'?",
            "variant=[1]": "variant=[1] cannot be used; give text of 1 to 64 characters, or null",
        },
    ),
    (
        ("prepare_bgm909", prepare_bgm909, ("videos=v", "out=o")),
        {
            "device=cuda": "device=cuda cannot be used; give one of auto, cpu",
            "videos={a:1}": "videos={'a': 1} cannot be used; give ",
            "cache=null": "cache=None cannot be used; give text of 1 to 4096 characters",
            "caches=c": "unknown setting 'caches'; did you mean 'cache'?",
        },
    ),
    (
        ("sample_songs", sample_songs, ("out=s",)),
        {
            "out=null": "out=None cannot be used; give text of 1 to 4096 characters",
            "songs=0.5": "songs=0.5 cannot be used; give a whole number from 1 to 1e+06, or null",
        },
    ),
]
CASES = [(entry, word, sentence) for entry, asked in TABLE for word, sentence in asked.items()]


@pytest.mark.parametrize(("entry", "word", "sentence"), CASES, ids=[f"{e[0]} {word}" for e, word, _ in CASES])
def test_a_wrong_setting_is_one_sentence(
    entry: tuple[str, Callable[..., Any], tuple[str, ...]],
    word: str,
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, function, given = entry
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("POP909_DIR", str(tmp_path))
    key = word.partition("=")[0]
    assert run(function, config, [*(known for known in given if not known.startswith(f"{key}=")), word]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"error: {sentence}")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


def test_a_row_is_completed_by_what_all_have_in_common() -> None:
    words = ["out=b.json", "+samplers.mine={sampler:{name:dpm,steps:12,sde:true},compose:{temperature:0.8}}"]
    own = bench_settings(OmegaConf.to_container(configure("bench_samplers", words), resolve=True))  # type: ignore[arg-type]
    assert row_settings(own, "mine") == {
        "sampler": {"spacing": "trailing", "through": [200], "clip": [0, 1], "name": "dpm", "steps": 12, "sde": True},
        "compose": {"temperature": 0.8},
        "precision": "fp32",
        "halves": False,
    }


def test_a_file_that_is_not_the_benchmark_s_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "b.json").write_text("[1, 2]")
    words = ["data=generated", "data.count=4", f"data.cache={tmp_path}", f"out={tmp_path}/b.json", "segments=1"]
    with pytest.raises(InputError, match=r"b\.json is not ours, and would be replaced"):
        bench_samplers(configure("bench_samplers", words))
    assert (tmp_path / "b.json").read_text() == "[1, 2]"
