"""One training in a folder at a time."""

import fcntl
import os
from pathlib import Path

import pytest

from diffbgm.errors import InputError
from diffbgm.training.lock import only_one


def test_one_training_in_a_folder(tmp_path: Path) -> None:
    with only_one(tmp_path / "run"):
        assert (tmp_path / "run" / ".lock").read_text() == f"{os.getpid()}\n"
        with pytest.raises(InputError, match=f"process {os.getpid()} is training in"), only_one(tmp_path / "run"):
            pass
    with only_one(tmp_path / "run"):
        pass
    assert list((tmp_path / "run").iterdir()) == []
    (tmp_path / "run" / ".lock").write_text("1\n")  # of a process that was killed: the system has let go of it
    with only_one(tmp_path / "run"):
        pass


@pytest.mark.parametrize("again", [False, True], ids=["removed", "replaced"])
def test_a_lock_file_that_its_holder_removes_while_another_opens_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, again: bool
) -> None:
    """The holder ends between the open and the flock of another process, which then locks a deleted file."""
    path, flock = tmp_path / ".lock", fcntl.flock
    path.write_text("1\n")

    def ended_before(handle: int, operation: int) -> None:
        monkeypatch.setattr(fcntl, "flock", flock)
        path.unlink()
        if again:
            path.write_text("2\n")
        flock(handle, operation)

    monkeypatch.setattr(fcntl, "flock", ended_before)
    with only_one(tmp_path):
        assert path.read_text() == f"{os.getpid()}\n"
        with pytest.raises(InputError, match="is training in"), only_one(tmp_path):
            pass
    assert not path.exists()
