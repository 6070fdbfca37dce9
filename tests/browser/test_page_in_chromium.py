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
        pytest.skip("there is no Chrome or Chromium")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROME, args=["--no-sandbox", "--disable-gpu"], timeout=30_000)
        yield opened
        opened.close()


@pytest.fixture(params=["index.html", "clip.html"])
def page(browser, folder: Path, request) -> Iterator[object]:
    """The page at a file:// address; an error in the console fails the test."""
    shown = browser.new_page(viewport={"width": 1200, "height": 900})
    shown.set_default_timeout(10_000)
    errors: list[str] = []
    shown.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    shown.on("pageerror", lambda error: errors.append(str(error)))
    shown.goto((folder / request.param).as_uri())
    yield shown
    shown.close()
    assert errors == []


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
