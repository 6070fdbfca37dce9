"""P@K of segments: is a generated 8-bar segment closer to its own reference than to other music?

Each generated segment ranks reference segments by the cosine similarity of their musicnn embeddings. The metric
compares music with music; no video is involved. The paper's P@K is over single 3-second rows instead: `patches.py`.

* drawn: 60 candidates, the segment's own reference and 59 drawn from the first 500, as the release draws its rows. The
  draws are seeded and give an interval.
* strict: all reference segments are candidates except the other segments of the same song.

Shape legend: Q generated segments (queries), R reference segments, D embedding width.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation import musicnn
from diffbgm.music.audio import render
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import decode, encode

RANKS = (1, 5, 10, 20)
CANDIDATES, POOL = 60, 500  # as in the release


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval and its chance level."""

    value: float
    low: float
    high: float
    chance: float


@dataclass(frozen=True)
class Retrieval:
    """Precision at K in percent, mean rank (1 is best), and the numbers of queries and candidates."""

    precision: Mapping[int, Estimate]
    mean_rank: Estimate
    queries: int
    candidates: float  # mean number of candidates per query


def segments(notes: Notes) -> dict[int, Notes]:
    """The full 8-bar segments of a piece that hold notes, by index from step 0; a shorter piece counts as one segment.

    Every segment is encoded to a piano roll and back, so that velocities and overlaps do not reveal generated music.
    """
    count = max(1, notes.end // STEPS_PER_SEGMENT)
    parts = {i: notes.window(i * STEPS_PER_SEGMENT, (i + 1) * STEPS_PER_SEGMENT) for i in range(count)}
    return {i: decode(encode(part, STEPS_PER_SEGMENT)) for i, part in parts.items() if len(part)}


@dataclass(frozen=True)
class Segment:
    """An 8-bar segment of a piece."""

    song: str
    index: int
    notes: Notes


def segments_of(pieces: Iterable[tuple[str, Notes]]) -> list[Segment]:
    """All segments of pieces (name, notes), in order."""
    return [Segment(name, index, part) for name, notes in pieces for index, part in segments(notes).items()]


def retrieve(
    network: musicnn.MusiCNN,
    generated: Sequence[Segment],
    reference: Sequence[Segment],
    seed: int,
    soundfont: str | Path | None = None,
    progress: Callable[[Iterable[Segment], int, str], Iterable[Segment]] = lambda items, total, name: items,
) -> tuple[Retrieval, Retrieval | None]:
    """Both protocols, (drawn, strict). A generated segment is paired with the reference of the same song and index.

    The candidates are the first 500 reference segments and all segments of the paired songs. The strict protocol is
    None if they are all of one song. Raises InputError if no segment has a partner or there is only one candidate.
    """
    partners = {(segment.song, segment.index) for segment in reference}
    queries = [segment for segment in generated if (segment.song, segment.index) in partners]
    songs = {segment.song for segment in queries}
    candidates = [segment for i, segment in enumerate(reference) if i < POOL or segment.song in songs]
    if not queries or len(candidates) < 2:
        raise InputError(
            f"{len(queries)} of {len(generated)} generated segments have a partner among {len(candidates)} reference "
            "segments; retrieval needs a partner of the same song and index, and a second candidate"
        )
    column = {(segment.song, segment.index): i for i, segment in enumerate(candidates)}
    own = np.array([column[segment.song, segment.index] for segment in queries])
    both = progress([*queries, *candidates], len(queries) + len(candidates), "segments")
    vectors = np.stack([embed_segment(network, segment.notes, soundfont) for segment in both])
    similarity = vectors[: len(queries)] @ vectors[len(queries) :].T
    song = np.array([segment.song for segment in candidates])
    loose = drawn(similarity, own, np.random.default_rng(seed))
    exact = strict(similarity, own, song, np.random.default_rng(seed)) if len(set(song)) > 1 else None
    return loose, exact


def embed_segment(network: musicnn.MusiCNN, notes: Notes, soundfont: str | Path | None = None) -> np.ndarray:
    """The embedding (D,) of a segment played on the piano at 120 BPM, normalised to unit length."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "segment.mid"
        write_midi(notes, path)
        audio = render(path, soundfont=soundfont, sample_rate=musicnn.SAMPLE_RATE).mean(axis=1)
    vector = musicnn.embed(network, audio)
    return vector / np.linalg.norm(vector)


def drawn(
    similarity: np.ndarray,
    own: np.ndarray,
    rng: np.random.Generator,
    candidates: int = CANDIDATES,
    pool: int = POOL,
    draws: int = 1000,
) -> Retrieval:
    """The protocol with drawn candidates, on similarity (Q, R); own (Q,) is the column of each query's own reference.

    The interval is a bootstrap over draws of candidates and queries. Ties are broken at random. Needs R >= 2.
    """
    mine = similarity[np.arange(len(similarity)), own]
    ranks, among = drawn_ranks(mine, similarity[:, :pool], own, rng, candidates, draws)
    resampled = np.take_along_axis(ranks, rng.integers(0, len(mine), ranks.shape), axis=1)
    return _summary(ranks, resampled, among)


def drawn_ranks(
    mine: np.ndarray,
    others: np.ndarray,
    own: np.ndarray,
    rng: np.random.Generator,
    candidates: int,
    draws: int,
    own_first: np.ndarray | bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Ranks (draws, Q) of each query's own reference, and the number of candidates (Q,).

    `mine` (Q,) is the similarity to the own reference and `others` (Q, P) that to the pool, in which the own reference
    is column own (Q,) (own >= P: not in the pool). A query is compared with its own reference and `candidates` - 1
    others from the pool. How many of those are more similar is hypergeometric, so a draw needs one number per query.
    Ties are broken at random, or in favour of the own reference where `own_first` (Q,) is true.
    """
    not_own = own[:, None] != np.arange(others.shape[1])
    better = ((others > mine[:, None]) & not_own).sum(axis=1)
    equal = np.where(own_first, 0, ((others == mine[:, None]) & not_own).sum(axis=1))
    available = not_own.sum(axis=1)
    met = np.minimum(candidates - 1, available)
    ranks = np.empty((draws, len(mine)))
    for draw in range(draws):
        above = better + rng.integers(0, equal + 1)
        ranks[draw] = 1 + rng.hypergeometric(above, available - above, met)
    return ranks, met + 1.0


def strict(
    similarity: np.ndarray, own: np.ndarray, song: np.ndarray, rng: np.random.Generator, draws: int = 1000
) -> Retrieval:
    """All reference segments as candidates except others of the same song; song (R,) is the song of each.

    `similarity` (Q, R) and own (Q,) are as in `drawn`. The interval is a bootstrap over queries; ties count as half.
    Needs references of at least two songs.
    """
    queries = len(similarity)
    mine = similarity[np.arange(queries), own]
    foreign = song[None] != song[own][:, None]
    better = ((similarity > mine[:, None]) & foreign).sum(axis=1)
    equal = ((similarity == mine[:, None]) & foreign).sum(axis=1)
    ranks = (1 + better + equal / 2)[None]
    resampled = ranks[0][rng.integers(0, queries, (draws, queries))]
    return _summary(ranks, resampled, foreign.sum(axis=1) + 1.0)


def _summary(ranks: np.ndarray, resampled: np.ndarray, candidates: np.ndarray) -> Retrieval:
    """Means of ranks (draws, Q) with intervals from resampled ranks; candidates (Q,) include the own reference."""

    def estimate(values: np.ndarray, spread: np.ndarray, chance: np.ndarray, scale: float) -> Estimate:
        low, high = np.quantile(spread.mean(axis=1), (0.025, 0.975))
        return Estimate(scale * float(values.mean()), scale * float(low), scale * float(high), scale * chance.mean())

    precision = {k: estimate(ranks <= k, resampled <= k, np.minimum(k / candidates, 1.0), 100.0) for k in RANKS}
    mean_rank = estimate(ranks, resampled, (candidates + 1) / 2, 1.0)
    return Retrieval(precision, mean_rank, ranks.shape[1], float(candidates.mean()))
