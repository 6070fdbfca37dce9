"""The page of results: its structure, text and colours, and that it needs only the files beside it."""

import json
import re
import shutil
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest
from make_video import flat, ramp, write_video

from diffbgm.app import page
from diffbgm.app.page import write_page, write_single_page, write_single_pages
from diffbgm.errors import InputError
from diffbgm.music.audio import write_wav
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

VOID = frozenset("area base br col embed hr img input link meta source track wbr".split())


class Tree(HTMLParser):
    """The elements of a page: (tag, attributes, text inside), with a check that they are closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.feed(text)
        assert not self.open, f"never closed: {[tag for tag, _, _ in self.open]}"

    def handle_starttag(self, tag, attrs):
        element = (tag, dict(attrs), [])
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        for _, _, text in self.open:
            text.append(data)

    def all(self, tag: str, **attributes: str) -> list[tuple[dict[str, str | None], str]]:
        """Attributes and text of every element of that tag and those attributes."""
        wanted = {name.rstrip("_"): value for name, value in attributes.items()}
        found = [(a, "".join(text)) for t, a, text in self.elements if t == tag]
        return [(a, text) for a, text in found if all(a.get(k) == v for k, v in wanted.items())]


def report(name: str, **changes: object) -> dict[str, object]:
    usual = {
        "name": name,
        "video": f"videos/{name.partition('.take')[0]}.mp4",
        "duration": 20.0,
        "tempo": 120.0,
        "key": "A minor",
        "seed": 0,
        "take": 0,
        "following": 0.8125,
        "notes": 3,
        "shots": [[0.0, 12.5], [12.5, 20.0]],
        "captions": ["A slow, dark scene in cool colours.", "A fast, bright scene in warm colours."],
        "settings": {"form": "AB"},
        "curves": {"motion": [0.0, 0.5, 1.0], "light": [0.25]},
        "seconds": {"total": 2.0},
    }
    return {**usual, **changes}


def results(out: Path, name: str) -> None:
    """The files of a take: three notes, one second of a tone, a short video."""
    columns = ([0, 0, 8], [72, 48, 76], [4, 8, 8], [80, 60, 100], [0, 0, 0])
    write_midi(Notes(*(np.array(column) for column in columns)), out / f"{name}.mid", 120.0)
    write_wav(out / f"{name}.wav", np.full((48000, 2), 0.5, np.float32), 48000)
    write_video(out / f"{name}.mp4", [flat(0), *ramp(5)], fps=6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("clip", "clip.take2", "a <b> & 'c'"):
        results(tmp_path, name)
    return tmp_path


def made(folder: Path, *reports: dict[str, object], failed: list[dict[str, str]] | None = None) -> tuple[Tree, str]:
    write_page(reports, failed or [], folder / "index.html")
    text = (folder / "index.html").read_text(encoding="utf-8")
    return Tree(text), text


def test_each_video_has_one_player_with_a_poster_and_a_roll_in_words(folder: Path):
    tree, _ = made(folder, report("clip"), report("clip.take2", take=1, key="C major"), report("a <b> & 'c'"))
    videos = tree.all("video")
    assert len(videos) == 2, "takes share a player"
    assert not tree.all("audio"), "no second player"
    for video, _ in videos:
        assert re.match(r"data:image/jpeg;base64,/9j/", video["poster"] or "")
        assert (folder / unquote(video["src"] or "").removeprefix("./")).is_file()
        assert video["aria-label"]
    slider, _ = tree.all("div", class_="roll")[0]
    assert (slider["role"], slider["tabindex"], slider["aria-valuemax"]) == ("slider", "0", "20.0")
    described = [text for attributes, text in tree.all("p") if attributes.get("id") == slider["aria-describedby"]]
    assert described == ["Piano roll: 3 notes, 10 bars, 120 BPM, A minor, 1 cut, sections A B."]
    assert [image["alt"] for image, _ in tree.all("img")] == [text for _, text in tree.all("p", class_="about")]


def test_takes_lie_side_by_side_with_what_tells_them_apart(folder: Path):
    tree, _ = made(folder, report("clip"), report("clip.take2", take=1, key="C major", following=None))
    rows = [" ".join(text.split()) for _, text in tree.all("tr")]
    assert rows[1:] == ["1 best 0 A minor 120 0.81 3", "2 0, no. 2 C major 120 – 3"]
    assert [radio["value"] for radio, _ in tree.all("input", type="radio")] == ["0", "1"]
    assert tree.all("button", class_="ab")[0][1] == "A/B: take 2"
    single, _ = made(folder, report("clip"))
    assert not single.all("button", class_="ab")
    assert "best" not in single.all("tr")[1][1]


def test_the_script_gets_notes_chords_sections_cuts_and_curves(folder: Path):
    tree, _ = made(folder, report("clip"))
    take = json.loads(tree.all("script", id="data")[0][1])[0][0]
    assert take["notes"] == [0, 8, 48, 60, 0, 0, 4, 72, 80, 1, 8, 8, 76, 100, 1]  # onset, steps, pitch, velocity, lead
    assert take["cuts"] == [12.5]
    assert take["sections"] == [[0, "A"], [32, "B"]]
    assert (take["bars"], take["tempo"], take["duration"]) == (10, 120.0, 20.0)
    assert take["curves"]["motion"] == [0, 50, 100]
    loud = take["curves"]["loudness"]
    assert (loud[0], loud[1], loud[2]) == (88, 88, 0), "20 log10(0.5) = -6.02 dB on a scale of 50, then silence"


def test_a_folder_without_some_files_still_has_a_page(folder: Path):
    for ending in ("mid", "wav", "mp4"):
        (folder / f"clip.{ending}").write_bytes(b"damaged")
    tree, _ = made(folder, report("clip"), report("gone"))
    assert [("poster" in video) for video, _ in tree.all("video")] == [False, False]


def test_names_and_errors_are_text_whatever_they_hold(folder: Path):
    name = "a <b> & 'c'"
    bad = [{"video": "</script><b>.mp4", "error": "<i>not</i> a video"}]
    tree, text = made(folder, report(name, captions=["</script><script>alert(1)</script>"]), failed=bad)
    assert not tree.all("b")
    assert len(tree.all("script")) == 2
    assert "alert(1)" in "".join(caption for _, caption in tree.all("li"))
    assert "</script><b>.mp4: <i>not</i> a video" in " ".join(tree.all("p", class_="failed")[0][1].split())
    assert "./a%20%3Cb%3E%20%26%20%27c%27.mp4" in text


@pytest.mark.parametrize("single", [False, True])
def test_nothing_is_fetched_from_anywhere(folder: Path, single: bool):
    write = write_single_page if single else (lambda reports, path: write_page(reports, [], path))
    write([report("clip")], folder / "page.html")
    text = (folder / "page.html").read_text()
    assert not re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}", re.sub(r"base64,[^\"<]*", "", text))
    for _tag, attributes, _ in Tree(text).elements:
        for name in ("src", "href", "poster"):
            assert re.match(r"data:|#|\./", attributes.get(name) or "#"), (name, attributes[name])


def test_one_file_holds_everything(folder: Path):
    write_single_page([report("clip"), report("clip.take2")], folder / "clip.html")
    tree = Tree((folder / "clip.html").read_text())
    inside = {a["data-name"]: a["data-kind"] for a, _ in tree.all("script", class_="embedded")}
    video, midi = "video/mp4", "audio/midi"
    assert inside == {"clip.mp4": video, "clip.mid": midi, "clip.take2.mp4": video, "clip.take2.mid": midi}
    assert "src" not in tree.all("video")[0][0]
    assert tree.all("script", class_="embedded")[0][1].startswith("AAAA"), "the video in base64"
    assert not tree.all("noscript")


def test_what_is_too_large_for_one_file_is_said_and_the_others_are_written(folder: Path, monkeypatch):
    monkeypatch.setattr(page, "LARGEST", (folder / "clip.mp4").stat().st_size + (folder / "clip.mid").stat().st_size)
    with pytest.raises(InputError, match="more than browsers open"):
        write_single_page([report("clip"), report("clip.take2")], folder / "both.html")
    assert not (folder / "both.html").exists()
    name = "a <b> & 'c'"
    problems = write_single_pages([report("clip"), report("clip.take2"), report(name)], folder)
    assert len(problems) == 1
    assert (folder / f"{name}.html").is_file()


def test_a_user_s_file_is_not_replaced_by_a_page(folder: Path, tmp_path: Path):
    (folder / "clip.html").write_text("the user's own")
    assert "clip.html is not ours" in write_single_pages([report("clip")], folder)[0]
    (tmp_path / "index-2.html").write_text("the user's own")
    with pytest.raises(InputError, match=r"index-2.html is not ours, and would be replaced"):
        made(tmp_path, *(report(f"clip{k:03}") for k in range(51)))
    assert (folder / "clip.html").read_text() == (tmp_path / "index-2.html").read_text() == "the user's own"
    assert not (tmp_path / "index.html").exists()


def test_large_folders_have_pages_of_fifty_and_load_nothing_beforehand(tmp_path: Path):
    reports = [report(f"clip{k:03}") for k in range(120)]
    (tmp_path / "index-9.html").write_text('<meta name="generator" content="diffbgm">of a larger run')
    (tmp_path / "index-8.html").write_text("the user's own")
    tree, text = made(tmp_path, *reports, failed=[{"video": "x.mp4", "error": "broken"}])
    assert [len(Tree((tmp_path / f"index{k}.html").read_text()).all("article")) for k in ("", "-2", "-3")] == [
        50,
        50,
        20,
    ]
    assert {video["preload"] for video, _ in tree.all("video")} == {"none"}
    assert [a["href"] for a, _ in tree.all("a") if "index" in (a["href"] or "")] == [
        "./index.html",
        "./index-2.html",
        "./index-3.html",
    ]
    assert "broken" not in text
    assert "broken" in (tmp_path / "index-3.html").read_text()
    assert not (tmp_path / "index-9.html").exists()
    assert (tmp_path / "index-8.html").read_text() == "the user's own"
    assert len(text) < 50 * 6000 + 40_000


def test_elements_have_names_and_ids_are_unique(folder: Path):
    tree, _ = made(folder, report("clip"), report("clip.take2"), report("a <b> & 'c'"), failed=[])
    ids = [a["id"] for _, a, _ in tree.elements if "id" in a]
    assert len(ids) == len(set(ids))
    for button, text in tree.all("button"):
        assert text.strip()
        assert button.get("aria-label") or text.strip() not in "+−"
    for _, attributes, _ in tree.elements:
        for reference in ("aria-labelledby", "aria-describedby"):
            assert attributes.get(reference, ids[0]) in ids
    assert tree.all("html")[0][0]["lang"] == "en"
    assert [tag for tag, _, _ in tree.elements if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]
    assert all(a.get("aria-label") for a, _ in tree.all("input", type="number"))


def luminance(colour: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_colours_reach_the_contrast_of_wcag_aa(theme: int):
    style = files("diffbgm.app").joinpath("templates", "page.css").read_text()
    blocks = re.findall(r":root \{(.*?)\}", style, re.S)
    colour = dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6})[;0-9a-f]", blocks[theme]))
    for ground in ("ground", "raised"):
        for text in ("ink", "muted", "link", "motion"):
            assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
    for shape in ("lead", "accompaniment", "cut", "head", "light", "loudness", "line"):
        assert contrast(colour[shape], colour["ground"]) >= 3.0, shape
    assert contrast("#ffffff", "#000000") == pytest.approx(21)


@pytest.mark.parametrize(
    ("more", "heard"),
    [
        ({}, []),
        ({"mix": "duck"}, ["wav"]),
        ({"mix": "duck", "files": ["mid", "original.m4a", "wav"]}, ["wav", "original.m4a"]),
        ({"stems": ["flute-lead"]}, ["flute-lead.wav"]),
        ({"mix": "keep", "stems": ["flute-lead"]}, ["wav", "flute-lead.wav"]),
    ],
)
def test_stems_and_the_music_alone_can_be_heard_in_the_player(tmp_path: Path, monkeypatch, more, heard):
    results(tmp_path, "clip")
    for stem in more.get("stems", []):
        shutil.copyfile(tmp_path / "clip.wav", tmp_path / f"clip.{stem}.wav")
    if "files" in more:
        shutil.copyfile(tmp_path / "clip.wav", tmp_path / "clip.original.m4a")
    reports = [report("clip") | more]
    write_page(reports, [], tmp_path / "index.html")
    write_single_page(reports, tmp_path / "clip.html")
    for name in ("index.html", "clip.html"):
        text = (tmp_path / name).read_text()
        assert re.findall(r'<option value="([^"]+)"', text) == (["mp4", *heard] if heard else [])
    embedded = set(re.findall(r'data-name="([^"]+)"', (tmp_path / "clip.html").read_text()))
    assert embedded == {"clip.mp4", "clip.mid", *(f"clip.{ending}" for ending in heard)}
    size = sum((tmp_path / f"clip.{ending}").stat().st_size for ending in ("mp4", "mid"))
    monkeypatch.setattr("diffbgm.app.page.LARGEST", size)  # no room for more than the film
    write_single_page(reports, tmp_path / "clip.html")
    assert "<option" not in (tmp_path / "clip.html").read_text()
