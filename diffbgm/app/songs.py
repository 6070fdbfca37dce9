"""Music for the conditions of held-out songs, and the songs themselves, to judge a checkpoint by.

    diffbgm songs data.root=POP909 out=FOLDER [checkpoint=FILE songs=N bars=64 compose.guidance=2 ...]

Writes FOLDER/generated/SONG.mid and, over the same bars and through the same piano roll, FOLDER/real/SONG.mid, so that
`evaluate.py generated=FOLDER/generated reference=FOLDER/real` compares like with like. A song that the same command has
written before is not composed again, so that a stopped run resumes.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffbgm.app.progress import say
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.pieces import Piece, pieces
from diffbgm.datasets.prepare import prepare
from diffbgm.errors import InputError
from diffbgm.fields import check_among, field
from diffbgm.files import atomic, not_foreign, writable_folder
from diffbgm.generation.composer import Composer
from diffbgm.generation.loading import autocast_dtype, chosen_sampler, device_named, open_checkpoint
from diffbgm.generation.request import Request
from diffbgm.generation.settings import compose_settings
from diffbgm.models.checkpoint import Checkpoint
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes
from diffbgm.music.pianoroll import decode, encode
from diffbgm.training.settings import check_data

IDENTITY = ("sampler", "compose", "precision", "split", "songs", "bars", "seed")  # with checkpoint and data


@dataclass(frozen=True)
class PieceSettings:
    """What a checkpoint composes for held-out songs, and where: shared by all configs that begin with sample_songs."""

    checkpoint: str = field(length=(1, 4096), help="a shipped name, a file, a folder or a hub id")
    split: str = field(choices=("train", "val"))
    songs: int | None = field(low=1, high=10**6, help="at most this many, spread evenly over the split")
    bars: int | None = field(low=1, high=10**6, help="the most of each piece; null: its longest stretch of 4/4")
    seed: int = field(low=0, high=2**63 - 1)
    device: str = field(length=(1, 64), help="auto, cpu, cuda, cuda:1 or mps")
    precision: str = field(choices=("auto", "fp32", "bf16", "fp16"))


@dataclass(frozen=True)
class SongSettings(PieceSettings):
    """The settings of configs/sample_songs.yaml outside its groups."""

    out: str = field(length=(1, 4096), help="generated/SONG.mid and real/SONG.mid, over the same bars")


def sample_songs(cfg: DictConfig) -> int:
    """Compose and write."""
    check_among(SongSettings, cfg)
    check_data(cfg.data, "data")
    checkpoint = open_checkpoint(cfg.checkpoint)
    composer = build_composer(cfg, checkpoint)
    out = Path(cfg.out)
    generated, real = writable_folder(out / "generated"), writable_folder(out / "real")
    cache = prepared(cfg.data)
    chosen = pieces(cache, cfg.split, cfg.bars, cfg.songs)
    plain = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(plain, dict)
    identity = {"checkpoint": checkpoint.sha256, "data": cache.path.name}
    claim(out / "settings.json", identity | {key: plain[key] for key in IDENTITY})
    begin, beats = time.perf_counter(), 0
    for index, piece in enumerate(tqdm(chosen, "songs", disable=None)):
        if (generated / f"{piece.song}.mid").exists():
            continue
        write_midi(through_roll(piece), real / f"{piece.song}.mid")
        write_midi(composed(composer, Request(piece.features, (cfg.seed, index))), generated / f"{piece.song}.mid")
        beats += len(piece.features.valid)
    seconds = time.perf_counter() - begin
    say(f"{len(chosen)} songs in {out}, {beats} beats of them now, in {seconds:.0f} s")
    return 0


def prepared(data: DictConfig) -> Cache:
    """The data of a group `data`, which are prepared first if they are not yet."""
    return Cache.open(prepare(instantiate(data.source), data.cache, data.workers))


def build_composer(cfg: DictConfig, checkpoint: Checkpoint, **changes: Any) -> Composer:
    """A composer with the settings of a config that begins with sample_songs; `changes` replace those of `compose`."""
    settings, device = compose_settings({**cfg.compose, **changes}), device_named(cfg.device)
    sampler = chosen_sampler(cfg.sampler, checkpoint.config.sampling.sampler)
    return Composer(checkpoint, sampler, settings, device, autocast_dtype(cfg.precision, device))


def composed(composer: Composer, request: Request) -> Notes:
    """The music for one request."""
    *_, progress = composer.compose([request])
    return composer.notes(progress.rolls[0])


def through_roll(piece: Piece) -> Notes:
    """The song's own music as a piano roll gives it back: one velocity, one track, no overlaps."""
    return decode(encode(piece.notes, 4 * len(piece.features.valid)))


def claim(path: Path, identity: dict[str, Any]) -> None:
    """Record what the folder's music was made with. Raises InputError if it holds music made with anything else."""

    def ours(text: str) -> bool:
        known = json.loads(text)
        return isinstance(known, dict) and known.keys() == identity.keys()

    not_foreign(path, ours)
    if path.exists() and json.loads(path.read_text()) != identity:
        raise InputError(f"{path.parent} holds music of another checkpoint or other settings; give another out=")
    with atomic(path) as temporary:
        temporary.write_text(json.dumps(identity, indent=1))
