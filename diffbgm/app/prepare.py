"""Prepare POP909 for training: read, quantise, pair with conditions, cache, and report what was skipped.

    diffbgm prepare data.root=POP909 [data.cache=.cache/data data.split=seeded data.workers=2]

`train.py` does the same on its own when the cache is missing. Any other source: data=midi_folder data.root=FOLDER.
With shards=N shard=k a process reads its songs and keeps them; the last one makes the cache of all (docs/scale.md).
"""

import time
from collections.abc import Iterable
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.progress import say
from diffbgm.app.shards import configured_shard, shard_of
from diffbgm.datasets.cache import Cache
from diffbgm.datasets.prepare import prepare, read_ahead
from diffbgm.training.settings import check_data


def prepare_data(config: DictConfig) -> None:
    """Prepare `config.data` and print the report."""
    start = time.perf_counter()
    check_data(config.data, "data")
    index, count = configured_shard(config)
    source, folder, workers = instantiate(config.data.source), config.data.cache, config.data.workers
    if count > 1:
        own, left = read_ahead(source, folder, lambda song: shard_of(song, count) == index, workers, _bar)
        if left:
            say(f"{own} songs of shard {index} of {count} are read; the last shard makes the cache ({left} are left)")
            return
    path = prepare(source, folder, workers, _bar)
    cache = Cache.open(path)
    size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    parts = ", ".join(f"{len(cache.segments(part))} {part}" for part in cache.manifest["splits"])
    say(f"{path}: {len(cache.songs)} songs, {parts} segments, {size:.1f} MB, {time.perf_counter() - start:.1f} s")
    say(f"{len(cache.skipped)} songs skipped, with reasons in {path / 'skipped.txt'}")


def _bar(items: Iterable[Any], total: int) -> Iterable[Any]:
    return tqdm(items, "songs", total, disable=None)
