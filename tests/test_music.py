"""The library as a notebook uses it: a pipeline, its music, saving and measuring it."""

import json
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from hydra.utils import instantiate
from make_video import flat, ramp, write_video
from tiny_checkpoint import save_tiny_checkpoint

import diffbgm
from diffbgm.app.cli import configure
from diffbgm.app.results import write_takes
from diffbgm.diffusion.samplers import SAMPLERS, default_sampler
from diffbgm.errors import InputError
from diffbgm.generation.settings import ComposeSettings, SampleSettings, sample_settings
from diffbgm.music.midi import read_midi
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import decode
from diffbgm.video.extractors import build_extractor

QUICK = {"steps": 2, "progress": False, "tempo": 120}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("library")
    save_tiny_checkpoint(folder / "tiny.safetensors")
    write_video(folder / "clip.mp4", ramp(24), fps=12, sound=2.0)
    write_video(folder / "dark.mp4", [flat(20)] * 30, fps=12)
    return folder


@pytest.fixture(scope="module")
def pipe(folder):
    return diffbgm.Pipeline.from_pretrained(folder / "tiny.safetensors", device="cpu")


@pytest.fixture(scope="module")
def music(pipe, folder):
    return pipe(folder / "clip.mp4", seed=0, **QUICK)


@pytest.fixture(scope="module")
def silence(music):
    return replace(music, notes=Notes.empty())


def test_composing_returns_the_music_and_writes_nothing(pipe, folder, music):
    assert {path.name for path in folder.iterdir()} == {"tiny.safetensors", "clip.mp4", "dark.mp4"}
    assert len(music.notes) > 0
    assert music.roll.shape == (2, 16, 128)
    found = decode(music.roll)
    np.testing.assert_array_equal(np.sort(found.onset), np.sort(music.notes.onset))
    assert (music.tempo, music.duration, music.sample_rate) == (120, pytest.approx(2.0, abs=0.1), 48000)
    assert music.audio.shape == (round(music.duration * 48000), 2)
    assert music.audio.dtype == np.float32
    assert len(music.shots) == len(music.captions) == 1
    assert music.key is not None
    assert music.following is None or -1 <= music.following <= 1
    assert music.settings.guidance == 2.0, "the checkpoint's own, where none is asked for"


def test_several_videos_and_variations(pipe, folder, music):
    both = pipe([folder / "dark.mp4", str(folder / "clip.mp4")], **QUICK)
    assert [piece.video.name for piece in both] == ["dark.mp4", "clip.mp4"]
    np.testing.assert_array_equal(both[1].roll, music.roll, "the same whatever it is composed with")
    takes = pipe(folder / "clip.mp4", variations=2, **QUICK)
    assert sorted(take.take for take in takes) == [0, 1]
    first = next(take for take in takes if take.take == 0)
    np.testing.assert_array_equal(first.roll, music.roll)


def test_features_are_as_good_as_the_video_but_hold_no_picture(pipe, folder, music, tmp_path):
    again = pipe(pipe.extractor.extract(folder / "clip.mp4"), **QUICK)
    np.testing.assert_array_equal(again.roll, music.roll)
    with pytest.raises(InputError, match="was made from features"):
        again.save(tmp_path / "clip.mp4")


def test_curves_show_the_picture_as_measured_whatever_the_network_is_told(pipe, folder, music, monkeypatch):
    """`motion_contrast` changes what the network is told, not what is drawn or how loudly the piece is played."""
    factors = []

    def still(features, factor):
        factors.append(factor)
        return replace(features, visual=np.zeros_like(features.visual))

    monkeypatch.setattr("diffbgm.generation.pipeline.with_motion_contrast", still)
    told_otherwise = pipe(folder / "clip.mp4", **QUICK)
    assert factors == [2.0]
    np.testing.assert_array_equal(told_otherwise.shown.visual, music.shown.visual)
    assert told_otherwise.shown.visual.any()


def test_it_is_saved_by_the_ending(music, tmp_path):
    for name in ("a.mp4", "a.mid", "a.wav", "a.png", "a.json"):
        assert music.save(tmp_path / name).stat().st_size > 0
    assert {path.name for path in tmp_path.iterdir()} == {"a.mp4", "a.mid", "a.wav", "a.png", "a.json"}
    assert len(read_midi(tmp_path / "a.mid").notes) == len(music.notes)
    assert json.loads((tmp_path / "a.json").read_text())["settings"]["tempo"] == 120
    with av.open(str(tmp_path / "a.mp4")) as container:
        assert len(container.streams.video) == len(container.streams.audio) == 1


def test_the_video_itself_can_be_given_its_music(pipe, folder, tmp_path):
    clip = shutil.copy(folder / "dark.mp4", tmp_path / "clip.mp4")
    pipe(clip, **QUICK).save(clip)
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    with av.open(str(clip)) as container:
        assert len(container.streams.audio) == 1
        assert container.duration / 1e6 == pytest.approx(2.5, abs=0.05)


