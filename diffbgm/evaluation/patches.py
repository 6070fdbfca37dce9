"""P@K as the release computes it: single 3-second rows of an audio tagger over whole songs.

The release renders each generated and each real song to audio, embeds every 3 s of it (one row), pairs row i of a song
with row i of the song of the same name, and ranks each generated row against 60 real ones: its own and 59 drawn from
the first 500. It draws once, unseeded; here the draws are seeded and give an interval. No video is involved. Chance for
P@20 is 33.3 %.

Shape legend: T rows of a song, D embedding width, Q paired rows of all songs, P rows of the pool (500 at most).
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from diffbgm.datasets.unpickle import load_npy
from diffbgm.errors import InputError
from diffbgm.evaluation import musicnn
from diffbgm.evaluation.retrieval import CANDIDATES, POOL, Estimate, Retrieval, drawn_ranks
from diffbgm.music.audio import render

PATCH_RANKS = (1, 2, 3, 5, 10, 20)
MOST_DRAWN = 20_000_000  # upper limit of draws * Q, which bounds memory and time for large collections
TIES = 12  # decimals at which similarities are compared: equal ones are ties
Songs = Mapping[str, np.ndarray]  # rows (T, D) by song


def song_rows(network: musicnn.MusiCNN, midi: str | Path, soundfont: str | Path | None = None) -> np.ndarray:
    """The rows (T, D) of a MIDI file, rendered at its own tempo with its own instruments."""
    audio = render(midi, soundfont=soundfont, sample_rate=musicnn.SAMPLE_RATE).mean(axis=1)
    return musicnn.rows(network, audio)


def read_arrays(folder: str | Path) -> dict[str, np.ndarray]:
    """Read stored rows, one `NAME.npy` (T, D) per song, as the release provides for its ground truth and its output.

    Raises InputError if the folder holds none, or if one is not a 2-d array of finite numbers.
    """
    paths = sorted(Path(folder).glob("*.npy"))
    if not paths:
        raise InputError(f"{folder} holds no NAME.npy; give a folder of stored tagger features")
    songs: dict[str, np.ndarray] = {}
    for path in paths:
        try:
            rows = load_npy(path)
            if rows.dtype.kind not in "fiu":
                raise InputError(f"{path} holds {rows.dtype}")
        except InputError as error:
            raise InputError(f"{path} is not an array of numbers; fetch it again") from error
        if rows.ndim != 2 or 0 in rows.shape or not np.isfinite(rows).all():
            raise InputError(f"{path} holds {rows.dtype} of shape {rows.shape}; expected finite numbers (rows, width)")
        songs[path.stem] = rows.astype(np.float64)
    return songs


def paired(generated: Songs, reference: Songs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The rows of songs that both sets have, joined in the order of `reference`: (Q, D), (Q, D) and song index (Q,).

    The longer of a pair is cut to the shorter. Raises InputError if no name is common or the widths differ.
    """
    names = [name for name in reference if name in generated]
    if not names:
        shown = "; ".join(f"{', '.join(sorted(songs)[:3])}, ..." for songs in (generated, reference))
        raise InputError(f"generated and reference songs have no name in common ({shown}); give pairs the same name")
    widths = {songs[name].shape[1] for songs in (generated, reference) for name in names}
    if len(widths) > 1:
        found = " and ".join(map(str, sorted(widths)))
        raise InputError(f"the rows have widths {found}; generated and reference need the same kind of features")
    lengths = [min(len(generated[name]), len(reference[name])) for name in names]
    ours, theirs = (
        np.concatenate([songs[name][:length] for name, length in zip(names, lengths, strict=True)])
        for songs in (generated, reference)
    )
    return ours, theirs, np.repeat(np.arange(len(names)), lengths)


def patch_retrieval(
    generated: Songs,
    reference: Songs,
    seed: int,
    repeated: bool = False,
    candidates: int = CANDIDATES,
    pool: int = POOL,
    draws: int = 1000,
) -> Retrieval:
    """P@K in percent and mean rank over all rows, with their chance levels.

    The interval is a bootstrap over draws of candidates and over songs, because rows of one song are similar. With
    `repeated`, every row of a song equals its first one, as in the `penultimate` of the original tagger's extractor.
    Among rows of equal similarity the query's own row ranks first unless it was also drawn by chance, as in the
    release. Raises InputError like `paired`, and for a single row.
    """
    if repeated:
        generated, reference = _first_rows(generated), _first_rows(reference)
    ours, theirs, song = paired(generated, reference)
    if len(ours) < 2:
        raise InputError("the songs give a single row of 3 s; retrieval needs at least two")
    ours, theirs = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12) for rows in (ours, theirs))
    own, others = np.arange(len(ours)), theirs[:pool]
    mine = np.einsum("qd,qd->q", ours, theirs).round(TIES)
    rng = np.random.default_rng(seed)
    draws = max(20, min(draws, MOST_DRAWN // len(ours)))
    by_itself = (own < len(others)) & (rng.random(len(ours)) < candidates / len(others))
    ranks, among = drawn_ranks(mine, (ours @ others.T).round(TIES), own, rng, candidates, draws, own_first=~by_itself)
    return _summary(ranks, among, song, rng)


def _first_rows(songs: Songs) -> dict[str, np.ndarray]:
    return {name: np.repeat(rows[:1], len(rows), axis=0) for name, rows in songs.items()}


def _summary(ranks: np.ndarray, among: np.ndarray, song: np.ndarray, rng: np.random.Generator) -> Retrieval:
    """Means of ranks (draws, Q) with intervals over draws and songs; among (Q,) candidates, song (Q,) ascending."""
    starts = np.flatnonzero(np.diff(song, prepend=-1))
    sizes = np.diff(np.append(starts, len(song)))
    chosen = rng.integers(0, len(starts), (len(ranks), len(starts)))

    def estimate(values: np.ndarray, chance: np.ndarray, scale: float) -> Estimate:
        sums = np.add.reduceat(values.astype(np.float64), starts, axis=1)
        means = np.take_along_axis(sums, chosen, axis=1).sum(axis=1) / sizes[chosen].sum(axis=1)
        low, high = np.quantile(means, (0.025, 0.975))
        return Estimate(scale * float(values.mean()), scale * float(low), scale * float(high), scale * chance.mean())

    precision = {k: estimate(ranks <= k, np.minimum(k / among, 1.0), 100.0) for k in PATCH_RANKS}
    mean_rank = estimate(ranks, (among + 1) / 2, 1.0)
    return Retrieval(precision, mean_rank, ranks.shape[1], float(among.mean()))
