"""Files for the cases: good ones, broken ones, and other things in their places."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from fuzz import mutated
from make_video import ramp, write_sound, write_video
from tiny_checkpoint import save_tiny_checkpoint

SAMPLE = (
    "sample",
    "out=o",
    "checkpoint={top}/tiny.safetensors",
    "sampler=ddim",
    "sampler.steps=2",
    "soundfont=builtin",
)
TRAIN = (
    "train",
    "experiment=smoke",
    "data.count=8",
    "data.cache=dc",
    "trainer.steps=2",
    "trainer.previews=1",
    "model.unet.channels=8",
    "model.unet.norm_groups=2",
)
EXACT = ("metrics=[exact]", "workers=1", "numbers=n")


Lay = Callable[[Path], object]


def prepare_shared(top: Path) -> None:
    """Files that several cases use."""
    write_video(top / "clip.mp4", ramp(25), 25)
    write_sound(top / "sound.mp4")
    save_tiny_checkpoint(top / "tiny.safetensors")


def put(name: str | bytes, content: bytes) -> Lay:
    """A file with this content."""

    def lay(folder: Path) -> None:
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content)

    return lay


def clip(*names: str | bytes) -> Lay:
    """The good clip, by these names."""
    return lambda folder: [put(name, (folder.parent / "clip.mp4").read_bytes())(folder) for name in names]


def several(*lays: Lay) -> Lay:
    return lambda folder: [lay(folder) for lay in lays]


def fifo(name: str) -> Lay:
    def lay(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        os.mkfifo(folder / name)

    return lay


def inside_folder(name: str) -> Lay:
    """A folder where a file is expected."""
    return lambda folder: (folder / name).mkdir(parents=True)


def link(name: str, target: str) -> Lay:
    def lay(folder: Path) -> None:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).symlink_to(target)

    return lay


def sparse(name: str, size: int) -> Lay:
    def lay(folder: Path) -> None:
        put(name, b"")(folder)
        os.truncate(folder / name, size)

    return lay


def broken_files(good: bytes, rng: np.random.Generator, count: int) -> Iterator[tuple[str, bytes]]:
    """Contents of broken files of a kind: (description, bytes)."""
    yield from (("empty", b""), ("text", b"this is a text\n" * 50), ("zeros", bytes(5000)), ("noise", rng.bytes(3000)))
    for share in (0.1, 0.5, 0.95):
        yield f"cut at {share}", good[: int(share * len(good))]
    for number in range(count):
        yield f"damaged {number}", mutated([good], rng)


def odd_places(name: str) -> Iterator[tuple[str, Lay]]:
    """Things other than a good file that may exist where one is expected."""
    yield from (("missing", lambda folder: None), ("a folder", inside_folder(name)), ("a pipe", fifo(name)))
    yield from (("a dangling link", link(name, "nowhere")), ("a link to itself", link(name, Path(name).name)))
    yield "endless zeros", link(name, "/dev/zero")
