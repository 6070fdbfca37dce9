"""The app: limits on uploads, separate folders for takes, kept bars, and no files left behind."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from make_video import flat, ramp, write_sound, write_video
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app.example import write_example
from diffbgm.app.gradio_app import AppSettings, build, example_videos, launch, main, read_settings
from diffbgm.app.studio import LIFETIME, Bounds, LeftError, Studio, downloads, framed, read_reports
from diffbgm.errors import InputError
from diffbgm.generation.pipeline import Pipeline
from diffbgm.music.midi import read_midi
from diffbgm.video.decode import probe


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    made = Pipeline.from_pretrained(save_tiny_checkpoint(tmp_path_factory.mktemp("tiny") / "tiny.safetensors"), "cpu")
    made.composer = made.composer.asked(made.composer.settings, replace(made.composer.sampler, steps=3))
    return made


@pytest.fixture
def studio(pipeline):
    studio = Studio(pipeline, Bounds(minutes=1.0, megabytes=1.0, side=200, takes=2))
    yield studio
    studio.close()
    assert not studio.place.exists()


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return write_video(tmp_path / "a clip.mp4", [flat(20)] * 12 + ramp(36), fps=12)


def silent(share: float, what: str) -> None:
    assert 0 <= share <= 1
    assert what


@pytest.mark.slow
def test_takes_are_made_shown_and_redone(studio: Studio, video: Path):
    shares: list[float] = []
    wishes = {"variations": 2, "tempo": 120, "key": "", "form": None}
    folder = studio.compose(video, wishes, lambda share, what: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert {Path(name).suffix for name in downloads(folder)} == {".mid", ".mp4", ".png", ".wav"}
    assert len(downloads(folder)) == 8
    frame = framed(folder, "/files=")
    assert "&lt;h2 id=&quot;title-1&quot;&gt;a clip&lt;/h2&gt;" in frame
    assert f"src=&quot;/files={folder}/music.mp4&quot;" in frame
    assert "diffbgm sample &#39;videos=a clip.mp4&#39; out=my_music-again variations=2 tempo=120" in frame.replace(
        "&amp;#39;", "&#39;"
    )
    again = studio.redo(folder, 2, 1, 1, silent)
    assert again != folder
    report = read_reports(again)[0]
    assert (report["seed"], report["settings"]["keep_bars"]) == (1, [1, 1])
    old, new = (read_midi(where / name).notes for where, name in ((folder, "music.take2.mid"), (again, "music.mid")))
    kept = [set(zip(n.onset, n.pitch, strict=True)) for n in (old.window(0, 16), new.window(0, 16))]
    assert kept[0] == kept[1]


def test_a_video_is_looked_at(studio: Studio, video: Path):
    shares: list[float] = []
    text = studio.look(video, lambda share, what: shares.append(share))
    assert (shares[0], shares[-1]) == (0, 1)
    assert len(shares) >= 48, "one for each picture"
    assert "in 4.0 s</p>" in text
    assert text.count("<polyline") == 2
    assert "scene in" in text


@pytest.mark.parametrize(
    ("wishes", "sentence"),
    [
        ({"tempo": 9000}, "tempo=9000 cannot be used"),
        ({"variations": 3}, "3 takes are more than 2"),
        ({"key": "H"}, "unknown key 'H'"),
        ({"colour": 1}, "unknown setting 'colour'"),
    ],
)
def test_wishes_out_of_bounds_are_sentences_and_leave_nothing(studio: Studio, video: Path, wishes, sentence: str):
    with pytest.raises(InputError, match=sentence):
        studio.compose(video, wishes, silent)
    assert not list(studio.results.iterdir())


def test_uploads_out_of_bounds_are_refused_before_any_work(studio: Studio, tmp_path: Path):
    (tmp_path / "text.mp4").write_text("no video")
    write_sound(tmp_path / "sound.mp4")
    write_video(tmp_path / "large.mp4", [flat(0, (400, 100))] * 2)
    write_video(tmp_path / "long.mp4", [flat(0)] * 62, fps=1)
    write_video(tmp_path / "live.mkv", [flat(0)] * 62, fps=1, live=True)
    assert probe(tmp_path / "live.mkv").duration == 0, "its headers state nothing"
    (tmp_path / "heavy.mp4").write_bytes(b"0" * (2 << 20))
    for name, sentence in {
        "text.mp4": "^text.mp4 is not a video that can be read",
        "sound.mp4": "sound but no picture",
        "large.mp4": "400 x 100 pixels, and 200 a side are the limit",
        "long.mp4": "longer than 1 minutes, the limit here; cut it",
        "live.mkv": "longer than 1 minutes, the limit here; cut it",
        "heavy.mp4": "2 MB, and 1 are the limit",
    }.items():
        with pytest.raises(InputError, match=sentence):
            studio.admit(tmp_path / name)
    with pytest.raises(InputError, match="drop one first"):
        studio.admit(None)


def test_results_are_a_visitors_own_and_go_after_an_hour(studio: Studio, tmp_path: Path):
    old, new, features = studio.results / "old", studio.results / "new", studio.place / "features"
    for folder in (old, new, features):
        folder.mkdir()
    examples = [Path(name) for name in example_videos(studio.place)]
    for path in (old, features, *(path.parent for path in examples if studio.place in path.parents)):
        os.utime(path, (0, new.stat().st_mtime - LIFETIME - 1))
    studio.sweep()
    assert [folder.name for folder in studio.results.iterdir()] == ["new"]
    assert features.is_dir()
    assert examples[0].is_file()
    assert studio.own(new) == new
    for other in (tmp_path, studio.results / "gone", new / "..", studio.place, features):
        with pytest.raises(InputError, match="no longer there"):
            studio.own(other)


def test_work_stops_where_its_visitor_leaves_and_nothing_stays(studio: Studio, video: Path):
    """The browser goes away while its piece is composed; somebody else's work goes on."""
    seen: list[str] = []

    def tell(share: float, what: str) -> None:
        seen.append(what)
        if what == "composing":
            studio.leave("anna")

    with studio.work_for("bert", silent) as other, studio.work_for("anna", tell) as mine:
        with pytest.raises(LeftError, match="the page was closed"):
            studio.compose(video, {}, mine)
        other(0.5, "composing")
    assert seen.count("composing") == 1, "no step after the one in which the visitor left"
    assert not list(studio.results.iterdir())
    with studio.work_for("anna", silent) as again:
        again(0.0, "looking")  # they are back


