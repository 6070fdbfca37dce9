"""Requested chords, keys and forms with a whole pipeline whose network takes such hints."""

import json

import numpy as np
import pytest
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.errors import InputError
from diffbgm.generation.pipeline import Pipeline
from diffbgm.video.features import VideoFeatures

QUICK = {"steps": 2, "progress": False, "tempo": 120}


@pytest.fixture(scope="module")
def pipe(tmp_path_factory):
    path = save_tiny_checkpoint(tmp_path_factory.mktemp("wishes") / "tiny.safetensors", hints=True)
    return Pipeline.from_pretrained(path, device="cpu")


@pytest.fixture(scope="module")
def video(pipe):
    """Features of eighteen seconds (nine bars at 120 BPM) in two shots."""
    rng, shots = np.random.default_rng(0), np.array([[0.0, 8.0], [8.0, 18.0]])
    visual = rng.random((144, len(pipe.extractor.columns))).astype(np.float32)
    language = rng.random((2, 384)).astype(np.float32)
    return VideoFeatures(visual, 8.0, pipe.extractor.columns, language, shots, ("a", "b"), 18.0, pipe.extractor.id)


def test_chords_are_asked_and_told_of(pipe, video, tmp_path):
    music = pipe(video, chords="C G Am F", **QUICK)
    report = json.loads(music.save(tmp_path / "a.json").read_text())
    assert report["chords_asked"] == ["C", "G", "Am", "F"] * 2 + ["C"]
    assert 0 <= report["chords_heard"] <= 1
    assert not np.array_equal(music.roll, pipe(video, **QUICK).roll)
    with pytest.raises(InputError, match="10 chords are more than the 9 bars"):
        pipe(video, chords="C " * 10, **QUICK)


def test_a_key_is_composed_in_and_not_transposed_into(pipe, video):
    music = pipe(video, key="F# minor", **QUICK)
    assert music.transposed == 0
    assert len(music.harmony.chords) == 18
    assert [str(chord) for chord in music.harmony.chords[-2:]] == ["F#m", "F#m"]
    assert pipe(video, **QUICK).harmony is None


def test_reprise_and_auto_are_heard(pipe, video):
    rolls = [pipe(video, form="AA", reprise=reprise, **QUICK).roll for reprise in (0.0, 1.0)]
    assert not np.array_equal(*rolls)
    assert pipe(video, form="auto", **QUICK).settings.form == "auto"
    with pytest.raises(InputError, match="form=AABA has 4 letters, but the piece has 2 sections"):
        pipe(video, form="AABA", **QUICK)
