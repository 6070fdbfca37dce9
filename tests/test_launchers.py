"""Hydra's launchers run shards as jobs: each video once, and a failing job does not end the others."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from make_video import ramp, write_video

ROOT = Path(__file__).resolve().parents[1]


def sweep(launcher: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`diffbgm features` as two jobs of a launcher, in a process of its own."""
    command = [sys.executable, "-m", "diffbgm", "features", "-m", f"hydra/launcher={launcher}", *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "RAY_worker_niceness": "0"}
    return subprocess.run(
        [*command, "shards=2", "shard=range(2)"], cwd=ROOT, env=environment, capture_output=True, text=True
    )


@pytest.mark.slow
@pytest.mark.timeout(600)  # Ray starts a small cluster
@pytest.mark.parametrize(
    ("launcher", "limit"),
    [
        ("joblib", "hydra.launcher.n_jobs=2"),
        ("submitit_local", "hydra.launcher.cpus_per_task=1"),
        ("ray", "+hydra.launcher.ray.init.num_cpus=2"),
    ],
)
def test_launchers_run_shards_as_processes(tmp_path: Path, launcher: str, limit: str) -> None:
    package = launcher.partition("_")[0]
    pytest.importorskip(f"hydra_plugins.hydra_{package}_launcher", reason=f"hydra-{package}-launcher is not installed")
    (tmp_path / "videos").mkdir()
    for name in "abcd":
        write_video(tmp_path / "videos" / f"{name}.mp4", ramp(8))
    (tmp_path / "videos" / "broken.mp4").write_text("not a video")
    out = tmp_path / "out"
    given = [f"videos={tmp_path}/videos", f"out={out}", "device=cpu", f"hydra.sweep.dir={tmp_path}/jobs"]
    done = sweep(launcher, limit, *given)
    assert done.returncode == 1, done.stderr
    assert "exit code 1" in done.stderr
    assert "Traceback" not in done.stderr
    lines = [json.loads(line) for line in (out / "features.jsonl").read_text().splitlines()]
    assert sorted(Path(line["video"]).name for line in lines) == ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]
    assert len((out / "failed.jsonl").read_text().splitlines()) == 1
