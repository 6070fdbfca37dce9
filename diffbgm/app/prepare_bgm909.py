"""The released BGM909 layout from the videos and POP909, for those who have the videos.

    diffbgm prepare-bgm909 videos=FOLDER pop909=FOLDER out=FOLDER
    python train.py experiment=paper data=bgm909 data.root=FOLDER data.split=seeded

Videos are named after POP909's songs (001.mp4). Stop and start it at will: a song that is there whole is passed over.
For many GPUs run diffbgm features first and give its `out` as `cache`. Songs that fail are listed in
failed.jsonl ({"song", "error"}); the others are done, and the exit code is 1.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.progress import say
from diffbgm.datasets.bgm909 import files_of
from diffbgm.datasets.pop909 import Pop909
from diffbgm.datasets.release_layout import write_features, write_song
from diffbgm.errors import InputError
from diffbgm.fields import check_among, field
from diffbgm.files import atomic, writable_folder
from diffbgm.video.decode import probe
from diffbgm.video.features import Extractor, cached
from diffbgm.video.folder import find_videos


@dataclass(frozen=True)
class LayoutSettings:
    """The settings of configs/prepare_bgm909.yaml outside its groups."""

    videos: str | tuple[str, ...] = field(length=(1, 4096), help="a folder, a glob, a .txt list, or files: 001.mp4 ...")
    pop909: str = field(length=(1, 4096), help="the folder of POP909")
    out: str = field(length=(1, 4096), help="folder for the layout")
    cache: str = field(length=(1, 4096), help="features already extracted are taken from here")
    device: str = field(choices=("auto", "cpu"), help="auto: a GPU if there is one")


def prepare_bgm909(cfg: DictConfig) -> int:
    """Write every song of `cfg.videos` into `cfg.out`; returns the exit code, 1 if one failed."""
    from accelerate import PartialState

    check_among(LayoutSettings, cfg)
    out = Path(cfg.out)
    videos = find_videos(cfg.videos)
    music = Pop909(cfg.pop909, split="seeded")
    known = music.songs()
    writable_folder(out)
    extractor = instantiate(cfg.features).to(PartialState(cpu=cfg.device == "cpu").device)
    extractor.prepare()
    failed = []
    for video in tqdm(videos, "songs", unit="video", disable=None):
        if all(path.is_file() for path in files_of(out, video.stem)):
            continue
        try:
            if video.stem not in known:
                raise InputError(f"{video} is named after no POP909 song: call it 001.mp4 to 909.mp4")
            write(video, music, extractor, out, Path(cfg.cache))
        except InputError as error:
            failed.append({"song": video.stem, "error": str(error)})
            tqdm.write(f"error: {error}", file=sys.stderr)
    lines = [json.dumps(line, ensure_ascii=False) + "\n" for line in failed]
    with atomic(out / "failed.jsonl") as temporary:
        temporary.write_text("".join(lines), encoding="utf-8")
    say(f"{len(videos) - len(failed)} of {len(videos)} songs are in {out}" + ", see failed.jsonl" * bool(failed))
    return 1 if failed else 0


def write(video: Path, music: Pop909, extractor: Extractor, out: Path, cache: Path) -> None:
    """One song: the music first, because refusing it costs nothing."""
    song = music.read(video.stem)
    features = cached(video, extractor, cache)
    if features.columns:
        raise InputError("this layout holds embeddings of frames and captions: choose features=clip")
    write_features(out, song.id, features, probe(video).fps)
    write_song(out, song, music.chords(song.id))
