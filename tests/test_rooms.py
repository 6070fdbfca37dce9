"""The structure of the package: a room imports only from earlier rooms, and describes its content in one sentence."""

import ast
from pathlib import Path

import pytest

import diffbgm

PACKAGE = Path(diffbgm.__file__).parent
ROOMS = ("music", "video", "datasets", "diffusion", "models", "generation", "training", "evaluation", "app")
FLOOR = ("errors", "files", "fields", "shipped", "extras", "prefetch", "workers")  # modules that any room stands on
PREPARATION = sorted(path.stem for path in (PACKAGE / "datasets").glob("*.py") if path.stem != "batch")


def imports(path: Path) -> set[str]:
    """The modules of this package that a file imports anywhere."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("diffbgm"):
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("diffbgm")}
    return found


def rooms_of(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports(path) if name.count(".")}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_before_it(room):
    allowed = {*FLOOR, *ROOMS[: ROOMS.index(room) + 1], "__version__"}
    for path in (PACKAGE / room).rglob("*.py"):
        against = rooms_of(path) - allowed
        assert not against, f"{path.relative_to(PACKAGE)} imports from {', '.join(sorted(against))}"


def test_what_every_room_stands_on_stands_on_nothing():
    for name in FLOOR:
        path = PACKAGE / f"{name}.py"
        if path.exists():
            assert rooms_of(path) <= set(FLOOR)


def test_nothing_else_lies_at_the_top():
    assert {path.stem for path in PACKAGE.glob("*.py")} <= {*FLOOR, "__init__", "__main__"}
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)


@pytest.mark.parametrize("room", ROOMS)
def test_every_room_says_what_lives_there(room):
    sentence = ast.get_docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
    assert sentence is not None
    assert sentence.endswith(".")
    assert len(sentence) < 240


def test_composing_knows_nothing_of_preparing_training_data():
    for path in (PACKAGE / "generation").glob("*.py"):
        assert not {f"diffbgm.datasets.{name}" for name in PREPARATION} & imports(path), path.name


def test_composing_knows_neither_hydra_nor_the_command_line():
    for path in (PACKAGE / "generation").glob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "hydra" not in text, path.name
        assert "omegaconf" not in text, path.name
