"""The paper's ablations: ten trainings that differ in one setting each, laid out as its Tables S1 and S2.

    make reproduce BUDGET=smoke|small|full          both of these:
    python scripts/reproduce.py -m budget=NAME      train every variant and compose with it, a Hydra job each
    python scripts/reproduce.py budget=NAME         evaluate what was composed and write the tables

What was done before is not done again: the same command goes on where it was stopped. `-m variant=window_4,window_16`
takes these alone, `hydra/launcher=joblib` or `submitit_slurm` runs several at a time (docs/evaluation.md).
"""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from diffbgm.app.cli import configure, run
from diffbgm.app.evaluate import evaluate
from diffbgm.app.songs import sample_songs
from diffbgm.app.train import train
from diffbgm.errors import InputError
from diffbgm.extras import lacking
from diffbgm.fields import check_among, field
from diffbgm.models.checkpoint import load_checkpoint

TABLES = {"s1": "feature_selector", "s2": "window_size"}  # folder of the results, option of `table`
OTHER_NAMES = {"window_8": "selector_language_video", "dynamic": "window_dynamic"}  # of a table's rows, as variants
DATA = {
    "bgm909": "BGM909 with the released features of its videos",
    "pop909": "POP909, self-paired (it has no videos: what stands for them is computed from the music)",
    "generated": "songs drawn from a seed, because neither BGM909 nor POP909 was found; nothing in it is real music",
}
UNLIKE = "This is not BGM909: compare the measured rows with one another, never with the paper's absolute numbers."


@dataclass(frozen=True)
class BudgetSettings:
    """One file of configs/budget."""

    name: str = field(length=(1, 64))
    data: tuple[str, ...] = field(choices=tuple(DATA), length=(1, len(DATA)), help="the first whose files are here")
    experiment: str = field(length=(1, 200), help="each variant changes this experiment")
    train: tuple[str, ...] = field(help="further settings of train.py")
    sample: tuple[str, ...] = field(help="settings of diffbgm songs")
    weights: str = field(choices=("last", "best"), help="the checkpoint to sample from")
    evaluate: tuple[str, ...] = field(help="settings of evaluate.py")
    remark: str = field(length=(1, 1000), help="what the tables say of the budget")
    otherwise: str | None = field(
        None, length=(1, 200), help="the experiment on other data than BGM909; null: the same"
    )


@dataclass(frozen=True)
class ReproduceSettings:
    """The settings of configs/reproduce.yaml."""

    budget: BudgetSettings
    variant: str | None = field(length=(1, 64), help="what a job trains, an option of experiment; null: the tables")
    out: str = field(length=(1, 4096), help="DATA/{runs,music}/VARIANT, DATA/s1 and DATA/s2")


def reproduce(cfg: DictConfig) -> int:
    """One variant, or, where none is named, the tables of all that are there."""
    own = check_among(ReproduceSettings, cfg)
    data = find_data(own.budget.data)
    folder = Path(own.out) / data
    return (
        write_tables(own.budget, data, folder) if own.variant is None else follow(own.budget, own.variant, data, folder)
    )


def find_data(choices: Sequence[str]) -> str:
    """The first of these options of `data` whose files are here. InputError where there is none."""
    reasons = []
    for name in choices:
        try:
            instantiate(configure("train", [f"data={name}"]).data.source).songs()
            return name
        except InputError as error:
            reasons.append(f"{name}: {error}")
    raise InputError(f"no data to train on; set BGM909_DIR or POP909_DIR, or take budget=smoke ({'; '.join(reasons)})")


def follow(budget: BudgetSettings, variant: str, data: str, folder: Path) -> int:
    """Train a variant, or go on training it, and compose for the held-out songs; the exit code."""
    print(f"{variant} on {data}, budget {budget.name}", flush=True)
    if reason := lacking("eval"):
        print(f"warning: the columns of P@K, SI and the paper's protocol will be empty: {reason}", file=sys.stderr)
    trained, sampled = training(budget, variant, data, folder), sampling(budget, variant, data, folder)
    return train(trained) or sample_songs(sampled)


def training(budget: BudgetSettings, variant: str, data: str, folder: Path) -> DictConfig:
    """What train.py is given: the budget's settings, and of the variant the one that is ablated."""
    base = budget.experiment if data == "bgm909" else budget.otherwise or budget.experiment
    experiments = f"experiment=[{base},{variant}]"
    return configure("train", [experiments, f"data={data}", f"out={folder}/runs/{variant}", *budget.train])


def sampling(budget: BudgetSettings, variant: str, data: str, folder: Path) -> DictConfig:
    """What `diffbgm songs` is given: the same songs and seeds for every variant."""
    files = [f"checkpoint={checkpoint(folder, variant, budget.weights)}", f"out={folder}/music/{variant}"]
    return configure("sample_songs", [f"data={data}", *files, *budget.sample])


def checkpoint(folder: Path, variant: str, which: str) -> Path:
    """Where a variant's weights lie: the "last" ones or the "best"."""
    return folder / "runs" / variant / "checkpoints" / f"{which}.safetensors"


def write_tables(budget: BudgetSettings, data: str, folder: Path) -> int:
    """Both tables from the music that is there; 1 where a song could not be evaluated. InputError where none is."""
    music = {path.parent.name: path for path in sorted(folder.glob("music/*/generated")) if any(path.glob("*.mid"))}
    if not music:
        raise InputError(f"there is no music in {folder}; first: python scripts/reproduce.py -m budget={budget.name}")
    first = next(iter(music))
    trained = load_checkpoint(checkpoint(folder, first, budget.weights)).config.training
    about = remarks(budget, data, trained, len(list(music[first].glob("*.mid"))))
    codes = []
    for name, table in TABLES.items():
        files = [f"out={folder}/{name}", f"generated={folder}/music", f"reference={folder}/music/{first}/real"]
        cfg = configure("evaluate", [f"table={table}", "shards=1", *files, *budget.evaluate])
        variants = {row.key: variant_of(row.key, name) for row in cfg.table.rows}
        cfg.generated = {key: str(music[variant]) for key, variant in variants.items() if variant in music}
        cfg.table.remarks = [*about, *cfg.table.remarks]
        codes.append(evaluate(cfg))
    print("tables:", *(f"{folder}/{name}/table.md" for name in TABLES))
    return max(codes)


def variant_of(key: str, name: str) -> str:
    """The variant whose run belongs to a row of a table."""
    return OTHER_NAMES.get(key, f"selector_{key}" if name == "s1" else key)


def remarks(budget: BudgetSettings, data: str, trained: dict, songs: int) -> list[str]:
    """What a reader must know of the measured rows."""
    return [
        f"This run: {DATA[data]}. Budget {budget.name}: {trained['step']} steps of {trained['batch_size']} segments, "
        f"then music for {songs} held-out songs ({' '.join(budget.sample)}). Seed, noise, order and songs are the same "
        "in all rows; k = 8 and Language+Video are one run. The reference is these songs themselves, the same bars.",
        budget.remark,
        *([] if data == "bgm909" else [UNLIKE]),
    ]


if __name__ == "__main__":
    sys.exit(run(reproduce, "reproduce"))
