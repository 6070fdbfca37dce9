"""The optional annotations of a data set, and the report on it."""

import json
from pathlib import Path

import numpy as np
import pytest
from bgm909_tree import write_song, write_split

from diffbgm.app.cli import run
from diffbgm.datasets.annotations import read_annotations
from diffbgm.errors import InputError
from scripts.dataset_report import dataset_report
from scripts.score_features import main as score_features


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "released"
    for name, shots in (("001", 4), ("002", 6)):
        write_song(root, name, beats=64, shots=shots)
    write_split(root / "pop909_new.pickle", ["001"], ["002"])
    (root / "bgm909" / "captions").mkdir()
    (root / "bgm909" / "captions" / "001.txt").write_text("a street at night\n\ntwo people walk\n")
    (root / "bgm909" / "captions" / "002.json").write_text('["the sea"]')
    (root / "bgm909" / "metadata.csv").write_text("id,Style,singer\n1,romantic,A\n2,action,B\n7,epic,C\n")
    return root


def test_annotations_are_read_where_they_are_there(tree: Path) -> None:
    found = read_annotations(tree)
    assert found["001"].captions == ("a street at night", "two people walk")
    assert found["002"].captions == ("the sea",)
    assert found["001"].shots[:2] == ((0, 24), (25, 49))
    assert [found[song].style for song in ("001", "002", "007")] == ["romantic", "action", "epic"]
    assert dict(found["002"].facts) == {"singer": "B"}
    assert read_annotations(tree / "nothing") == {}


def test_annotations_that_are_none_are_one_sentence(tree: Path) -> None:
    (tree / "bgm909" / "metadata.csv").write_text("style\nromantic\n")
    with pytest.raises(InputError, match="add the song id"):
        read_annotations(tree)
    (tree / "bgm909" / "metadata.csv").unlink()
    (tree / "bgm909" / "captions" / "002.json").write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        read_annotations(tree)


@pytest.mark.parametrize("line", ["shot two", "25", "25 49 74", "49 25", "-1 -1", "25 inf", "nan 49"])
def test_a_shot_without_its_two_frames_is_one_sentence(tree: Path, line: str) -> None:
    scenes = tree / "bgm909" / "detection" / "001_scenes.txt"
    scenes.write_text(f"0 24\n\n{line}\n")
    with pytest.raises(InputError, match="line 3 of .*001_scenes.txt is not the first and last frame of a shot"):
        read_annotations(tree)
    scenes.write_text("0 24\n\n25.0 49.0\n")
    assert read_annotations(tree)["001"].shots == ((0, 24), (25, 49))


def test_the_report_counts_what_is_known(tree: Path, tmp_path: Path) -> None:
    given = ["data=bgm909", f"data.root={tree}", f"out={tmp_path}/out"]
    assert run(dataset_report, "dataset_report", given) == 0
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["songs"] == 2
    assert report["style"]["counts"] == {"romantic": 1, "action": 1}
    assert report["shots"]["values"] == [4, 6]
    assert report["tempo"] == {"n": 0}
    assert "| tempo | not known |" in (tmp_path / "out" / "report.md").read_text()
    assert (tmp_path / "out" / "dataset.png").read_bytes()[:4] == b"\x89PNG"


def test_stored_features_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    for folder in ("truth", "predicted"):
        (tmp_path / folder).mkdir()
        for song in range(4):
            np.save(tmp_path / folder / f"{song:03d}.npy", rng.standard_normal((30, 6)))
    assert score_features([str(tmp_path / "truth"), str(tmp_path / "truth"), "--draws", "20"]) == 0
    assert "P@1  100.00" in capsys.readouterr().out
    assert score_features([str(tmp_path / "truth"), str(tmp_path / "none")]) == 1
    assert "holds no NAME.npy" in capsys.readouterr().err
