"""Features of a folder of videos, one file each, on one machine or many; it can be stopped and resumed at any time.

    diffbgm features videos=FOLDER out=FOLDER features=clip
    accelerate launch scripts/extract_features.py videos=FOLDER out=FOLDER features=clip     (one process per GPU)
    diffbgm features videos=FOLDER out=FOLDER shards=64 shard=7                              (docs/scale.md)

`out` is a cache: its files are named after a video's content and the extractor's settings, and what is there already is
not extracted again. Beside them are features.jsonl (lines of {"video", "features", "duration", "shots", "captions"})
and failed.jsonl ({"video", "error"}). A run rewrites the lines of its own videos and leaves those of other shards. The
exit code is 1 if one of its videos failed; the others are still done.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.progress import say
from diffbgm.app.shards import configured_shard, share
from diffbgm.app.stop import unexpected
from diffbgm.errors import InputError
from diffbgm.fields import check, field
from diffbgm.files import atomic, locked, not_foreign, writable_folder, writing
from diffbgm.generation.loading import device_named
from diffbgm.video.features import Extractor, cache_entry, cached
from diffbgm.video.folder import NamedVideo, find_sources


@dataclass(frozen=True)
class FeatureSettings:
    """The settings of configs/extract_features.yaml outside its groups."""

    videos: str | tuple[str, ...] = field(length=(1, 4096), help="a folder (a tree), a glob, a .txt list, or files")
    out: str = field(length=(1, 4096), help="a file for each video")
    device: str = field("auto", length=(1, 64), help="auto, cpu, cuda, cuda:1 or mps")


DONE, FAILED = "features.jsonl", "failed.jsonl"


def extract_features(cfg: DictConfig) -> int:
    """Extract this process's share of `cfg.videos` into `cfg.out`; returns the exit code, 1 if a video failed."""
    check(FeatureSettings, {"videos": cfg.videos, "out": cfg.out, "device": cfg.device})
    index, count = configured_shard(cfg)
    out = Path(cfg.out)
    everything = find_sources(cfg.videos)
    sources = share(everything, index, count)
    extractor = instantiate(cfg.features).to(device_named(cfg.device))
    extractor.prepare()
    writable_folder(out)
    _begin(out, sources, everything)
    bar = tqdm(sources, "features", unit="video", disable=True if index else None)
    failed = sum(not extract_one(source.path, extractor, out) for source in bar)
    part = "" if count == 1 else f" of shard {index} of {count}"
    done = f"{len(sources) - failed} of {len(sources)} videos{part} have features in {out}"
    say(done + f", see {FAILED}" * bool(failed))
    return 1 if failed else 0


def _begin(out: Path, own: list[NamedVideo], everything: list[NamedVideo]) -> None:
    """Remove the lines of this process's videos, and of videos that no longer exist, from the two lists."""
    others = {str(source.path) for source in everything} - {str(source.path) for source in own}
    with locked(out):
        for name in (DONE, FAILED):
            not_foreign(out / name, lambda text: not text or text.startswith('{"video": '))
            kept = [line for line in _lines(out / name) if _video(line) in others]
            with atomic(out / name) as temporary:
                temporary.write_bytes(b"".join(kept))


def _lines(path: Path) -> list[bytes]:
    return path.read_bytes().splitlines(keepends=True) if path.is_file() else []


def _video(line: bytes) -> str | None:
    """Which video a line is about; None for an incomplete line."""
    try:
        return str(json.loads(line.decode(errors="surrogateescape"))["video"]) if line.endswith(b"\n") else None
    except (ValueError, KeyError, TypeError):
        return None


def extract_one(video: Path, extractor: Extractor, out: Path) -> bool:
    """Extract or find the features of one video and write its line; returns False if that failed for any reason."""
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
    """Add a line, so that the lines of several processes do not mix."""
    with locked(path.parent), writing(path), open(path, "ab") as file:
        file.write((json.dumps(line, ensure_ascii=False) + "\n").encode(errors="surrogateescape"))
