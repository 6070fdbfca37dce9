"""Runs that are killed, that fill the disk, or that may not read or write files.

Each job is a command that writes into a folder of its own, with a check that its results are complete.
"""

import csv
import json
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from attack_lay import SAMPLE, Lay, clip, put, several
from attack_runner import Case, Ran, contents, faults, leftovers, run
from fuzz import midi_bytes

from diffbgm.datasets.cache import Cache
from diffbgm.errors import InputError
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.training.tracking import read_log

MIDI = midi_bytes(96)
CLIPS = ("a", "sub/b")
STEPS = 6


@dataclass(frozen=True)
class Job:
    """A command that writes below the folder d, and a check that lists faults of its results."""

    words: Sequence[str]
    lay: Lay
    wrong: Callable[[Path], Iterator[str]]
    kills: int
    disks: int


def wrong_music(folder: Path) -> Iterator[str]:
    summary = json.loads((folder / "d/o/summary.json").read_bytes())
    if summary["ok"] != sorted(CLIPS) or summary["failed"]:
        yield f"the summary says {summary}"
    found = sorted(str(path.relative_to(folder / "d/o"))[:-4] for path in (folder / "d/o").rglob("*.mp4"))
    if found != sorted(CLIPS):
        yield f"music for {found}"


def wrong_training(folder: Path) -> Iterator[str]:
    rows = read_log(folder / "d/r/log.jsonl")
    if [row["step"] for row in rows] != list(range(1, STEPS + 1)):
        yield f"steps {[row['step'] for row in rows]}"
    try:
        load_checkpoint(folder / "d/r/checkpoints/last.safetensors")
    except InputError as error:
        yield str(error)


def wrong_data(folder: Path) -> Iterator[str]:
    caches = list((folder / "d/dc").iterdir())
    if len(caches) != 1 or len(Cache.open(caches[0]).songs) != 16:
        yield f"caches {caches}"


def wrong_numbers(folder: Path) -> Iterator[str]:
    with open(folder / "d/e/songs.csv", newline="") as file:
        songs = [row["song"] for row in csv.DictReader(file)]
    if songs != [f"{number:02d}" for number in range(12)]:
        yield f"songs {songs}"
    if json.loads((folder / "d/e/metrics.json").read_bytes())["songs"] != 12:
        yield "the metrics are of other songs"


def wrong_features(folder: Path) -> Iterator[str]:
    lines = [json.loads(line) for line in (folder / "d/f/features.jsonl").read_text().splitlines()]
    if sorted(line["video"] for line in lines) != sorted(f"v/{name}.mp4" for name in CLIPS):
        yield f"features of {lines}"
    if not all((folder / "d/f" / line["features"]).is_file() for line in lines):
        yield "features are missing"


def wrong_songs(folder: Path) -> Iterator[str]:
    for part in ("generated", "real"):
        if len(list((folder / "d/s" / part).glob("*.mid"))) != 1:
            yield f"no song in {part}"


def wrong_export(folder: Path) -> Iterator[str]:
    load_checkpoint(folder / "d/x.safetensors")
    yield from ()


VIDEOS = clip(*(f"v/{name}.mp4" for name in CLIPS))
SONGS = several(*(put(f"g/{number:02d}.mid", MIDI) for number in range(12)))
SMALL = ("model.unet.channels=8", "model.unet.norm_groups=2", "trainer.previews=1", "trainer.batch_size=4")
TRAIN = ("train", "experiment=smoke", "data.count=8", "data.cache=d/dc", f"trainer.steps={STEPS}", "out=d/r", *SMALL)
JOBS = {
    "sample": Job((*SAMPLE[:1], "out=d/o", "cache=d/c", "videos=v", *SAMPLE[2:]), VIDEOS, wrong_music, 16, 12),
    "train": Job((*TRAIN, "trainer.checkpoint_every=2"), lambda folder: None, wrong_training, 10, 8),
    "prepare": Job(("prepare", "data=generated", "data.cache=d/dc"), lambda folder: None, wrong_data, 8, 5),
    "evaluate": Job(
        ("evaluate", "generated=g", "out=d/e", "numbers=d/n", "metrics=[exact]", "workers=2"),
        SONGS,
        wrong_numbers,
        12,
        5,
    ),
    "features": Job(("features", "videos=v", "out=d/f", "device=cpu"), VIDEOS, wrong_features, 4, 3),
    "songs": Job(
        ("songs", "data=generated", "data.cache=d/dc", "out=d/s", "songs=1", "bars=8", *SAMPLE[2:5]),
        lambda f: None,
        wrong_songs,
        0,
        3,
    ),
    "export": Job(("export", "{top}/tiny.safetensors", "d/x.safetensors"), lambda folder: None, wrong_export, 0, 2),
}


