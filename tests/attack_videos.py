"""Bad videos, videos with odd names, and result folders that contain files of the user."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from attack_lay import (
    EXACT,
    SAMPLE,
    TRAIN,
    broken_files,
    clip,
    inside_folder,
    link,
    odd_places,
    put,
    several,
    sparse,
)
from attack_runner import Case
from fuzz import TARGETS
from make_video import flat, ramp, write_video

GOOD = "o/good.mp4"


def video_cases(top: Path, rng: np.random.Generator) -> Iterator[Case]:
    """Unreadable videos, alone and next to a good one, and good videos with odd names."""
    words, good = (*SAMPLE, "videos=v"), (top / "clip.mp4").read_bytes()
    contents = dict(broken_files(good, rng, 12))
    contents |= {"only sound": (top / "sound.mp4").read_bytes()}
    contents["a concat script"] = b"ffconcat version 1.0\nfile '/etc/passwd'\nfile clip.mp4\n"
    contents["a playlist"] = b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    contents["a page"] = (
        b"<html><svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/passwd'/></svg></html>"
    )
    for what, content in contents.items():
        codes = (0, 1) if what.startswith(("damaged", "cut")) else (1,)
        yield Case(f"video {what}", words, put("v/bad.mp4", content), codes)
    for what in ("empty", "noise", "only sound"):
        lay = several(put("v/bad.mp4", contents[what]), clip("v/good.mp4"))
        yield Case(f"video {what} beside a good one", words, lay, (1,), (GOOD, "o/good.json"), "bad")
    for what, lay in odd_places("v/bad.mp4"):
        yield Case(f"video: {what}", (*SAMPLE, "videos=v/bad.mp4"), lay)
        listed = several(put("v/list.txt", b"bad.mp4\n"), lay)
        yield Case(f"video of a list: {what}", (*SAMPLE, "videos=v/list.txt"), listed)
        yield Case(f"folder with {what}", words, lay)
    for size in ((2, 2), (16, 16), (64, 2), (2, 64)):
        lay = lambda folder, size=size: write_video(_ready(folder / "v/x.mp4"), [flat(90, size)] * 5, 25)  # noqa: E731
        yield Case(f"video of {size} pixels", words, lay, (0, 1))
    one = lambda folder: write_video(_ready(folder / "v/x.mp4"), [flat(90)], 25)  # noqa: E731
    gap = lambda folder: write_video(_ready(folder / "v/x.mp4"), ramp(3), 25, [0.0, 0.04, 360_000.0])  # noqa: E731
    yield Case("video of one picture", words, one, (0, 1))
    yield Case("video with a gap of 100 hours", words, gap, (0, 1))
    yield Case("sparse video of 3 GB", words, sparse("v/x.mp4", 3 << 30))
    names: dict[str, bytes] = {"not UTF-8": b"\xff\xfe.mp4", "a line break": b"a\nb.mp4", "a dash": b"-rf.mp4"}
    names |= {
        "255 bytes": b"x" * 251 + b".mp4",
        "umlauts": "ä".encode() * 125 + b".mp4",
        "a shell's": b"$(rm -rf ~)`.mp4",
    }
    names |= {"index": b"index.mp4", "summary": b"summary.mp4", "blank": b" .mp4", "markup": b"<script>alert(1)<.mp4"}
    for what, name in names.items():
        code = 1 if what == "not UTF-8" else 0
        yield Case(f"name: {what}", (*words, "overwrite=true"), clip(b"v/" + name), (code,))
    yield Case("takes of a name of 255 bytes", (*words, "variations=2"), clip(b"v/" + b"x" * 251 + b".mp4"), (0,))
    yield Case("colliding takes", (*words, "variations=2"), clip("v/a.mp4", "v/a.take2.mp4"))
    for what, content in (
        ("empty", b""),
        ("comments", b"# a\n\n"),
        ("binary", rng.bytes(500)),
        ("folders", b".\n..\n/\n"),
    ):
        yield Case(f"list: {what}", (*SAMPLE, "videos=v/list.txt"), put("v/list.txt", content))
    yield Case("no such glob", (*SAMPLE, "videos=v/*.mp4"), inside_folder("v"))
    yield Case("an empty list of videos", (*SAMPLE, "videos=[]"))
    for command in ("sample", "features"):
        yield Case(
            f"{command}: folders that are numbers", (*_of(command), "videos=2024", "out=1999"), clip("2024/7.mp4"), (0,)
        )


def _of(command: str) -> tuple[str, ...]:
    return (SAMPLE[0], *SAMPLE[2:]) if command == "sample" else (command,)


def _ready(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def out_cases() -> Iterator[Case]:
    """Runs whose results would replace files of the user."""
    words = (*_of("sample"), "overwrite=true")
    same = clip("v/good.mp4")
    for name in ("v", "v/.", "v/../v", "l"):
        lay = several(same, link("l", "v"))
        yield Case(f"out={name} is videos", (*words, "videos=v", f"out={name}"), lay)
    hard = several(same, inside_folder("p"), lambda folder: os.link(folder / "v/good.mp4", folder / "p/good.mp4"))
    yield Case("a hard link to the source in out", (*words, "videos=p", "out=v"), hard)
    soft = several(same, link("p/good.mp4", "../v/good.mp4"))
    yield Case("a link to the source in out", (*words, "videos=p", "out=v"), soft)
    for ending in ("mid", "wav", "mp4", "png", "json", "states.npz", "html"):
        foreign = several(same, put(f"o/good.{ending}", b"mine"))
        yield Case(f"a foreign .{ending} in out", (*words, "videos=v", "out=o"), foreign, says="is not ours")
    for name in ("index.html", "summary.json"):
        yield Case(f"a foreign {name}", (*words, "videos=v", "out=o"), several(same, put(f"o/{name}", b"mine")))
        yield Case(f"index: a foreign {name}", ("index", "out=o"), put(f"o/{name}", b"mine"))
    for what, lay in odd_places("o/good.json"):
        if what not in ("missing",):
            yield Case(f"where a result belongs: {what}", (*words, "videos=v", "out=o"), several(same, lay))
    yield Case("out is a file", (*words, "videos=v", "out=o"), several(same, put("o", b"mine")), says="cannot write")
    yield Case(
        "out below a file", (*words, "videos=v", "out=o/x"), several(same, put("o", b"mine")), says="cannot write"
    )
    yield Case("cache is a file", (*words, "videos=v", "out=o", "cache=c"), several(same, put("c", b"mine")))
    for command, name in (
        ("features", "features.jsonl"),
        ("train", "config.yaml"),
        ("train", "log.jsonl"),
        ("evaluate", "songs.csv"),
        ("evaluate", "metrics.json"),
        ("evaluate", "table.md"),
    ):
        given = {"features": ("videos=v",), "train": TRAIN[1:], "evaluate": ("generated=g", *EXACT)}[command]
        lay = several(same, put("g/a.mid", TARGETS["midi"][1][0]), put(f"o/{name}", b"mine"))
        yield Case(f"{command}: a foreign {name}", (command, *given, "out=o"), lay)
