"""Run commands as a user would, in a forked child with limits, and judge the result.

A run passes if its exit code is as expected, the error is one sentence on stderr, all files that existed before have
the same bytes, and no incomplete files are left. The parent has imported everything, so that a child starts at once.
"""

import ctypes
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
os.environ |= {"TQDM_DISABLE": "1", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}

from diffbgm.app.cli import run as run_entry  # noqa: E402
from diffbgm.app.main import main  # noqa: E402
from diffbgm.app.record import ENDINGS  # noqa: E402
from diffbgm.files import _MARK  # noqa: E402

SCRIPTS = (
    "dataset_report fit_discriminator fit_grooves fit_harmony measure_harmony measure_reprise reproduce".split()
)  # python scripts/NAME.py
BENCHMARK = "benchmarks"  # python -m benchmarks NAME
MEMORY = 3 << 30  # bytes that a child may take beyond what it starts with
NOTICE = re.compile(r"diffbgm [\w-]+: loading |usage: |  +|prepared |step \d+: |.* M parameters, |continuing |stopped ")


@dataclass(frozen=True)
class Case:
    """A command in a folder of its own, and the expected result.

    The first word is a command of `diffbgm`, one of SCRIPTS, or BENCHMARK.
    """

    name: str
    words: Sequence[str]  # paths are relative to the folder; {top} is where what all cases share lies
    lay: Callable[[Path], object] = lambda folder: None  # puts the user's files there
    codes: tuple[int, ...] = (1,)
    made: tuple[str, ...] = ()  # files that must be there afterwards
    says: str = ""  # a pattern that the sentence must have
    told: int = 1  # lines on stderr at most
    real: bool = False  # a process of its own, instead of a forked child


@dataclass(frozen=True)
class Ran:
    """The result of a command. `code` is None after a timeout and negative if a signal ended it."""

    code: int | None
    err: str
    seconds: float


def inside(words: Sequence[str]) -> int:
    """The exit code of a command in this process, as the interpreter would give it."""
    try:
        if words[0] in SCRIPTS:
            return run_entry(getattr(import_module(f"scripts.{words[0]}"), words[0]), words[0], words[1:])
        if words[0] == BENCHMARK:
            return import_module("benchmarks.__main__").main(list(words[1:]))
        return main(list(words))
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else 1
    except BaseException:
        traceback.print_exc()
        return 70


def as_program(words: Sequence[str]) -> list[str]:
    """What a user types after `python`."""
    if words[0] in SCRIPTS:
        return [str(ROOT / "scripts" / f"{words[0]}.py"), *words[1:]]
    return ["-m", *words] if words[0] == BENCHMARK else ["-m", "diffbgm", *words]


def start(words: Sequence[str], folder: Path, rightless: bool = False, real: bool = False) -> int:
    """Start a command in a process group of its own, with stderr in a file beside the folder; its process id."""
    child = os.fork()
    if child:
        return child
    try:
        os.setsid()
        os.chdir(folder)
        for name, number in ((os.devnull, 0), (f"{folder}.out", 1), (f"{folder}.err", 2)):
            handle = os.open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC * bool(number), 0o644)
            os.dup2(handle, number)
        if rightless:
            give_up_rights()
        if real:
            os.environ["PYTHONPATH"] = str(ROOT)
            os.execv(sys.executable, [sys.executable, *as_program(words)])
        taken = int(re.search(r"VmData:\s+(\d+)", Path("/proc/self/status").read_text())[1]) << 10  # type: ignore[index]
        resource.setrlimit(resource.RLIMIT_DATA, (taken + MEMORY, taken + MEMORY))
        code = inside(words)
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:
        traceback.print_exc()
        code = 71
    os._exit(code)


def give_up_rights() -> None:
    """Drop all capabilities, so that file modes apply to root as to any other user."""
    header, none = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(header, none):
        raise OSError(ctypes.get_errno(), "capset")


