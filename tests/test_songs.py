"""Music for held-out songs from checkpoints in all forms."""

from pathlib import Path

import pytest
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.card import _stem
from diffbgm.app.cli import run
from diffbgm.app.songs import sample_songs
from diffbgm.generation import loading
from diffbgm.generation.loading import WEIGHTS, open_checkpoint


def test_a_checkpoint_is_found_by_name_and_in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside a checkout, too: no path of this project's own is taken to be below the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pipe").mkdir()
    file = save_tiny_checkpoint(tmp_path / "pipe" / WEIGHTS)
    monkeypatch.setattr(loading, "shipped_weights", lambda: {"tiny": file})
    given = ["data=generated", "data.count=2", "data.cache=c", "songs=1", "bars=8", "sampler.steps=1"]
    assert run(sample_songs, "sample_songs", [*given, "checkpoint=tiny", "out=out"]) == 0
    assert len(list((tmp_path / "out" / "generated").glob("*.mid"))) == 1
    assert open_checkpoint("pipe").sha256 == open_checkpoint(file).sha256


def test_a_card_lies_beside_a_file_and_otherwise_where_it_is_told(tmp_path: Path) -> None:
    file, out = tmp_path / "v1.5.safetensors", tmp_path / "out"
    file.touch()
    assert _stem(str(file), out) == tmp_path / "v1.5"
    assert _stem("diffbgm-lite", out) == out / "diffbgm-lite"
    assert _stem("me/music", out) == out / "music"