def test_results_that_are_being_written_go_where_the_visitor_leaves(studio: Studio, video: Path):
    def tell(share: float, what: str) -> None:
        if what == "rendering":
            studio.leave("anna")

    with studio.work_for("anna", tell) as mine, pytest.raises(LeftError):
        studio.compose(video, {}, mine)
    assert not list(studio.results.iterdir())


@pytest.mark.slow
def test_two_visitors_at_once_have_results_of_their_own(studio: Studio, video: Path, tmp_path: Path):
    other = write_video(tmp_path / "other.mp4", ramp(24), fps=12)
    both = Barrier(2, timeout=60)

    def visit(visitor: str, clip: Path, seed: int) -> Path:
        met = False

        def tell(share: float, what: str) -> None:
            nonlocal met
            if not met and what == "composing":
                met = True
                both.wait()  # each has begun before the other ends

        with studio.work_for(visitor, tell) as heard:
            return studio.compose(clip, {"seed": seed, "tempo": 120}, heard)

    with ThreadPoolExecutor(2) as pool:
        folders = list(pool.map(visit, ("anna", "bert"), (video, other), (1, 2)))
    assert len(set(folders)) == len(list(studio.results.iterdir())) == 2
    for folder, clip, seed in zip(folders, (video, other), (1, 2), strict=True):
        [report] = read_reports(folder)
        assert (report["video"], report["seed"]) == (str(clip), seed)
        assert report["duration"] == pytest.approx(probe(clip).duration, abs=0.1)
        assert len(downloads(folder)) == 4


def test_the_example_is_a_video_of_three_shots(tmp_path: Path):
    info = probe(write_example(tmp_path / "a.mp4"))
    assert (info.width, info.height, round(info.duration)) == (320, 180, 9)


def test_settings_of_the_command(capsys):
    assert read_settings(["port=7861", "minutes=2", "host=0.0.0.0"]) == AppSettings(
        port=7861, minutes=2, host="0.0.0.0"
    )
    assert read_settings(["port=null", "share=true"]).port is None
    for word in ("port=abc", "minutes=0", "porte=1", "port"):
        assert main([word]) == 1
        assert capsys.readouterr().err.startswith("error: ")
    assert main(["--help"]) == 0


@pytest.mark.slow
def test_the_served_app_composes(pipeline, video: Path, tmp_path: Path):
    """Through the client, as a browser does it: an upload, takes, a message for a bad one."""
    client = pytest.importorskip("gradio_client")
    studio = Studio(pipeline, Bounds(takes=2))
    page = build(studio)
    try:
        address = launch(page, AppSettings(port=None), wait=False)
        assert address.startswith("http://127.0.0.1:")
        visitor = client.Client(address, verbose=False)
        names = [
            parameter["parameter_name"]
            for parameter in visitor.view_api(return_format="dict")["named_endpoints"]["/compose"]["parameters"]
        ]
        assert len(names) >= 9
        frame, files, place = visitor.predict(client.handle_file(str(video)), api_name="/compose")
        assert "srcdoc=" in frame
        assert {Path(name).suffix for name in files} == {".mid", ".mp4", ".png", ".wav"}
        assert json.loads((Path(place) / "music.json").read_text())["notes"] > 0
        assert np.array_equal(
            read_midi(Path(place) / "music.mid").notes.pitch,
            read_midi(next(f for f in files if f.endswith(".mid"))).notes.pitch,
        )
        (tmp_path / "text.mp4").write_text("no video")
        with pytest.raises(Exception, match="not a video that can be read"):
            visitor.predict(client.handle_file(str(tmp_path / "text.mp4")), api_name="/look")
    finally:
        page.close()
        studio.close()
