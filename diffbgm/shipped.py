"""The configs and weights that come with diffbgm: inside an installed package, at the top level of a checkout."""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _place(name: str) -> Path:
    """The folder `name` inside the package, or beside it where the package is part of a checkout."""
    inside = PACKAGE / name
    return inside if inside.is_dir() else PACKAGE.parent / name


CONFIGS = _place("configs")
PRETRAINED = _place("pretrained")
CANDIDATE = "candidate"  # weights of an unfinished training, in the repository only for `init=`


def shipped_weights() -> dict[str, Path]:
    """The checkpoints that come with the package, by name."""
    return {path.stem: path for path in sorted(PRETRAINED.glob("*.safetensors")) if path.stem != CANDIDATE}


def weights_path(path: str | Path) -> Path:
    """The file that `path` names: as it is where it exists, else the shipped file of that name.

    `pretrained/NAME.safetensors` is written in configs and documents; outside a checkout it means the file inside the
    package.
    """
    path = Path(path)
    if not path.exists() and path.parent == Path("pretrained"):
        return shipped_weights().get(path.stem, path)
    return path
