"""Which part of a folder this process does: every N-th video by a hash of its name."""

import os
from collections.abc import Mapping, Sequence
from typing import Protocol, TypeVar

from diffbgm.errors import InputError


class Sharded(Protocol):
    """Something that knows which of `count` shards it belongs to."""

    def shard(self, count: int) -> int: ...


S = TypeVar("S", bound=Sharded)


def own_shard(shards: int | None, shard: int | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(number of this shard, number of shards): as given, else what a launcher's environment says, else (0, 1).

    Launchers: torchrun and accelerate (RANK, WORLD_SIZE), SLURM arrays, and SLURM's srun. Each takes the next shard.
    """
    if shards is None and shard is not None:
        raise InputError(f"shard={shard} needs shards=, the number of shards; for example shards=64 shard={shard}")
    if shards is not None:
        if shard is None and shards > 1:
            raise InputError(f"shards={shards} needs shard=, a number from 0 to {shards - 1}")
        if not 0 <= (shard or 0) < shards:
            raise InputError(f"shard={shard} is not one of shards={shards}; give a number from 0 to {shards - 1}")
        return shard or 0, shards
    pairs = [("RANK", "WORLD_SIZE", ""), ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_MIN")]
    if "SLURM_STEP_ID" in environment:  # in a batch script outside srun the numbers of tasks speak of others
        pairs.append(("SLURM_PROCID", "SLURM_NTASKS", ""))
    for rank, size, first in pairs:
        try:
            index = int(environment[rank]) - int(environment.get(first, "0"))
            count = int(environment[size])
        except (KeyError, ValueError):
            continue
        if 0 <= index < count:
            return index, count
    return 0, 1


def share(items: Sequence[S], index: int, count: int) -> list[S]:
    """The items of one shard; those of all shards together are all of them, once each."""
    return [item for item in items if item.shard(count) == index]
