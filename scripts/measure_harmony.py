"""Are the chords that are asked for the ones that are heard, and the key too?

    python scripts/measure_harmony.py data.root=POP909 [checkpoint=FILE songs=8 bars=8 seed=0 compose.guidance=1 ...]

For the conditions of held-out songs one piece each, composed over chords that are planned in a key (every tonic, major
and minor in turn), over C G Am F, and freely. Prints, for each, the share of bars whose triad is the one asked (of the
free pieces: by chance, the planned ones) and the share of pieces that a key finder puts into the key, then JSON.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace

from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.songs import PieceSettings, build_composer, composed, prepared
from diffbgm.datasets.pieces import pieces
from diffbgm.evaluation.report import mean_of, mean_text
from diffbgm.fields import check_among, field
from diffbgm.generation.composer import Composer
from diffbgm.generation.harmony import planned, wished
from diffbgm.generation.loading import open_checkpoint
from diffbgm.generation.request import Request
from diffbgm.music.harmony import parse_chords
from diffbgm.music.key import Key, estimate_key
from diffbgm.training.settings import check_data

WISHED = "C G Am F"


@dataclass(frozen=True)
class HarmonySettings(PieceSettings):
    """The settings of configs/measure_harmony.yaml outside its groups."""

    out: None = field(help="nothing is written")


def measure_harmony(cfg: DictConfig) -> int:
    """Compose, listen, print."""
    check_among(HarmonySettings, cfg)
    check_data(cfg.data, "data")
    composer = build_composer(cfg, open_checkpoint(cfg.checkpoint))
    chosen = pieces(prepared(cfg.data), cfg.split, cfg.bars, cfg.songs)
    found: dict[str, list[float | None]] = {}
    for index, piece in enumerate(tqdm(chosen, "songs", disable=None)):
        request = Request(piece.features, (cfg.seed, index))
        for name, value in listened(composer, request, Key(5 * index % 12, bool(index % 2))):
            found.setdefault(name, []).append(value)
    rows = {name: mean_of(values) for name, values in found.items()}
    for name, row in rows.items():
        print(f"{name:45s} {mean_text(row, 2)}  n {row['n']}")
    print(json.dumps({"measure": "harmony", "songs": len(chosen), "bars": cfg.bars, "seed": cfg.seed, "rows": rows}))
    return 0


def listened(composer: Composer, request: Request, key: Key) -> Iterator[tuple[str, float | None]]:
    """(name, share) of each measure for one piece."""
    beats = len(request.features.visual)
    plan = planned(request.features, request.seed, composer.sections(request), key)
    four = wished(parse_chords(WISHED), beats)
    in_key, over_four, free = (composed(composer, replace(request, harmony=chords)) for chords in (plan, four, None))
    yield "planned chords, asked and heard", plan.heard(in_key)
    yield f"{WISHED}, asked and heard", four.heard(over_four)
    yield "planned chords, heard though not asked", plan.heard(free)
    yield f"{WISHED}, heard though not asked", four.heard(free)
    yield "the key asked for", float(estimate_key(in_key) == key)


if __name__ == "__main__":
    sys.exit(run(measure_harmony, "measure_harmony"))
