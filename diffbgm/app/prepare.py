"""Prepare POP909 for training: read, quantise, pair with conditions, cache, and report what was skipped.

    diffbgm prepare data.root=POP909 [data.cache=.cache/data data.split=seeded data.workers=2]

`train.py` does the same on its own when the cache is missing. Any other source: data=midi_folder data.root=FOLDER.
"""

import time

from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.datasets.cache import Cache
from diffbgm.datasets.prepare import prepare
from diffbgm.training.settings import check_data


def prepare_data(config: DictConfig) -> None:
    """Prepare `config.data` and print what came of it."""
    start = time.perf_counter()
    check_data(config.data, "data")
    source = instantiate(config.data.source)
    path = prepare(
        source, config.data.cache, config.data.workers, lambda items, total: tqdm(items, "songs", total, disable=None)
    )
    cache = Cache.open(path)
    size = sum(file.stat().st_size for file in path.iterdir()) / 1e6
    parts = ", ".join(f"{len(cache.segments(part))} {part}" for part in cache.manifest["splits"])
    print(f"{path}: {len(cache.songs)} songs, {parts} segments, {size:.1f} MB, {time.perf_counter() - start:.1f} s")
    print(f"{len(cache.skipped)} songs skipped, with reasons in {path / 'skipped.txt'}")
