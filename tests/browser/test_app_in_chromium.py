"""The app as a visitor has it, in headless Chromium: an upload, what is read from it, a piece, its player."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from make_video import flat, ramp, write_video  # tests/ is not a package
from test_page_in_chromium import browser  # noqa: F401  # a fixture
from test_studio import pipeline  # noqa: F401  # a fixture

from diffbgm.app.gradio_app import AppSettings, build, launch
from diffbgm.app.studio import Bounds, Studio

pytestmark = pytest.mark.browser
SLOW = 90_000  # milliseconds that composing may take on a busy core


@pytest.fixture(scope="module")
def address(pipeline) -> Iterator[str]:  # noqa: F811
    """Where the app answers, with a network that composes at once."""
    studio = Studio(pipeline, Bounds(takes=2))
    served = build(studio)
    yield launch(served, AppSettings(port=None), wait=False)
    served.close()
    studio.close()


def test_a_video_is_dropped_looked_at_and_played_with_its_music(browser, address: str, tmp_path: Path):  # noqa: F811
    clip = write_video(tmp_path / "clip.mp4", [flat(20)] * 12 + ramp(36), fps=12)
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    page.set_default_timeout(20_000)
    broken: list[str] = []
    page.on("pageerror", lambda error: broken.append(str(error)))
    page.goto(address)
    page.locator("input[type=file]").first.set_input_files(clip)
    page.get_by_text("in 4.0 s").wait_for(timeout=SLOW)
    assert page.locator("svg[aria-label$='over time']").count() == 2, "motion and light"
    page.get_by_role("button", name="Compose", exact=True).click()
    page.locator("iframe[title=Takes]").wait_for(timeout=SLOW)
    takes = page.frame_locator("iframe[title=Takes]")
    takes.locator("video").evaluate("video => { video.muted = true }")
    takes.get_by_role("button", name="Play").click()
    takes.get_by_role("button", name="Pause").wait_for()
    takes.locator("video").evaluate(
        "video => new Promise(done => video.addEventListener('timeupdate', () => video.currentTime > 0.2 && done()))"
    )
    assert 0 < float(takes.locator(".roll").get_attribute("aria-valuenow")) < 4.2
    page.close()
    assert broken == []
