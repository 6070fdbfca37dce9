"""What sample.py cannot use is one sentence, exit code 1, and leaves nothing behind."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sample_run import QUICK, names, sampling, write_odd_videos
from tiny_checkpoint import save_tiny_checkpoint

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture
def call(checkpoint, tmp_path):
    return sampling(checkpoint, tmp_path / "cache")


@pytest.fixture(scope="module")
def odd_videos(tmp_path_factory):
    return write_odd_videos(tmp_path_factory.mktemp("videos"))


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (["tempo=0"], "tempo=0 cannot be used; give a number from 40 to 240, or auto"),
        (["seed=1.5"], "seed=1.5 cannot be used"),
        (["variations=abc"], "variations=abc cannot be used"),
        (["keep=x.mid", "keep_bars=3"], "keep_bars=3 cannot be used"),
        (["program=null"], "program=None cannot be used"),
        (["program=200"], "program=200 is not an instrument; give 0 to 127"),
        (["soundfont=nowhere.sf2"], "no soundfont nowhere.sf2"),
        (["sampler.steps=abc"], "sampler.steps=abc cannot be used; give a whole number"),
        (["variations=0"], "variations=0 cannot be used"),
        (["melody=nowhere.mid"], "no MIDI file nowhere.mid"),
        (["keep_bars=[1,2]"], "keep=FILE.mid and keep_bars=[first,last] go together"),
        (["mix=loud"], "mix=loud cannot be used; give one of replace, duck, keep"),
        (["ending=bang"], "ending=bang cannot be used"),
        (["key=H"], "unknown key 'H'"),
        (["chords=C H F"], "'H' is not a chord"),
        (["compose.reprise=2"], "compose.reprise=2 cannot be used"),
        (["compose.reprise=0.5"], "reprise=0.5 needs a network with reference_condition"),
        (["compose.harmony=plan"], "harmony=plan needs a network with theme_condition"),
        (["compose.form=auto"], "form=auto needs a network with theme_condition"),
        (["compose.window=5"], "compose.window=5 cannot be used; give one of 4, 8, 16, 32, or dynamic"),
        (["compose.longform=circular"], "compose.longform=circular cannot be used"),
        (["sampler.steps=0"], "sampler.steps is 0"),
        (["sampler.steps=1001"], "1001"),
        (["sampler.steps=true"], "sampler.steps=True cannot be used"),
        (["sampler.through=[abc]"], "sampler.through=['abc'] cannot be used"),
        (["sampler.clip=3"], "sampler.clip=3 cannot be used"),
        (["sampler=ddim", "sampler.eta=abc"], "sampler.eta is abc"),
        (["tempo_range=[90]"], "tempo_range=[90] cannot be used"),
        (["variations=100000"], "variations=100000 cannot be used; give a whole number from 1 to 100"),
        (["keep=x.mid", "keep_bars=[0,3]"], "keep_bars=[0, 3] cannot be used"),
        (["keep=x.mid", "keep_bars=[a,b]"], "keep_bars=['a', 'b'] cannot be used"),
        (["compose.modality=music"], "compose.modality=music cannot be used"),
        (["compose.temperature=0"], "compose.temperature=0 cannot be used"),
        (["compose.temperature=0.8"], "needs a network of objective=x0_posterior"),
        (["compose.guidance=nan"], "compose.guidance=nan cannot be used"),
        (["compose.threshold=2"], "compose.threshold=2 cannot be used"),
        (["seed=-1"], "seed=-1 cannot be used"),
        (["precision=fp8"], "precision=fp8 cannot be used; give one of auto"),
        (["device=tpu9"], "device=tpu9 cannot be used here"),
        (["features=clip"], "was trained on features=lite"),
        (["tempoo=90"], "unknown setting 'tempoo'"),
        (["sampler=euler"], "unknown option 'euler' for sampler"),
        (["checkpoint=nowhere.safetensors"], "no checkpoint at nowhere.safetensors"),
    ],
)
def test_bad_settings_are_one_sentence(odd_videos, call, tmp_path, capsys, overrides, sentence):
    assert call(odd_videos / "short.mp4", tmp_path / "out", *overrides) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert sentence in error
    assert "\n" not in error
    assert not (tmp_path / "out").exists() or not names(tmp_path / "out") - {"index.html", "summary.json"}


def test_foreign_and_cut_checkpoints_are_refused(odd_videos, call, tmp_path, capsys, checkpoint):
    import safetensors.torch

    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(checkpoint.read_bytes()[:5000])
    foreign = tmp_path / "foreign.safetensors"
    safetensors.torch.save_file({"weight": torch.zeros(3)}, foreign)
    for path in (cut, foreign):
        assert call(odd_videos / "short.mp4", tmp_path / "out", f"checkpoint={path}") == 1
        error = capsys.readouterr().err
        assert path.name in error
        assert error.count("\n") == 1


def test_an_empty_folder_and_results_over_the_videos_are_refused(odd_videos, call, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    assert call(tmp_path / "empty", tmp_path / "out") == 1
    assert "no videos in" in capsys.readouterr().err
    before = names(odd_videos)
    assert call(odd_videos, odd_videos) == 1
    assert "would be overwritten" in capsys.readouterr().err
    assert names(odd_videos) == before


def test_an_output_folder_that_cannot_be_written_is_named(odd_videos, call, tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    assert call(odd_videos / "short.mp4", tmp_path / "file" / "out") == 1
    error = capsys.readouterr().err
    assert "cannot write" in error
    assert "choose a folder" in error


def test_the_command_itself_ends_with_a_sentence_and_code_1(odd_videos, checkpoint, tmp_path):
    command = [sys.executable, "sample.py", f"videos={odd_videos / 'text.mp4'}", f"out={tmp_path / 'out'}"]
    done = subprocess.run(
        [*command, f"checkpoint={checkpoint}", f"cache={tmp_path / 'cache'}", *QUICK],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert "text.mp4" in done.stderr
    assert "Traceback" not in done.stderr
