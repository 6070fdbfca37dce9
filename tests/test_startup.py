"""Imports at start-up: nothing heavy for help, and no package that most pieces do not need."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = {"torch", "scipy", "transformers", "matplotlib", "scenedetect", "hydra", "omegaconf", "numpy", "av"}
LATE = {"scipy", "pyloudnorm", "matplotlib", "transformers", "scenedetect", "open_clip", "huggingface_hub", "gradio"}


@pytest.mark.parametrize("words", [["-c", "import diffbgm"], ["sample.py", "--help"]])
def test_nothing_heavy_is_imported_before_it_is_needed(words):
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *words], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert "diffbgm" in imported
    assert not imported & HEAVY


def at_the_top(path: Path) -> set[str]:
    """The packages that a file imports when it is imported itself."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("room", ["music", "video", "diffusion", "models", "generation"])
def test_what_most_pieces_do_without_is_imported_where_it_is_used(room):
    for path in (ROOT / "diffbgm" / room).glob("*.py"):
        assert not at_the_top(path) & LATE, path.name
