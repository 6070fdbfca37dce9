"""The settings of a run over a folder are checked before any work is done."""

from pathlib import Path
from typing import Any

import pytest
from folder_run import folder

from diffbgm.app import sample
from diffbgm.app.cli import run


@pytest.mark.parametrize(
    "setting",
    "shards=0 shards=2 shard=1 batch=0 batch=many overwrite=maybe page=none seed=-1 seed=1180591620717411303424 "
    "compose.rows=1000000000 compose.guidance=abc variations=0 device=[] videos=[] precision=fp8 lufs=nan".split(),
)
def test_settings_of_a_run_are_checked_before_any_work(tmp_path: Path, capsys: Any, setting: str) -> None:
    videos = folder(tmp_path / "v", "a.mp4")
    given = {"videos": str(videos), "out": str(tmp_path / "out")}
    key, _, value = setting.partition("=")
    given[key] = value
    assert run(sample.sample, "sample", [f"{name}={text}" for name, text in given.items()]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert key.partition(".")[2] in error or key in error
    assert error.count("\n") == 1
    assert "Traceback" not in error
