"""Workers of a pool do not outlive the process that created it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = """
import multiprocessing, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from diffbgm.workers import end_with_parent

if __name__ == "__main__":
    context = multiprocessing.get_context(sys.argv[1])
    with ProcessPoolExecutor(2, context, end_with_parent) as pool:
        pids = {pool.submit(os.getpid).result() for _ in range(20)}
        print(*pids, flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_killed_process_leaves_no_workers(tmp_path: Path, method: str) -> None:
    (tmp_path / "work.py").write_text(PROGRAM)
    command = [sys.executable, str(tmp_path / "work.py"), method]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        workers = [int(pid) for pid in process.stdout.readline().split()]
        assert workers
        assert all(map(alive, workers))
        process.send_signal(signal.SIGKILL)
        process.wait()
    end = time.monotonic() + 10
    while any(map(alive, workers)) and time.monotonic() < end:
        time.sleep(0.02)
    assert not any(map(alive, workers))


def alive(pid: int) -> bool:
    """Whether a process is running; a zombie is not."""
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False
