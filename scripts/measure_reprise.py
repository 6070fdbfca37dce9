"""Do sections of one letter come back as literally as they are asked to?

    python scripts/measure_reprise.py data.root=POP909 [checkpoint=FILE songs=6 form=AABA "reprises=[0.3,0.6,0.9]" ...]

For the conditions of held-out songs one piece for each reprise. Prints the share of onsets (pitch and place, Jaccard)
that sections have in common with the first one of their letter, and with the one before where that has another letter;
beside it that of neighbouring eight bars of the songs themselves. Then JSON. A network without reference_condition is
composed with once, as it repeats chords and groove only.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.app.songs import PieceSettings, build_composer, composed, prepared
from diffbgm.datasets.hints import likeness
from diffbgm.datasets.pieces import pieces
from diffbgm.errors import InputError
from diffbgm.evaluation.report import Summary, mean_of
from diffbgm.fields import check_among, field
from diffbgm.generation.form import AUTO, FREE, Section, check_form, sections
from diffbgm.generation.loading import open_checkpoint
from diffbgm.generation.request import Request
from diffbgm.music.notes import BEATS_PER_BAR, BEATS_PER_SEGMENT, STEPS_PER_BEAT, Notes
from diffbgm.music.pianoroll import encode
from diffbgm.training.settings import check_data


@dataclass(frozen=True)
class RepriseSettings(PieceSettings):
    """The settings of configs/measure_reprise.yaml outside its groups. `bars` is the length of the form."""

    out: None = field(help="nothing is written")
    songs: int = field(low=1, high=10**6, help="at most this many, spread evenly over those that are long enough")
    bars: None = field(help="given by the form")
    form: str = field(length=(1, 64), help="one letter per eight bars, such as AABA")
    reprises: tuple[float, ...] = field(low=0, high=1, length=(1, 100), help="how literally sections are to repeat")

    def __post_init__(self) -> None:
        check_form(self.form)
        if self.form in (AUTO, FREE):
            raise InputError(f"form={self.form} names no sections to compare; give letters, such as AABA")


def measure_reprise(cfg: DictConfig) -> int:
    """Compose, compare, print."""
    check_among(RepriseSettings, cfg)
    check_data(cfg.data, "data")
    checkpoint = open_checkpoint(cfg.checkpoint)
    build_composer(cfg, checkpoint)  # raises InputError early for settings that do not fit
    bars = BEATS_PER_SEGMENT // BEATS_PER_BAR * len(cfg.form)
    chosen = pieces(prepared(cfg.data), cfg.split, bars, cfg.songs, whole=True)
    rows = {"the songs themselves": compared([(p.notes, sections("AB", len(p.features.valid))) for p in chosen])}
    for reprise in cfg.reprises if checkpoint.network.reference_condition else [None]:
        composer = build_composer(cfg, checkpoint, form=cfg.form, reprise=reprise)
        made = []
        for index, piece in enumerate(tqdm(chosen, f"reprise {reprise}", disable=None)):
            request = Request(piece.features, (cfg.seed, index))
            made.append((composed(composer, request), composer.sections(request)))
        rows[f"reprise {reprise}"] = compared(made)
    for name, row in rows.items():
        shown = (f"{kind} {cell['mean']:.2f} (n {cell['n']})" for kind, cell in row.items())
        print(f"{name:22s} {', '.join(shown)}")
    print(json.dumps({"measure": "reprise", "form": cfg.form, "songs": len(chosen), "seed": cfg.seed, "rows": rows}))
    return 0


def compared(music: Sequence[tuple[Notes, Sequence[Section]]]) -> dict[str, Summary]:
    """Shares of onsets in common: of sections with the first of their letter, and with a neighbour of another."""
    found: dict[str, list[float]] = {"same letter": [], "other letter": []}
    for notes, parts in music:
        first: dict[str, Section] = {}
        for before, part in zip([None, *parts], parts, strict=False):
            if part.letter in first:
                found["same letter"].append(alike(notes, first[part.letter], part))
            if before is not None and before.letter != part.letter:
                found["other letter"].append(alike(notes, before, part))
            first.setdefault(part.letter, part)
    return {kind: mean_of(values) for kind, values in found.items() if values}


def alike(notes: Notes, one: Section, other: Section) -> float:
    """The share of onsets in common of two sections, as far as the shorter goes."""
    steps = min(one.beats, other.beats) * STEPS_PER_BEAT
    starts = (part.beat * STEPS_PER_BEAT for part in (one, other))
    return likeness(*(encode(notes.window(start, start + steps), steps) for start in starts))


if __name__ == "__main__":
    sys.exit(run(measure_reprise, "measure_reprise"))
