"""The whole path through the command: good, odd and bad videos, and the properties of the results."""

import json
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from make_video import flat, ramp, write_video
from sample_run import BAD, GOOD, RESULTS, names, sampling, scenes, write_odd_videos
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.music.midi import read_midi, write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import decode


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_tiny_checkpoint(tmp_path_factory.mktemp("checkpoint") / "tiny.safetensors")


@pytest.fixture
def call(checkpoint, tmp_path):
    return sampling(checkpoint, tmp_path / "cache")


@pytest.fixture(scope="module")
def odd_videos(tmp_path_factory):
    return write_odd_videos(tmp_path_factory.mktemp("videos"))


def sound_of(path: Path) -> np.ndarray:
    """Sound (n, 2), full scale at 1."""
    resampler = av.AudioResampler(format="fltp", layout="stereo", rate=48000)
    with av.open(str(path)) as container:
        frames = [part for frame in container.decode(audio=0) for part in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray() for frame in frames], axis=1).T


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
