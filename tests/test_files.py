"""Files are complete or absent."""

import os

import pytest

from diffbgm.errors import InputError
from diffbgm.files import atomic, not_foreign, sha256, staged, writable_folder


def test_a_file_appears_whole_and_in_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "new folder" / "a b.txt"
    for content in ("one", "two"):
        with atomic(path) as temporary:
            assert temporary.suffix == ".txt"
            temporary.write_text(content)
        assert path.read_text() == content
    assert [item.name for item in path.parent.iterdir()] == ["a b.txt"]


def test_a_failure_keeps_the_old_file_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic(path) as temporary:
        temporary.write_text("half")
        _ = 1 / 0
    assert path.read_text() == "old"
    assert [item.name for item in tmp_path.iterdir()] == ["a.txt"]


def test_files_are_as_readable_as_any_other_whatever_the_writer_does(tmp_path):
    (tmp_path / "plain").touch()
    with atomic(tmp_path / "private") as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert (tmp_path / "private").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").touch()
    for attempt in (lambda: writable_folder(tmp_path / "file"), lambda: atomic(tmp_path / "file" / "a").__enter__()):
        with pytest.raises(InputError, match="cannot write .*file.*; choose a folder that can be written"):
            attempt()


def test_staged_files_come_together_or_not_at_all(tmp_path):
    with staged(tmp_path, "a.b") as staging:
        (staging / "mid").write_text("1")
        (staging / "states.npz").write_text("2")
        assert not (tmp_path / "a.b.mid").exists()
    assert {item.name for item in tmp_path.iterdir()} == {"a.b.mid", "a.b.states.npz"}
    with pytest.raises(ZeroDivisionError), staged(tmp_path, "c") as staging:
        (staging / "mid").write_text("1")
        _ = 1 / 0
    assert {item.name for item in tmp_path.iterdir()} == {"a.b.mid", "a.b.states.npz"}


def test_a_set_replaces_its_own_old_files_and_no_others(tmp_path):
    for name in ("a.mid", "a.flute.wav", "a.piano.wav"):
        (tmp_path / name).write_text("old")
    with pytest.raises(InputError, match=r"a\.flute\.wav is not ours"), staged(tmp_path, "a", ["mid"]) as staging:
        (staging / "mid").write_text("new")
        (staging / "flute.wav").write_text("new")
    assert {path.read_text() for path in tmp_path.iterdir()} == {"old"}
    with staged(tmp_path, "a", ["mid", "flute.wav"]) as staging:
        (staging / "mid").write_text("new")
        assert staging.endings() == ["mid"]
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.mid": "new", "a.piano.wav": "old"}


def test_sha256_is_the_standard_one(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    assert sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@pytest.mark.parametrize("content", ["mine", "", b"\xff\xfe", None])
def test_a_file_that_we_did_not_write_is_told(tmp_path, content):
    path = tmp_path / "a.jsonl"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        path.write_text(content)
    if content is None:
        not_foreign(path, lambda text: False)
        path.symlink_to("nowhere")
    with pytest.raises(InputError, match="a.jsonl is not ours, and would be replaced"):
        not_foreign(path, lambda text: text.startswith("{"))


def test_a_file_that_we_wrote_may_be_replaced(tmp_path):
    (tmp_path / "a").write_text("{}" * 10**5)
    not_foreign(tmp_path / "a", lambda text: text.startswith("{}"))
