"""Measure how the real commands handle bad input, kills, full disks and missing rights.

    make attack                                     all of it (about 20 minutes of a core; mounts need root)
    python tests/attack.py [--seed N] [--only bad,kills,disk,rights] [--part K/N] [--show]

Prints a table of cases tried and passed, names those that failed, and exits with 1 if any failed. The same seed selects
the same cases. tests/test_attack.py runs some of them in the normal tests.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from attack_runner import SCRIPTS, Case, attempt  # before all that imports tqdm, for its settings

# isort: split
import numpy as np
import torch
from attack_files import checkpoint_cases, data_cases, midi_cases
from attack_lay import prepare_shared
from attack_machine import JOBS, disk, kills, rights_cases
from attack_settings import settings_cases
from attack_videos import out_cases, video_cases

from diffbgm.app.main import COMMANDS

LATE = """scipy.ndimage matplotlib.backends.backend_agg matplotlib.figure midirenderer torch.utils.tensorboard
transformers"""  # what commands import when they get that far
Result = tuple[str, list[str]]  # what was tried, and why it was not held


def cases(top: Path, seed: int) -> list[Case]:
    """All bad inputs in an order set by the seed; every seventieth runs in a process of its own."""
    rng = np.random.default_rng(seed)
    found = [*video_cases(top, rng), *out_cases(), *checkpoint_cases(top, rng), *midi_cases(rng), *data_cases(rng)]
    found += settings_cases()
    return [replace(found[number], real=place % 70 == 0) for place, number in enumerate(rng.permutation(len(found)))]


def bad(top: Path, seed: int, part: tuple[int, int], pattern: str) -> Iterator[Result]:
    """Bad inputs."""
    chosen = [case for case in cases(top, seed) if pattern in case.name][part[0] :: part[1]]
    for number, case in enumerate(chosen):
        found, ran = attempt(case, top, number)
        yield f"{ascii(case.name)[1:-1]} ({ran.seconds:.1f} s)", found


def rights(top: Path) -> Iterator[Result]:
    """Missing rights."""
    for number, case in enumerate(rights_cases()):
        found, ran = attempt(case, top, number, rightless=True)
        yield f"{case.name}: {ran.err.strip()[:150]!a}", found


def warm_up() -> None:
    """Import what commands import when they are called."""
    torch.set_num_threads(1)
    for command in COMMANDS:
        if command.name != "app":
            import_module(f"diffbgm.app.{command.function.partition(':')[0]}")
    for name in (*LATE.split(), "benchmarks.samplers", *(f"scripts.{script}" for script in SCRIPTS)):
        import_module(name)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="bad,kills,disk,rights")
    parser.add_argument("--part", default="0/1", help="only bad inputs K, K + N, ...: K/N")
    parser.add_argument("--jobs", default=",".join(JOBS), help="only kills and full disks of these commands")
    parser.add_argument("--like", default="", help="only bad inputs whose name has this")
    parser.add_argument("--show", action="store_true", help="name everything that is tried")
    options = parser.parse_args()
    part = int(options.part.partition("/")[0]), int(options.part.partition("/")[2])
    top = Path(tempfile.mkdtemp(prefix="diffbgm-attack-"))
    top.chmod(0o755)
    prepare_shared(top)
    warm_up()
    totals, begin = {}, time.monotonic()
    parts = {
        "bad": lambda: bad(top, options.seed, part, options.like),
        "kills": lambda: kills(top, options.seed, options.jobs.split(",")),
        "disk": lambda: disk(top, options.seed, options.jobs.split(",")),
        "rights": lambda: rights(top),
    }
    for name in options.only.split(","):
        tried = held = 0
        started = time.monotonic()
        for what, found in parts[name]():
            tried, held = tried + 1, held + (not found)
            if found or options.show:
                print(
                    f"{'NOT HELD' if found else 'held'}: {what}" + "".join(f"\n    {line}" for line in found),
                    flush=True,
                )
        totals[name] = {"tried": tried, "held": held, "seconds": round(time.monotonic() - started)}
    print(f"{'':8s} {'tried':>6s} {'held':>6s} {'seconds':>8s}")
    for name, row in totals.items():
        print(f"{name:8s} {row['tried']:6d} {row['held']:6d} {row['seconds']:8d}")
    print(json.dumps({"seed": options.seed, "seconds": round(time.monotonic() - begin), **totals}))
    whole = all(row["tried"] == row["held"] for row in totals.values())
    if whole:
        shutil.rmtree(top, ignore_errors=True)
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
