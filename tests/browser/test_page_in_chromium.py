"""The page as a visitor has it, in headless Chromium: `make browser`; `make test` leaves it out.

Needs playwright and axe-playwright-python, and a Chrome or Chromium that plays H.264 (CHROME=FILE, or on the path).
"""

import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from make_video import flat, ramp, write_video  # tests/ is not a package
from test_page import report, results
from tiny_checkpoint import save_tiny_checkpoint

from diffbgm.app import cli, sample
from diffbgm.app.page import write_page, write_single_page

pytestmark = pytest.mark.browser
CHROME = os.environ.get("CHROME") or next(filter(None, map(shutil.which, ("google-chrome", "chromium"))), None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("out")
    for name in ("clip", "clip.take2"):
        results(out, name)
        write_video(out / f"{name}.mp4", [flat(20)] * 20 + ramp(220), fps=12)
    takes = [report("clip"), report("clip.take2", take=1, key="C major")]
    write_page(takes, [{"video": "text.mp4", "error": "text.mp4 is not a video"}], out / "index.html")
    write_single_page(takes, out / "clip.html")
    return out


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROME is None:
        assert not os.environ.get("CI"), "there is no Chrome or Chromium, and so nothing would be tested"
        pytest.skip("there is no Chrome or Chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROME, args=["--no-sandbox", "--disable-gpu"], timeout=30_000)
        yield opened
        opened.close()


@pytest.fixture(params=["index.html", "clip.html"])
def page(browser, folder: Path, request) -> Iterator[object]:
    """The page at a file:// address; an error in the console fails the test."""
    yield from opened(browser, folder / request.param)


def opened(browser, path: Path) -> Iterator[object]:
    """A page that is closed after the test, which its errors fail."""
    shown = browser.new_page(viewport={"width": 1200, "height": 900})
    shown.set_default_timeout(10_000)
    errors: list[str] = []
    shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto(path.as_uri())
    yield shown
    shown.close()
    assert errors == []


@pytest.fixture(scope="module")
def stems(tmp_path_factory) -> Path:
    """What the command leaves of a clip of two seconds with sound of its own, two takes for flute and piano."""
    place = tmp_path_factory.mktemp("stems")
    save_tiny_checkpoint(place / "tiny.safetensors")
    write_video(place / "clip.mp4", ramp(24), fps=12, sound=2.0)
    words = ["mix=duck", "instruments=flute+piano", "stems=true", "variations=2", "sampler=dpm", "sampler.steps=2"]
    paths = [f"videos={place / 'clip.mp4'}", f"out={place / 'out'}", f"checkpoint={place / 'tiny.safetensors'}"]
    assert cli.run(sample.sample, "sample", [*paths, *words, f"cache={place / 'cache'}", "soundfont=builtin"]) == 0
    return place / "out"


@pytest.fixture
def page_with_stems(browser, stems: Path) -> Iterator[object]:
    yield from opened(browser, stems / "index.html")


def now(page) -> float:
    return float(page.locator(".roll").get_attribute("aria-valuenow"))


def test_posters_are_there_and_the_playhead_moves_with_the_video(page):
    assert page.locator("video").get_attribute("poster").startswith("data:image/jpeg")
    page.locator("video").evaluate("video => { video.muted = true }")
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("document.querySelector('video').currentTime > 0.4")
    page.wait_for_function(
        "Math.abs(document.querySelector('video').currentTime - document.querySelector('.roll').ariaValueNow) < 0.3"
    )
    page.get_by_role("button", name="Pause").click()
    assert 0.3 < now(page) < 10


def test_clicks_and_keys_seek(page):
    box = page.locator("canvas").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + 150)
    page.wait_for_function("Math.abs(document.querySelector('video').currentTime - 10) < 0.5")
    before = now(page)
    page.locator(".roll").press("ArrowRight")
    assert now(page) == pytest.approx(before + 0.5, abs=0.02)
    page.locator(".roll").press("Home")
    assert now(page) == 0


def test_a_b_keeps_the_position(page):
    page.locator(".roll").press("PageDown")
    page.wait_for_function("document.querySelector('video').currentTime > 1.9")
    page.locator(".ab").click()
    page.wait_for_function("document.querySelector('video').readyState > 0")
    page.wait_for_function("Math.abs(document.querySelector('video').currentTime - 2) < 0.2")
    assert page.locator("input[type=radio][value='1']").is_checked()
    assert page.locator(".links a").first.get_attribute("download") == "clip.take2.mp4"


def test_bars_to_keep_are_in_the_command(page):
    page.locator(".commands summary").click()
    page.locator(".last").fill("7")
    assert "'keep_bars=[1,7]'" in page.locator(".redo").inner_text()


@pytest.mark.parametrize("width", [360, 390, 1200])
def test_nothing_overflows(page, width: int):
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page, scheme: str):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    for summary in page.locator("summary").all():
        summary.click()
    found = axe.Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_the_stems_of_the_take_that_plays_are_offered(page_with_stems, stems: Path):
    links = page_with_stems.locator(".links a[data-ending$='.wav']")
    names = [name for name in links.all_inner_texts() if "flute" in name or "piano" in name]
    assert names == ["flute lead", "acoustic grand piano accompaniment"]
    for before in (True, False):
        hrefs = [link.get_attribute("href") for link in links.all()]
        assert all(("take2" in href) is not before for href in hrefs), hrefs
        assert all((stems / href).stat().st_size > 1000 for href in hrefs)
        page_with_stems.locator(".ab").click()


def test_stems_play_in_the_same_player_at_the_same_place(page_with_stems):
    page = page_with_stems
    parts = page.get_by_label("Hear")
    assert parts.locator("option").all_inner_texts() == [
        "the film with its music",
        "the music alone",
        "the film's own sound alone",
        "flute lead",
        "acoustic grand piano accompaniment",
    ]
    page.locator(".roll").press("PageDown")
    before = now(page)
    assert before > 0.5
    for label, ending in (
        ("flute lead", ".flute-lead.wav"),
        ("the film's own sound alone", ".original.m4a"),
        ("the film with its music", ".mp4"),
    ):
        parts.select_option(label=label)
        page.wait_for_function(
            "([ending, time]) => { const video = document.querySelector('video');"
            " return video.src.endsWith(ending) && Math.abs(video.currentTime - time) < 0.1 }",
            arg=[ending, before],
        )
