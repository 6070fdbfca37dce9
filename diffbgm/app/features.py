"""Features of a folder of videos, one file each, on one machine or many; stop and start it at will.

    diffbgm features videos=FOLDER out=FOLDER features=clip
    accelerate launch scripts/extract_features.py videos=FOLDER out=FOLDER features=clip     (one process a GPU)

`out` is a cache: its files are named after a video's content and the extractor's settings, and what is there already is
not extracted again. Beside them, written anew by each run: features.jsonl ({"video", "features", "duration", "shots",
"captions"} a line) and failed.jsonl ({"video", "error"}). Exit code 1 where a video failed; the others are done all the
same. Several processes share the list of videos evenly; each writes its lines into the same two files.
"""

import errno
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.stop import unexpected
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.files import not_foreign, writable_folder, writing
from diffbgm.video.features import Extractor, cache_entry, cached
from diffbgm.video.folder import find_videos


@dataclass(frozen=True)
class FeatureSettings:
    """The settings of configs/extract_features.yaml outside its groups."""

    videos: str | tuple[str, ...] = field(length=(1, 4096), help="a folder (a tree), a glob, a .txt list, or files")
    out: str = field(length=(1, 4096), help="a file for each video")
    device: str = field("auto", choices=("auto", "cpu"))


DONE, FAILED = "features.jsonl", "failed.jsonl"


def extract_features(cfg: DictConfig) -> int:
    """Extract this process's share of `cfg.videos` into `cfg.out`; the exit code is 1 where a video failed."""
    from accelerate import PartialState

    check(FeatureSettings, {"videos": cfg.videos, "out": cfg.out, "device": cfg.device})
    state = PartialState(cpu=cfg.device == "cpu")
    out = Path(cfg.out)
    videos = find_videos(cfg.videos)
    extractor = instantiate(cfg.features).to(state.device)
    extractor.prepare()
    if state.is_main_process:
        writable_folder(out)
        for name in (DONE, FAILED):
            not_foreign(out / name, _is_ours)
            with writing(out / name):
                (out / name).write_text("")
    state.wait_for_everyone()
    share = videos[state.process_index :: state.num_processes]
    failed = sum(
        not extract_one(video, extractor, out)
        for video in tqdm(share, "features", unit="video", disable=None if state.is_main_process else True)
    )
    state.wait_for_everyone()
    if state.is_main_process:
        failed = len((out / FAILED).read_text(encoding="utf-8").splitlines())
        print(
            f"{len(videos) - failed} of {len(videos)} videos have features in {out}" + f", see {FAILED}" * bool(failed)
        )
    if state.num_processes > 1:
        state.destroy_process_group()
    return 1 if failed else 0


def extract_one(video: Path, extractor: Extractor, out: Path) -> bool:
    """Extract or find the features of one video and write its line; False where that failed, for whatever reason."""
    try:
        features = cached(video, extractor, out)
        entry = cache_entry(video, extractor, out)
    except Exception as error:  # one video out of thousands must not end the run
        reason = str(error) if isinstance(error, InputError) else unexpected(error, str(video))
        tqdm.write(f"error: {reason.encode(errors='backslashreplace').decode()}", file=sys.stderr)
        _append(out / FAILED, {"video": str(video), "error": reason})
        return False
    line = {"video": str(video), "features": entry.name, "duration": features.duration}
    _append(out / DONE, line | {"shots": features.shots.tolist(), "captions": list(features.captions)})
    return True


def _append(path: Path, line: dict[str, Any]) -> None:
    """Add a line in one write, so that the lines of several processes do not mix."""
    with writing(path):
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            content = (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="surrogateescape")
            if os.write(file, content) < len(content):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        finally:
            os.close(file)


def _is_ours(text: str) -> bool:
    return not text or text.startswith('{"video": ')
