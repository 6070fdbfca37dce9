"""Which files count as videos and how results are named."""

from pathlib import Path

import pytest

from diffbgm.errors import InputError
from diffbgm.video.folder import find_videos, output_names


def test_videos_are_found_by_ending_in_name_order(tmp_path):
    for name in ("b.MP4", "a.webm", "-c d.mov", "é.mkv", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "folder.mp4").mkdir()
    assert [video.name for video in find_videos(tmp_path)] == ["-c d.mov", "a.webm", "b.MP4", "é.mkv"]
    assert find_videos(tmp_path / "b.MP4") == [tmp_path / "b.MP4"]


def test_an_empty_folder_and_a_missing_one_are_named(tmp_path):
    with pytest.raises(InputError, match="no videos in .*put files"):
        find_videos(tmp_path)
    with pytest.raises(InputError, match="there is no folder .*nowhere"):
        find_videos(tmp_path / "nowhere")


def test_videos_that_share_a_stem_keep_their_ending():
    videos = [Path("a.mp4"), Path("A.mov"), Path("b.mp4")]
    assert output_names(videos) == ["a.mp4", "A.mov", "b"]
    assert output_names([Path("summary.mp4")]) == ["summary.mp4"], "summary.json is the run's own"


@pytest.mark.parametrize(
    ("names", "variations"), [(["a.mp4", "a.take2.mp4"], 2), (["a.mp4", "a.mov", "a.mp4.webm"], 1)]
)
def test_results_that_would_overwrite_each_other_are_refused(names, variations):
    with pytest.raises(InputError, match="would overwrite each other; rename one"):
        output_names([Path(name) for name in names], variations)


def test_a_list_that_is_not_text_is_refused(tmp_path):
    (tmp_path / "list.txt").write_bytes(b"a.mp4\nb\0c.mp4\n")
    with pytest.raises(InputError, match="not a text file"):
        find_videos(tmp_path / "list.txt")


def test_a_list_is_relative_to_its_place_and_names_no_folders(tmp_path):
    (tmp_path / "lists").mkdir()
    wanted = tmp_path / "lists" / "wanted.txt"
    wanted.write_text("../a.mp4\n# a remark\n../b/c.mp4\n")
    assert find_videos(wanted) == [tmp_path / "a.mp4", tmp_path / "b" / "c.mp4"]
    for folder in ("../", "b/..", "/"):
        wanted.write_text(f"a.mp4\n{folder}\n")
        with pytest.raises(InputError, match="is a folder; write the path of a video"):
            find_videos(wanted)