def test_sound_and_pictures_are_counted_as_they_are_written(music, tmp_path):
    """Two seconds, two stems: each of three sounds is written, two of them are rendered; the film's own sound lies
    beside the mix."""
    counted: dict[str, list[int]] = {}

    @contextmanager
    def stage(name, total):
        counted[name] = [-total]
        yield counted[name].append

    settings = replace(music.settings, stems=True, instruments="flute+piano", mix="duck")
    (report,) = write_takes([replace(music, settings=settings)], "clip", tmp_path, stage)
    assert counted["sound"] == [-10, 2, 2, 2, 2, 2, 0]
    assert (counted["mux"][0], counted["picture"]) == (-2, [-1, 1])
    assert [sum(counts) for counts in counted.values()] == [0, 0, 0]
    assert sorted(path.name.removeprefix("clip.") for path in tmp_path.iterdir()) == sorted(report["files"])
    assert {"original.m4a", "flute-lead.wav"} < set(report["files"])


@pytest.mark.parametrize(
    ("name", "sentence"), [("a.mp3", r"ending '\.mp3', which is unknown"), ("nowhere/a.mid", "there is no folder")]
)
def test_a_place_that_cannot_be_saved_to(music, tmp_path, name, sentence):
    with pytest.raises(InputError, match=sentence):
        music.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


def test_silence_can_be_saved_and_shown(silence, tmp_path):
    for name in ("a.mp4", "a.mid", "a.wav", "a.png", "a.json"):
        silence.save(tmp_path / name)
    assert silence.key is None
    assert not silence.audio.any()
    assert not silence.roll.any()
    assert "0 notes" in silence._repr_html_()
    with pytest.raises(InputError, match="no notes to evaluate"):
        diffbgm.evaluate(silence)


def test_a_notebook_shows_the_roll_and_a_player(music):
    page = music._repr_html_()
    assert "data:image/png;base64," in page
    assert "<audio controls" in page


def test_metrics_in_memory_are_those_of_the_file(music, tmp_path):
    found = diffbgm.evaluate(music)
    file = diffbgm.evaluate(music.save(tmp_path / "a.mid"))
    assert {name: found[name] for name in file} == file
    assert found["following"] == music.following
    assert set(diffbgm.evaluate(music.notes, metrics=["texture", "pche"])) == {
        "pche",
        "notes_per_beat",
        "pitch_range",
        "polyphony",
    }
    several = diffbgm.evaluate([music, tmp_path / "a.mid"], metrics=["notes_per_beat"])
    assert several["notes_per_beat"]["mean"] == pytest.approx(found["notes_per_beat"])
    assert several["notes_per_beat"]["n"] == 2
    pair = [replace(music, following=value) for value in (0.2, 0.6)]
    following = diffbgm.evaluate(pair, metrics=["following"])["following"]
    assert (following["mean"], following["n"], len(following["ci95"])) == (pytest.approx(0.4), 2, 2)
    with pytest.raises(InputError, match="did you mean 'pche'"):
        diffbgm.evaluate(music, metrics=["pchee"])


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"guidence": 2}, "did you mean 'guidance'"),
        ({"guidance": "much"}, "guidance=much cannot be used"),
        ({"keep": "a.mid"}, "go together"),
        ({"sampler": "euler"}, "euler"),
        ({"sampler": {"name": "ddim", "etta": 0}}, "did you mean 'sampler.eta'"),
        ({"form": "a-b"}, "form is 'a-b'"),
        ({"chords": "C"}, "chords need a network with theme_condition"),
    ],
)
def test_mistakes_in_settings_are_one_sentence(pipe, folder, settings, sentence):
    with pytest.raises(InputError, match=sentence):
        pipe(folder / "clip.mp4", **{**QUICK, **settings} if "sampler" not in settings else settings)


def test_no_video_at_all_is_one_sentence(pipe):
    with pytest.raises(InputError, match="there is no video to make music for"):
        pipe([], **QUICK)


def test_a_file_that_is_no_video_is_named(pipe, tmp_path):
    with pytest.raises(InputError, match="nothing here"):
        pipe(tmp_path / "nothing here.mp4", **QUICK)


def test_the_parts_are_those_of_the_configs():
    for name in SAMPLERS:
        assert instantiate(configure("sample", [f"sampler={name}"]).sampler) == default_sampler(name)
    for name in ("lite", "clip"):
        assert instantiate(configure("sample", [f"features={name}"]).features).id == build_extractor(name).id
    assert sample_settings(configure("sample")) == SampleSettings()
    assert sample_settings(configure("sample")) != SampleSettings(seed=1)
    assert set(configure("sample").compose) == {*vars(ComposeSettings())}


def test_a_pipeline_moves_and_goes_on(pipe, folder, music):
    assert pipe.to("cpu") is pipe
    np.testing.assert_array_equal(pipe(folder / "clip.mp4", **QUICK).roll, music.roll)
    with pytest.raises(InputError, match="device=tpu"):
        pipe.to("tpu")


def test_public_names():
    assert set(dir(diffbgm)) == {"Music", "Pipeline", "evaluate", "__version__"}
    with pytest.raises(AttributeError, match="no attribute 'Pipe'"):
        _ = diffbgm.Pipe
    assert Path(diffbgm.__file__).name == "__init__.py"
