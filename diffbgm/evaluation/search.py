"""The two retrieval metrics of a run: the music they read, their columns, and their remarks for the reader.

* retrieval: P@K by the release's unit, 3-second rows of whole songs (`p_at_k`, `mean_rank`); patches.py
* segments: 8-bar segments (`segment_p_k`, `segment_mean_rank`, and the same with `_strict`); retrieval.py
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.musicnn import load_musicnn
from diffbgm.evaluation.number_cache import NumberCache, code, font_identity, versions
from diffbgm.evaluation.patches import PATCH_RANKS, patch_retrieval, song_rows
from diffbgm.evaluation.report import Summary, retrieval_summaries
from diffbgm.evaluation.retrieval import CANDIDATES, POOL, RANKS, Retrieval, retrieve, segments, segments_of
from diffbgm.evaluation.songs import SongFile
from diffbgm.files import sha256
from diffbgm.music.notes import Notes

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]


@dataclass(frozen=True)
class Searching:
    """How music is embedded and ranked."""

    musicnn: Path  # weights of the tagger
    soundfont: str | None = None
    cache: Path | None = None  # folder for the rows of songs; None stores nothing
    repeated: bool = False  # as in `patch_retrieval`
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """Metrics and remarks for the reader."""

    metrics: dict[str, Summary]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Search:
    """A retrieval metric. `run` raises InputError if it cannot be computed."""

    columns: tuple[str, ...]
    run: Callable[[Sequence[SongFile], Sequence[SongFile], Searching, Progress], Found]


def search_rows(songs: Sequence[SongFile], reference: Sequence[SongFile], how: Searching, progress: Progress) -> Found:
    """P@K of 3-second rows; songs without a partner of the same name are left out."""
    both = {song.name for song in songs} & {song.name for song in reference}
    if not both:
        raise InputError("generated and reference songs have no name in common; give pairs the same name")
    (generated, deaf), (real, lost) = (
        read_rows([song for song in part if song.name in both], how, progress, label)
        for part, label in ((songs, "rows"), (reference, "rows, reference"))
    )
    unheard = [f"retrieval leaves out {name}: {reason}" for part in (deaf, lost) for name, reason in part.items()]
    found = patch_retrieval(generated, real, how.seed, how.repeated)
    return Found(retrieval_summaries(found, "p_at_{}", "mean_rank"), (*_too_few(found, "rows"), *unheard))


def read_rows(
    songs: Sequence[SongFile], how: Searching, progress: Progress, label: str
) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tagger's rows by song, from the cache if they are stored, and the reason for each song that has none."""
    network = load_musicnn(how.musicnn)
    cache = NumberCache(how.cache)
    identity = (
        "musicnn rows",
        code("evaluation.musicnn", "music.audio"),
        sha256(how.musicnn),
        versions("librosa", "midirenderer"),
        font_identity(how.soundfont),
    )
    rows: dict[str, np.ndarray] = {}
    failed: dict[str, str] = {}
    for song in progress(songs, len(songs), label):
        try:
            rows[song.name] = cache.array(song.path, identity, partial(song_rows, network, song.path, how.soundfont))
        except InputError as error:
            failed[song.name] = str(error)
    return rows, failed


def search_segments(
    songs: Sequence[SongFile], reference: Sequence[SongFile], how: Searching, progress: Progress
) -> Found:
    """P@K of 8-bar segments, among drawn candidates and among all."""
    network = load_musicnn(how.musicnn)
    names = {song.name for song in reference}
    generated = segments_of((song.name, song.score.notes) for song in songs if song.name in names)
    partners = {segment.song for segment in generated}
    real = segments_of(_first(reference, partners))
    drawn, strict = retrieve(network, generated, real, how.seed, how.soundfont, progress)
    metrics = retrieval_summaries(drawn, "segment_p_{}", "segment_mean_rank")
    if strict is not None:
        metrics |= retrieval_summaries(strict, "segment_p_{}_strict", "segment_mean_rank_strict")
    return Found(metrics, _too_few(drawn, "segments"))


def _first(reference: Sequence[SongFile], partners: set[str]) -> Iterator[tuple[str, Notes]]:
    """The reference songs that make up the first 500 segments, and the partners; unreadable ones are skipped."""
    count = 0
    for song in reference:
        if count >= POOL and song.name not in partners:
            continue
        try:
            notes = song.score.notes
        except InputError:
            continue
        count += len(segments(notes))
        yield song.name, notes


def _too_few(found: Retrieval, unit: str) -> tuple[str, ...]:
    if found.candidates >= CANDIDATES:
        return ()
    return (
        f"P@K of {unit} had {found.candidates:.0f} candidates where the paper has {CANDIDATES}: compare it only with "
        "its own chance level",
    )


SEARCHES = {
    "retrieval": Search((*(f"p_at_{k}" for k in PATCH_RANKS), "mean_rank"), search_rows),
    "segments": Search((*(f"segment_p_{k}" for k in RANKS), "segment_mean_rank"), search_segments),
}
