"""Whole pieces of prepared songs, and the script that composes for their conditions."""

import json
from pathlib import Path

import numpy as np
import pytest
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.cli import run
from diffbgm.app.songs import sample_songs
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.pieces import pieces
from diffbgm.datasets.prepare import prepare
from diffbgm.datasets.segments import SegmentLoader
from diffbgm.errors import InputError
from diffbgm.music.midi import read_midi
from diffbgm.music.pianoroll import encode
from diffbgm.video.streams import STREAMS

SOURCE = GeneratedSongs(count=10, bars=20)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return Cache.open(prepare(SOURCE, tmp_path_factory.mktemp("cache"), workers=1))


def test_a_piece_is_its_segments_end_to_end(cache: Cache) -> None:
    found = pieces(cache, "val")
    assert [piece.song for piece in found] == sorted(cache.manifest["splits"]["val"])
    piece = found[0]
    assert len(piece.features.valid) == 80  # 20 bars
    assert piece.features.columns == STREAMS, "plans of groove and chords go by a song's motion, too"
    np.testing.assert_array_equal(piece.features.cut, piece.features.visual[:, STREAMS.index("cut")] > 0.5)
    loader = SegmentLoader(cache, "val", 13)  # the 13 places where 8 bars fit into 20
    batch = loader.batch(0, 0)
    for bar in (0, 5, 12):
        beats = slice(4 * bar, 4 * bar + 32)
        np.testing.assert_array_equal(piece.features.visual[beats], batch.condition.visual[bar].numpy())
        np.testing.assert_array_equal(piece.features.language[beats], batch.condition.language[bar].numpy())
        np.testing.assert_array_equal(
            encode(piece.notes.window(16 * bar, 16 * bar + 128), 128), batch.roll[bar].numpy()
        )


def test_length_and_number_can_be_asked_for(cache: Cache) -> None:
    train = pieces(cache, "train", bars=12)
    assert {len(piece.features.visual) for piece in train} == {48}
    assert max(piece.notes.end for piece in train) <= 192
    assert [piece.song for piece in pieces(cache, "train", count=2)] == [train[0].song, train[-1].song]
    assert {len(piece.features.visual) for piece in pieces(cache, "train", bars=21)} == {80}  # songs have 20
    assert len(pieces(cache, "train", bars=20, whole=True)) == len(train)
    with pytest.raises(InputError, match="has 21 bars of 4/4: give fewer bars"):
        pieces(cache, "train", bars=21, whole=True)
    with pytest.raises(InputError, match="bars=7 is less"):
        pieces(cache, "train", bars=7)


def test_songs_are_composed_once_and_lie_beside_the_real_ones(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    checkpoint = save_tiny_checkpoint(tmp_path / "tiny.safetensors")
    given = ["data=generated", f"data.cache={tmp_path}", f"checkpoint={checkpoint}", f"out={tmp_path}/out"]
    given += ["sampler.steps=2", "songs=2", "bars=8"]
    assert run(sample_songs, "sample_songs", given) == 0
    made = {path.relative_to(tmp_path / "out"): path.read_bytes() for path in tmp_path.glob("out/*/*.mid")}
    assert sorted(path.parts[0] for path in made) == ["generated", "generated", "real", "real"]
    name = next(path.name for path in made)
    song = SOURCE.__class__().read(Path(name).stem)
    np.testing.assert_array_equal(
        encode(read_midi(tmp_path / "out" / "real" / name).notes, 128), encode(song.notes.window(0, 128), 128)
    )
    (tmp_path / "out" / "generated" / name).unlink()  # a run that was stopped
    assert run(sample_songs, "sample_songs", given) == 0
    assert {path: (tmp_path / "out" / path).read_bytes() for path in made} == made
    assert json.loads((tmp_path / "out" / "settings.json").read_text())["bars"] == 8
    capsys.readouterr()
    assert run(sample_songs, "sample_songs", [*given, "seed=1"]) == 1
    assert "other settings" in capsys.readouterr().err
