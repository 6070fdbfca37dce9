"""Which part of the work this process does: one in N of the videos or songs, by a hash of the name."""

import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from diffbgm.errors import InputError
from diffbgm.fields import check, field


class Named(Protocol):
    """Something with a name: a video or a song."""

    @property
    def name(self) -> str: ...


N = TypeVar("N", bound=Named)


@dataclass(frozen=True)
class ShardSettings:
    """Which part of the work a command does."""

    shards: int | None = field(None, low=1, high=10**6, help="parts the work is split into; null: as the launcher says")
    shard: int | None = field(None, low=0, high=10**6, help="the part that this process does")


def own_shard(shards: int | None, shard: int | None, environment: Mapping[str, str] = os.environ) -> tuple[int, int]:
    """(number of this shard, number of shards): as given, else from a launcher's environment, else (0, 1).

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


def shard_of(name: str, count: int) -> int:
    """Which of `count` shards has the item of this name."""
    return int.from_bytes(hashlib.sha256(os.fsencode(name)).digest()[:8]) % count


def share(items: Sequence[N], index: int, count: int) -> list[N]:
    """The items of one shard; every item is in exactly one shard."""
    return [item for item in items if shard_of(item.name, count) == index]


def configured_shard(config: Mapping[str, Any]) -> tuple[int, int]:
    """`own_shard` as a config's `shards` and `shard` say. InputError for values that make no sense."""
    own = check(ShardSettings, {"shards": config["shards"], "shard": config["shard"]})
    return own_shard(own.shards, own.shard)