def run(
    words: Sequence[str],
    folder: Path,
    seconds: float = 120,
    rightless: bool = False,
    real: bool = False,
    kill_after: float | None = None,
) -> Ran:
    """Run a command to its end, to its time limit, or until it is killed (the process itself, none of its children)."""
    begin = time.monotonic()
    child = start(words, folder, rightless, real)
    end, code = begin + (seconds if kill_after is None else kill_after), None
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            code = os.waitstatus_to_exitcode(status)
            break
        if time.monotonic() >= end:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            code = None if kill_after is None else -signal.SIGKILL
            break
        time.sleep(0.003)
    took = time.monotonic() - begin
    orphans = _orphans(child)
    err = Path(f"{folder}.err").read_text(errors="replace") if Path(f"{folder}.err").exists() else ""
    return Ran(code, err + "orphaned processes\n" * orphans, took)


def _orphans(group: int) -> bool:
    """Whether processes of a group outlive its leader by over 15 seconds (imports take some); they are ended."""
    for _ in range(1500):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return False
        time.sleep(0.01)
    os.killpg(group, signal.SIGKILL)
    return True


def contents(top: Path) -> dict[str, str]:
    """The contents of a folder: SHA-256 of files, targets of links, types of other entries."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in [*folders, *files]:
            path = Path(folder, name)
            key = os.fsdecode(os.path.relpath(path, top))
            if path.is_symlink():
                found[key] = f"link to {os.readlink(path)}"
            elif path.is_file():
                found[key] = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                found[key] = "a folder" if path.is_dir() else "special"
    return found


def sentences(err: str) -> list[str]:
    """The lines on stderr apart from notices of normal progress."""
    return [line for line in err.splitlines() if line.strip() and not NOTICE.match(line)]


def leftovers(folder: Path, before: Mapping[str, str] | None = None) -> list[str]:
    """Incomplete files: temporary files, sets of results that lack a part, and JSON that cannot be read."""
    found = []
    for path in folder.rglob("*"):
        if str(path.relative_to(folder)) in (before or {}):
            continue
        if _MARK.match(path.name):
            found.append(f"{path.name} is left")
        if path.parent.name == "o" and path.suffix in (".json", ".mid") and not path.name.startswith("summary"):
            lacking = [
                ending
                for ending in ENDINGS
                if not path.with_name(f"{path.name[: -len(path.suffix)]}.{ending}").is_file()
            ]
            found += [f"{path.name} lacks {ending}" for ending in lacking]
        if path.suffix == ".json" and path.is_file() and path.parent.name == "o":
            try:
                json.loads(path.read_bytes())
            except ValueError:
                found.append(f"{path.name} is cut")
    return found


def faults(ran: Ran, case: Case, folder: Path, before: dict[str, str], may_change: str = "^$") -> list[str]:
    """The reasons why a run failed; empty if it passed."""
    told = sentences(ran.err)
    found = []
    if ran.code not in case.codes:
        found.append(f"exit code {ran.code}, expected {' or '.join(map(str, case.codes))}")
    if "Traceback" in ran.err or "orphaned" in ran.err:
        found.append("a traceback" if "Traceback" in ran.err else "orphaned processes")
    if ran.code and not 1 <= len(told) <= case.told:
        found.append(f"{len(told)} lines on stderr: {' | '.join(told)[:300]}")
    if "failed unexpectedly" in ran.err:
        found.append(f"unexpected: {told[-1][:300]}")
    if case.says and not re.search(case.says, ran.err):
        found.append(f"says nothing of {case.says}: {' | '.join(told)[:300]}")
    after = contents(folder)
    changed = [name for name in before if before[name] != after.get(name) and not re.match(may_change, name)]
    found += [f"{name} was changed" for name in changed]
    found += [f"{name} was not made" for name in case.made if name not in after]
    return found + leftovers(folder, before)


def attempt(case: Case, top: Path, number: int, seconds: float = 60, rightless: bool = False) -> tuple[list[str], Ran]:
    """Run a case in a fresh folder below `top` and judge it."""
    folder = top / f"case{'-' * rightless}{number}"
    folder.mkdir()
    case.lay(folder)
    before = contents(folder)
    words = [word.replace("{top}", str(top)) for word in case.words]
    ran = run(words, folder, seconds, rightless, case.real)
    found = faults(ran, case, folder, before)
    if not found:
        shutil.rmtree(folder)
        for ending in (".out", ".err"):
            Path(f"{folder}{ending}").unlink(missing_ok=True)
    return found, ran
