"""Fit the plan of chords: count POP909's annotated progressions, in their keys.

    python scripts/fit_harmony.py data.root=POP909 [out=diffbgm/music/progressions.npz]

Songs of the training split with an annotated key only. Prints what the model says in a few lines.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from hydra.utils import instantiate
from omegaconf import DictConfig
from tqdm import tqdm

from diffbgm.app.cli import run
from diffbgm.datasets.pop909 import Pop909, read_beats
from diffbgm.errors import InputError
from diffbgm.fields import check_among, field
from diffbgm.files import atomic
from diffbgm.music.harmony import Chord
from diffbgm.music.key import Key
from diffbgm.music.progression import HALVES, LOOPS, Progressions
from diffbgm.training.settings import check_data

VOCABULARY = 40  # chords, as degree and quality; a rarer one counts as its triad, or not at all
GRID = HALVES * max(LOOPS)  # half bars


@dataclass(frozen=True)
class FitSettings:
    """The settings of configs/fit_harmony.yaml outside its groups."""

    out: str = field(length=(1, 4096), help="file for the counts")


@dataclass(frozen=True)
class Progression:
    """The chord of every half bar of a song from its first one on, as (degree, quality); None where there is none."""

    minor: int
    bpm: float
    chords: list[tuple[int, str] | None]


def fit_harmony(cfg: DictConfig) -> int:
    """Read, count, write."""
    check_among(FitSettings, cfg)
    check_data(cfg.data, "data")
    source = instantiate(cfg.data.source)
    if not isinstance(source, Pop909):
        raise InputError(f"{source.name} has no annotated chords and keys; give data=pop909")
    files, excluded = source.songs(), source.excluded()
    songs = [song for song in files if song not in excluded]
    read = []
    for song in tqdm(source.split(songs)["train"], "songs", disable=None):
        try:
            read.append(progression(files[song]))
        except InputError as error:
            print(f"left out: {error}", file=sys.stderr)
    found = counted([song for song in read if song is not None])
    with atomic(cfg.out) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **vars(found))
    describe(found, len(read))
    return 0


def progression(files: Sequence[Path]) -> Progression | None:
    """A song's chords in its key, from its files (MIDI, beats, chords, key); None without a key or chords."""
    _, beat_file, chord_file, key_file = files
    times, downbeats = read_beats(beat_file)
    spans = [line.split() for line in chord_file.read_text().splitlines() if line.strip()]
    keys = [line.split()[2] for line in key_file.read_text().splitlines() if line.strip()]
    key = Key.parse(keys[0].replace(":", " ")) if keys and keys[0] != "N" else None
    if key is None:
        return None
    starts, names = np.array([float(span[0]) for span in spans]), [span[2] for span in spans]
    half = np.sort(np.concatenate([downbeats, downbeats + 2]))
    half = half[half < len(times)]
    at = np.searchsorted(starts, times[half] + 0.25 * np.median(np.diff(times)), side="right") - 1
    chords = [None if row < 0 else relative(names[row], key) for row in at]
    first = next((index for index in range(0, len(chords), HALVES) if chords[index] is not None), None)
    if first is None:
        return None
    return Progression(int(key.minor), 60 / float(np.median(np.diff(times))), chords[first:])


def relative(name: str, key: Key) -> tuple[int, str] | None:
    """A label of POP909 as degree of the key and quality; its bass is left out."""
    if name == "N":
        return None
    chord = Chord.parse(name.partition("/")[0])
    return (chord.root - key.tonic) % 12, chord.quality


def counted(songs: list[Progression]) -> Progressions:
    """All counts."""
    tally = Counter(chord for song in songs for chord in song.chords if chord is not None)
    kept = [(0, ""), (0, "m")]
    kept += [chord for chord, _ in tally.most_common() if chord not in kept][: VOCABULARY - len(kept)]
    number = {chord: index for index, chord in enumerate(kept)}
    three = np.zeros((2, *(len(kept),) * 3), np.uint16)
    first, last, close = (np.zeros((2, len(kept)), np.uint16) for _ in range(3))
    paces = np.quantile([song.bpm for song in songs], (1 / 3, 2 / 3))
    changed, seen, loops = np.zeros((3, GRID)), np.zeros((3, GRID)), np.zeros(len(LOOPS))
    for song in songs:
        chords = [
            None if c is None else number.get(c, number.get((c[0], "m" if c[1][:1] == "m" else "")))
            for c in song.chords
        ]
        pace = np.searchsorted(paces, song.bpm)
        for half, (before, now) in enumerate(pairwise(chords), 1):
            if before is not None and now is not None:
                changed[pace, half % GRID] += before != now
                seen[pace, half % GRID] += 1
        moves = [c for i, c in enumerate(chords) if c is not None and (i == 0 or c != chords[i - 1])]
        for triple in zip(moves, moves[1:], moves[2:], strict=False):
            three[song.minor, *triple] += len({*triple[:2]}) == len({*triple[1:]}) == 2
        for start in range(0, len(chords) - GRID + 1, GRID):
            for place, counts in ((start, first), (start + GRID - 1, last)):
                if chords[place] is not None:
                    counts[song.minor, chords[place]] += 1
        if len(moves) > 1 and moves[-1] == song.minor:  # the two tonics are the first of the vocabulary
            close[song.minor, moves[-2]] += 1
        loops[loop_of(chords)] += 1
    degree, quality = np.array([c[0] for c in kept]), np.array([c[1] for c in kept])
    changes = np.divide(changed, seen, out=np.zeros_like(changed), where=seen > 0)
    return Progressions(degree, quality, three, first, last, close, loops, changes, paces)


def loop_of(chords: list[int | None]) -> int:
    """Which of `LOOPS` a song repeats itself after most often; of equals the shortest."""
    again = [
        np.mean([a == b for a, b in zip(chords, chords[HALVES * bars :], strict=False)] or [0.0]) for bars in LOOPS
    ]
    return int(np.argmax(np.array(again) - 0.02 * np.arange(len(LOOPS))))


def describe(model: Progressions, songs: int) -> None:
    """Print."""
    print(
        f"{songs} songs, {int(model.three.sum())} triples; "
        f"slow below {model.paces[0]:.0f}, fast from {model.paces[1]:.0f} BPM"
    )
    print("loops of", dict(zip(LOOPS, model.loops.astype(int).tolist(), strict=True)), "bars")
    print("changes by half bar, slow, middling, fast:", model.changes[:, :4].round(2).tolist())
    for minor, mode in enumerate(("major", "minor")):
        if not model.first[minor].any():
            continue
        key = Key(9, True) if minor else Key(0, False)
        for name, counts in (("first", model.first), ("last", model.last), ("close", model.close)):
            order = np.argsort(-counts[minor].astype(int))[:5]
            shown = [f"{model._chord(int(k), key)} {counts[minor, k]}" for k in order]
            print(f"{mode}, {name}: {', '.join(shown)}")
        for seed in range(3):
            plan = model.plan(key, [("A", 8), ("B", 8)], 0.5, np.random.default_rng(seed))
            print(f"{mode}, seed {seed}:", " | ".join(" ".join(map(str, plan[k : k + 2])) for k in range(0, 32, 2)))


if __name__ == "__main__":
    sys.exit(run(fit_harmony, "fit_harmony"))