def laid(job: Job, folder: Path) -> tuple[str, ...]:
    """Make the folder and return the arguments of the job in it."""
    (folder / "d").mkdir(parents=True)
    job.lay(folder)
    return tuple(word.replace("{top}", str(folder.parent)) for word in job.words)


def whole(job: Job, folder: Path, ran: Ran) -> list[str]:
    """The faults of a run that should have finished."""
    if ran.code != 0:
        return [f"the command gives {ran.code} in the end: {ran.err[-300:]}"]
    try:
        return [*job.wrong(folder), *leftovers(folder), *["orphaned processes"] * ("orphaned" in ran.err)]
    except Exception as error:
        return [f"results cannot be read: {type(error).__name__}: {error}"]


def once(name: str, top: Path) -> tuple[float, int, list[str]]:
    """Run a job undisturbed: its time in seconds, the bytes it needs, and its faults."""
    folder = top / f"whole-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    ran = run(laid(JOBS[name], folder), folder)
    used = sum(path.lstat().st_blocks * 512 + 4096 for path in (folder / "d").rglob("*"))
    return ran.seconds, used, whole(JOBS[name], folder, ran)


def kills(top: Path, seed: int, only: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Runs killed at random moments: the same command finishes them, and what was finished is not made again."""
    rng = np.random.default_rng([seed, 1])
    for name in (name for name in JOBS if name in only):
        job = JOBS[name]
        if not job.kills:
            continue
        _, _, found = once(name, top)
        seconds, _, more = once(name, top)  # now that the system has everything in memory
        found += more
        for number in range(job.kills):
            folder, after, killed = top / f"kill-{name}{number}", 1.2 * seconds * float(rng.uniform(0.02, 1)), None
            while killed is None or killed.code != -signal.SIGKILL:  # one that came too late does not count
                after *= 0.7
                shutil.rmtree(folder, ignore_errors=True)
                words = laid(job, folder)
                killed = run(words, folder, kill_after=after, real=number == 0)
            before = contents(folder / "d")
            ended = run(words, folder)
            found += whole(job, folder, ended) + ["orphaned processes"] * ("orphaned" in killed.err)
            again = [json for json in before if name == "sample" and json.endswith(".json") and json.startswith("o/")]
            now = contents(folder / "d")
            found += [f"{json} was made again" for json in again if before[json] != now[json] and "summary" not in json]
            yield f"{name} killed after {after:.2f} s, then finished in {ended.seconds:.1f} s", found
            found = _done(folder, found)


def disk(top: Path, seed: int, only: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Runs on a file system that runs full: one sentence, nothing half-written, and with room the command finishes."""
    rng = np.random.default_rng([seed, 2])
    for name in (name for name in JOBS if name in only):
        job = JOBS[name]
        _, used, found = once(name, top)
        for number in range(job.disks):
            folder, share = top / f"disk-{name}{number}", float(rng.uniform(0.0, 0.95))
            words, size = laid(job, folder), max(int(used * share) // 4096, 1) * 4
            mount(folder / "d", f"size={size}k")
            try:
                (folder / "d/mine.txt").write_text("mine")
                before = contents(folder)
                ran = run(words, folder)
                case = Case(name, words, codes=(0, 1), told=30 if name == "evaluate" else len(CLIPS) + 1)
                found += faults(ran, case, folder, before)
                said = ran.err if ran.code else "it was enough"
                subprocess.run(["mount", "-o", "remount,size=200m", str(folder / "d")], check=True)
                found += whole(job, folder, run(words, folder))
            finally:
                subprocess.run(["umount", "--lazy", str(folder / "d")], check=True)
            yield f"{name} with {size} of {used >> 10} KiB: {said.strip()[:150]!a}", found
            found = _done(folder, found)


def mount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)


def _done(folder: Path, found: list[str]) -> list[str]:
    """Remove the folder of a case that passed."""
    if not found:
        shutil.rmtree(folder)
    return []


def mode(name: str, bits: int) -> Lay:
    return lambda folder: (folder / name).chmod(bits)


def own(*names: str) -> Lay:
    """Folders that may be written."""
    return lambda folder: [(folder / name).mkdir(parents=True, exist_ok=True) for name in names]


def shut(name: str) -> Lay:
    """A folder that may not."""
    return several(own(name), mode(name, 0o555))


def rights_cases() -> Iterator[Case]:
    """Commands of a user who may not write or read something."""
    video, midi = clip("v/good.mp4"), put("g/a.mid", MIDI)
    sample = ("sample", "videos=v", "out=d/o", "cache=d/c", *SAMPLE[2:])
    yield Case("sample: out cannot be made", sample, several(video, shut("d")))
    yield Case("sample: out cannot be written", sample, several(video, own("d", "d/c"), shut("d/o")))
    yield Case("sample: the cache cannot be written", sample, several(video, own("d", "d/o"), shut("d/c")))
    yield Case(
        "sample: a folder in out cannot be written", sample, several(clip("v/x/a.mp4"), own("d", "d/o"), shut("d/o/x"))
    )
    for name in ("v/good.mp4", "v", "m.mid", "f.sf2", "m.csv", "l.txt", "c.safetensors"):
        there = several(
            video, own("d"), *(put(n, b"x" * 99) for n in ("m.mid", "f.sf2", "m.csv", "l.txt", "c.safetensors"))
        )
        more = {"m.mid": "melody=m.mid", "f.sf2": "soundfont=./f.sf2", "m.csv": "moods=m.csv", "l.txt": "videos=l.txt"}
        words = (*sample, more.get(name, "checkpoint=./c.safetensors" if name[0] == "c" else "seed=0"))
        yield Case(f"sample: {name} cannot be read", words, several(there, mode(name, 0)))
    train = (*TRAIN, "trainer.checkpoint_every=2")
    yield Case("train: out cannot be made", train, shut("d"))
    yield Case("train: out cannot be written", train, several(own("d"), shut("d/r")))
    yield Case("train: checkpoints cannot be written", train, several(own("d", "d/r"), shut("d/r/checkpoints")))
    yield Case("train: the board cannot be written", train, several(own("d", "d/r"), shut("d/r/tensorboard")))
    yield Case(
        "train: the log cannot be written",
        train,
        several(own("d", "d/r"), put("d/r/log.jsonl", b""), mode("d/r", 0o555)),
    )
    yield Case("train: the data cannot be written", train, several(own("d"), shut("d/dc")))
    yield Case("train: init cannot be read", (*train, "init=c"), several(own("d"), put("c", b"x"), mode("c", 0)))
    for command, words, lay in (
        ("evaluate", ("evaluate", "generated=g", "out=d/e", "numbers=d/n", "metrics=[exact]", "workers=1"), midi),
        ("features", ("features", "videos=v", "out=d/f", "device=cpu"), video),
        ("prepare", ("prepare", "data=midi_folder", "data.root=g", "data.cache=d/dc"), midi),
        ("songs", ("songs", "data=generated", "data.cache=d/dc", "out=d/s", *SAMPLE[2:5]), lambda folder: None),
        ("export", ("export", "{top}/tiny.safetensors", "d/x.safetensors"), lambda folder: None),
        ("index", ("index", "out=d"), lambda folder: (folder / "d").mkdir()),
    ):
        yield Case(f"{command}: out cannot be made", words, several(lay, shut("d")))
        yield Case(
            f"{command}: out cannot be written",
            words,
            several(lay, own("d"), shut("d/e"), shut("d/f"), shut("d/s"), shut("d/dc"), mode("d", 0o555)),
        )
        if command in ("evaluate", "features", "prepare"):
            name = "v/good.mp4" if command == "features" else "g/a.mid"
            yield Case(f"{command}: {name} cannot be read", words, several(lay, own("d"), mode(name, 0)))
            yield Case(f"{command}: its folder cannot be read", words, several(lay, own("d"), mode(name[0], 0)))
    yield Case(
        "evaluate: numbers cannot be kept",
        ("evaluate", "generated=g", "out=d/e", "numbers=d/n", "metrics=[exact,paper]", "workers=1"),
        several(midi, own("d"), shut("d/n")),
    )
    for command in ("import", "export"):
        yield Case(
            f"{command}: the source cannot be read",
            (command, "w.pt", "d/x.safetensors"),
            several(put("w.pt", b"x"), own("d"), mode("w.pt", 0)),
        )
