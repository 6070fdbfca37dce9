"""The whole path through the command: good, odd and bad videos, and the properties of the results."""

import json
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from make_video import flat, ramp, write_sound, write_video
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.cli import run
from diffbgm.app.sample import sample
from diffbgm.music.midi import read_midi, write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import decode

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ("json", "mid", "mp4", "png", "wav")
QUICK = ("sampler.steps=3", "device=cpu")


def scenes(seconds: float = 3.0, fps: int = 12, size: tuple[int, int] = (64, 48)) -> list[np.ndarray]:
    """Three shots: a dark still one, a bright moving one, a red one."""
    count = round(seconds * fps)
    pictures = []
    for k in range(count):
        part = 3 * k // count
        picture = flat([(20, 20, 40), (220, 220, 200), (180, 40, 20)][part], size).copy()
        if part == 1:
            picture[:, (5 * k) % size[0] :][:, :10] = 0
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture
def call(checkpoint, tmp_path):
    """call(videos, out, *overrides) -> exit code, through the same function as the command."""

    def run_sample(videos: Path, out: Path, *overrides: str) -> int:
        arguments = [f"videos={videos}", f"out={out}", f"checkpoint={checkpoint}", f"cache={tmp_path / 'cache'}"]
        return run(sample, "sample", [*arguments, *QUICK, *overrides])

    return run_sample


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def sound_of(path: Path) -> np.ndarray:
    """Sound (n, 2), full scale at 1."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=48000)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T


@pytest.fixture(scope="module")
def odd_videos(tmp_path_factory):
    """Good videos of every shape, and files that are none, in one folder."""
    folder = tmp_path_factory.mktemp("videos")
    write_video(folder / "with sound.mp4", scenes(), fps=12, sound=3.0)
    write_video(folder / "-dash.mp4", scenes(1.5), fps=12)
    write_video(folder / "ñandú 日本.mp4", scenes(1.5, size=(48, 96)), fps=12)
    write_video(folder / "odd rate.mkv", ramp(20), fps=7)
    write_video(folder / "variable.mp4", ramp(12), times=[0, 0.1, 0.15, 0.5, 0.6, 1.0, 1.1, 1.4, 1.5, 1.9, 2.2, 2.3])
    write_video(folder / "single frame.mp4", ramp(1), fps=25)
    write_video(folder / "short.mp4", ramp(8), fps=25)
    (folder / "text.mp4").write_text("not a video at all")
    (folder / "empty.mp4").touch()
    write_sound(folder / "audio only.mp4")
    whole = write_video(folder.parent / "whole.mp4", scenes(), fps=12).read_bytes()
    (folder / "truncated.mp4").write_bytes(whole[: len(whole) // 2])
    (folder / "readme.txt").write_text("ignored")
    return folder


GOOD = ("with sound", "-dash", "ñandú 日本", "odd rate", "variable", "single frame", "short")
BAD = ("text.mp4", "empty.mp4", "audio only.mp4", "truncated.mp4")


def test_odd_videos_get_music_and_bad_ones_are_named(odd_videos, call, tmp_path, capsys):
    out = tmp_path / "out folder"
    assert call(odd_videos, out) == 1
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["ok"]) == set(GOOD)
    assert {item["video"] for item in summary["failed"]} == set(BAD)
    errors = capsys.readouterr().err
    for item in summary["failed"]:
        assert item["video"] in item["error"], "the sentence names the file"
        assert "\n" not in item["error"]
        assert f"error: {item['error']}" in errors
    assert "Traceback" not in errors
    expected = {f"{name}.{kind}" for name in GOOD for kind in RESULTS} | {"index.html", "summary.json"}
    assert names(out) == expected, "whole results for the good, nothing for the bad"
    page = (out / "index.html").read_text()
    assert all(name in page for name in (*GOOD, *BAD))


def test_results_hold_what_they_promise(odd_videos, call, tmp_path):
    out = tmp_path / "out"
    assert call(odd_videos / "with sound.mp4", out, "seed=3", "tempo=100") == 0
    report = json.loads((out / "with sound.json").read_text())
    assert report["seed"] == 3
    assert report["tempo"] == 100
    assert len(report["checkpoint"]["sha256"]) == 64
    assert report["config"]["sampler"]["steps"] == 3
    assert set(report["seconds"]) == {"features", "compose", "sound", "mux", "picture", "total"}
    assert {"diffbgm", "torch", "python"} <= set(report["versions"])
    assert len(report["captions"]) == len(report["shots"]) == 3
    score = read_midi(out / "with sound.mid")
    assert score.tempo == pytest.approx(100)
    assert len(score.notes) == report["notes"] > 0
    assert score.notes.end <= 3.0 * 100 / 60 * 4 + 1
    with av.open(str(out / "with sound.mp4")) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 1
        assert container.duration / 1e6 == pytest.approx(3.0, abs=0.05)
    for sound in (sound_of(out / "with sound.mp4"), sound_of(out / "with sound.wav")):
        assert len(sound) / 48000 == pytest.approx(3.0, abs=0.03)
        assert 0.01 < np.abs(sound).max() < 1.0, "neither silent nor clipped"


def test_same_seed_same_bytes_whatever_else_is_in_the_folder(odd_videos, call, tmp_path):
    assert call(odd_videos, tmp_path / "all") == 1
    assert call(odd_videos / "-dash.mp4", tmp_path / "one") == 0
    assert call(odd_videos / "-dash.mp4", tmp_path / "other", "seed=1") == 0
    one = (tmp_path / "one" / "-dash.mid").read_bytes()
    assert (tmp_path / "all" / "-dash.mid").read_bytes() == one
    assert (tmp_path / "other" / "-dash.mid").read_bytes() != one


def test_different_videos_get_different_music_at_the_same_seed(tmp_path, call):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_video(folder / "dark.mp4", [flat(15)] * 24, fps=12)
    write_video(folder / "lively.mp4", scenes(2.0), fps=12)
    assert call(folder, tmp_path / "out", "tempo=120") == 0
    assert (tmp_path / "out" / "dark.mid").read_bytes() != (tmp_path / "out" / "lively.mid").read_bytes()


@pytest.mark.parametrize("longform", ["independent", "outpaint", "joint"])
def test_any_length_is_covered_to_its_end(tmp_path, call, longform):
    video = write_video(tmp_path / "long.mp4", ramp(100), fps=4)
    assert call(video, tmp_path / "out", f"compose.longform={longform}", "tempo=120") == 0
    notes = read_midi(tmp_path / "out" / "long.mid").notes
    assert notes.end <= 25 * 8
    assert (notes.onset >= 16 * 8).any(), "music goes on after the first window"


def test_windows_from_the_shots_act_in_sampling(tmp_path, call):
    video = write_video(tmp_path / "clip.mp4", scenes(6.0), fps=12)
    for window in ("dynamic", 4, 32):
        assert call(video, tmp_path / str(window), f"compose.window={window}", "tempo=120") == 0
    files = {window: (tmp_path / str(window) / "clip.mid").read_bytes() for window in ("dynamic", 4, 32)}
    assert files["dynamic"] == files[4], "shots of 2 s are 4 beats at 120 BPM"
    assert files["dynamic"] != files[32]


def test_a_compiled_network_plays_the_same(tmp_path, call, monkeypatch):
    """With a compiler that changes nothing; docs/log.md has the speed with the real one."""
    compiled = torch.compile
    monkeypatch.setattr(torch, "compile", lambda network: compiled(network, backend="eager"))
    video = write_video(tmp_path / "a.mp4", scenes(3.0), fps=12)
    for value in ("false", "true"):
        assert call(video, tmp_path / value, f"compile={value}") == 0
    assert (tmp_path / "true" / "a.mid").read_bytes() == (tmp_path / "false" / "a.mid").read_bytes()


def test_streams_can_be_left_out(tmp_path, call):
    """Both streams act; and what is heard alone depends on nothing else (for language: not on the motion)."""
    video = write_video(tmp_path / "a.mp4", scenes(6.0), fps=12)
    found = {}
    for modality in ("both", "language", "visual"):
        for intensity in (1, 0.2):
            out = tmp_path / f"{modality}{intensity}"
            wishes = ["caption=A quiet room", "tempo=120", "dynamics=0"]
            given = [f"compose.modality={modality}", f"intensity={intensity}", *wishes]
            assert call(video, out, *given) == 0
            found[modality, intensity] = (out / "a.mid").read_bytes()
    assert len({found[modality, 1] for modality in ("both", "language", "visual")}) == 3
    assert found["language", 1] == found["language", 0.2]
    assert found["visual", 1] != found["visual", 0.2]


def test_kept_states_are_the_rolls_at_those_timesteps(tmp_path, call):
    video = write_video(tmp_path / "clip.mp4", ramp(24), fps=12)
    assert call(video, tmp_path / "out", "keep_states=[999,200,0]", "sampler.steps=10", "tempo=120") == 0
    with np.load(tmp_path / "out" / "clip.states.npz") as states:
        assert states["x"].shape == states["x0"].shape == (3, 2, 16, 128)
        assert list(states["t"]) == [999, 200, 0]
        noise = states["x"][0]
        assert (abs(noise.mean()), noise.std()) == pytest.approx((0, 1), abs=0.05)  # what the walk began with
        assert states["x"][1].std() > states["x0"][1].std()
        assert (states["x"][2] == states["x0"][2]).all()
        finished = decode(states["x0"][2]).window(0, 16)
    notes = read_midi(tmp_path / "out" / "clip.mid").notes
    np.testing.assert_array_equal(finished.onset, notes.onset)
    np.testing.assert_array_equal(finished.pitch, notes.pitch)


def test_variations_are_ranked_by_how_they_follow_the_picture(tmp_path, call):
    video = write_video(tmp_path / "clip.mp4", scenes(6.0), fps=12)
    assert call(video, tmp_path / "out", "variations=3", "tempo=120") == 0
    titles = ("clip", "clip.take2", "clip.take3")
    reports = [json.loads((tmp_path / "out" / f"{title}.json").read_text()) for title in titles]
    assert sorted(report["take"] for report in reports) == [0, 1, 2]
    following = [report["following"] for report in reports]
    assert following == sorted(following, reverse=True)
    assert {f"{title}.{kind}" for title in titles for kind in RESULTS} <= names(tmp_path / "out")
    assert call(video, tmp_path / "single", "tempo=120") == 0
    first = titles[[report["take"] for report in reports].index(0)]
    assert (tmp_path / "single" / "clip.mid").read_bytes() == (tmp_path / "out" / f"{first}.mid").read_bytes()


def test_a_melody_is_kept_and_accompanied(tmp_path, call):
    melody = Notes(*(np.array(column) for column in ([0, 4, 8, 12], [72, 74, 76, 72], [4, 4, 4, 4], [80] * 4, [0] * 4)))
    write_midi(melody, tmp_path / "melody.mid")
    video = write_video(tmp_path / "clip.mp4", scenes(4.0), fps=12)
    assert call(video, tmp_path / "out", f"melody={tmp_path / 'melody.mid'}", "tempo=120") == 0
    notes = read_midi(tmp_path / "out" / "clip.mid").notes
    rows = set(zip(notes.onset, notes.pitch, notes.duration, strict=True))
    assert set(zip(melody.onset, melody.pitch, melody.duration, strict=True)) <= rows
    assert len(notes) > len(melody)


def test_controls_reach_the_music(tmp_path, call):
    video = write_video(tmp_path / "clip.mp4", scenes(8.0), fps=12)
    for name, override in {"key": "key=F# minor", "calm": "intensity=0", "said": "caption=A fast scene."}.items():
        assert call(video, tmp_path / name, override, "tempo=120") == 0
    keyed = json.loads((tmp_path / "key" / "clip.json").read_text())
    assert keyed["key"] in ("F# minor", "A major")
    said = json.loads((tmp_path / "said" / "clip.json").read_text())
    assert said["captions"] == ["A fast scene."]
    files = {(tmp_path / name / "clip.mid").read_bytes() for name in ("key", "calm", "said")}
    assert len(files) == 3


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
    import torch

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
