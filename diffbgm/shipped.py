"""The configs and weights that ship with diffbgm: inside an installed package, at the top level in a checkout."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _place(name: str) -> Path:
    """The folder `name` inside the package, or beside it in a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


CONFIGS = _place("configs")
PRETRAINED = _place("pretrained")


def shipped_weights() -> dict[str, Path]:
    """The checkpoints that ship with the package, by name."""
    return {path.stem: path for path in sorted(PRETRAINED.glob("*.safetensors"))}


def weights_path(path: str | Path) -> Path:
    """The file that `path` names if it exists, else the shipped checkpoint of that name.

    Configs and documentation use `pretrained/NAME.safetensors`; outside a checkout it refers to the file inside the
    package.
    """
    path = Path(path)
    if not path.exists() and path.parent == Path("pretrained"):
        return shipped_weights().get(path.stem, path)
    return path
