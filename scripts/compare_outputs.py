"""Whether a change of the code changed what comes out: MIDI files byte for byte and training losses to the last digit.

    python scripts/compare_outputs.py record before.json [--videos data/demo] [--pop909 POP909]      before the change
    python scripts/compare_outputs.py compare before.json [--videos data/demo] [--pop909 POP909]     after it

Runs sample.py on a folder of videos (once plainly and once with many settings), scripts/sample_songs.py on the
condition of one song of POP909, and twenty steps of train.py in float32, each in a process of its own on one thread.
Both runs belong on the same machine: other processors round differently. Exit code 1 where something differs.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PARTS = ("losses", "wishes", "songs", "sample")
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
WISHES = ["seed=3", "variations=2", "ending=resolve", "key=A minor", "intensity=1.5", "tempo=104", "compose.form=A"]
TRAINING = [
    "experiment=smoke",
    "objective=x0_posterior",
    "schedule.roll_scale=2",
    "model.unet.self_condition=true",
    "model.unet.rhythm_layers=1",
    "+model.unet.theme_condition=true",
    "trainer.precision=fp32",
    "trainer.steps=20",
    "trainer.log_every=1",
    "trainer.validate_every=1000",
    "trainer.preview_every=1000",
    "trainer.checkpoint_every=1000",
]


def outputs(part: str, videos: Path, pop909: Path | None) -> dict[str, str]:
    """What this version of the code makes: SHA-256 of every MIDI file or the losses, by name."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        if part == "losses":
            _run("train.py", *TRAINING, f"out={out}", f"data.cache={out / 'data'}")
            rows = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
            return {f"loss {row['step']}": repr(row["loss"]) for row in rows if "loss" in row}
        if part == "songs":
            if pop909 is None:
                return {}
            _run("scripts/sample_songs.py", f"data.root={pop909}", f"out={out}", "songs=1", "bars=16")
            return _digests(part, out / "generated")
        shortest = min(videos.glob("*.mp4"), key=lambda video: video.stat().st_size)
        words = [f"videos={shortest}", *WISHES] if part == "wishes" else [f"videos={videos}"]
        _run("sample.py", f"out={out / 'music'}", f"cache={out / 'features'}", *words)
        return _digests(part, out / "music")


def _run(*command: str) -> None:
    """Run a command of this checkout on one thread; raises CalledProcessError where it fails."""
    environment = os.environ | dict.fromkeys(THREADS, "1") | {"PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, *command], cwd=ROOT, env=environment, check=True, stdout=subprocess.DEVNULL)


def _digests(kind: str, folder: Path) -> dict[str, str]:
    """SHA-256 of every MIDI file in a folder."""
    files = sorted(folder.glob("*.mid"))
    return {f"{kind} {file.name}": hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def main(arguments: Sequence[str] | None = None) -> int:
    """Record or compare; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("record", "compare"))
    parser.add_argument("file", type=Path, help="the .json file of the outputs before the change")
    parser.add_argument("--videos", type=Path, default=ROOT / "data" / "demo")
    parser.add_argument("--pop909", type=Path, default=os.environ.get("POP909_DIR"))
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    given = parser.parse_args(arguments)
    known = json.loads(given.file.read_text()) if given.file.exists() else {}
    different = 0
    for part in given.parts:
        now = outputs(part, given.videos, given.pop909)
        if given.task == "record":
            known[part] = now
            given.file.write_text(json.dumps(known, indent=1))
            print(f"{part}: {len(now)} outputs recorded in {given.file}")
            continue
        before = known.get(part, {})
        changed = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
        for name in changed:
            print(f"{name}: was {before.get(name, 'not there')}, is {now.get(name, 'not there')}")
        print(f"{part}: {len(before) - len(changed)} of {len(before)} outputs are as before")
        different += len(changed)
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
