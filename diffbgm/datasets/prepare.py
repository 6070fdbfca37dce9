"""Prepare the songs of a source as one compact cache: read, compute conditions, cut segments, split, report skips.

The folder name contains a hash of every input file, the source's settings and the version of this code: a changed file
or setting is prepared again, anything else is reused. Training calls `prepare` too. Songs that other processes have
read ahead of time (`read_ahead`) are not read again.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.datasets import cache, self_paired
from diffbgm.datasets.readings import Reading, Readings
from diffbgm.datasets.song import Song, Source
from diffbgm.errors import InputError
from diffbgm.files import sha256
from diffbgm.music.notes import BEATS_PER_SEGMENT, PITCHES, STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes, cut_overlaps
from diffbgm.video.captions import sentence_table
from diffbgm.video.streams import MEASURES, SENTENCES, STREAMS, Measures, Reference, describe, levels
from diffbgm.video.windows import dynamic_windows
from diffbgm.workers import end_with_parent

VERSION = 4  # increase it whenever the same files give a different cache
SONGS_A_TASK = 8
NOTE_COLUMNS = ("onset", "pitch", "duration", "part", "part_duration")

Progress = Callable[[Iterable[Any], int], Iterable[Any]]  # (items, total) -> the same items, e.g. with a progress bar

logger = logging.getLogger(__name__)


def prepare(
    source: Source,
    folder: str | Path,
    workers: int | None = None,
    progress: Progress = lambda items, total: items,
) -> Path:
    """The path of the source's cache under `folder`, which is created if it does not exist.

    Songs are read by `workers` processes (by default one per core; 1 reads in this process). Raises InputError if the
    source has no usable song.
    """
    files, excluded = source.songs(), source.excluded()
    digest = _digest(source, files, excluded)
    path = _place(source, folder, digest)
    if (path / "manifest.json").is_file():
        return path
    skipped = {song: excluded[song] for song in files if song in excluded}
    wanted = [song for song in files if song not in skipped]
    readings = _readings(path)
    songs = []
    for name, result in progress(_read_all(source, wanted, workers, readings), len(wanted)):
        if isinstance(result, str):
            skipped[name] = result
        else:
            songs.append(result)
    split = source.split([song.id for song, _ in songs])
    train = set(split["train"])
    if not train:
        reasons = "; ".join(list(skipped.values())[:3])
        raise InputError(f"no song of {source.name} can be used for training ({reasons}): see data/README.md")
    manifest: dict[str, Any] = {
        "source": source.name,
        "hash": digest,
        "settings": dict(source.settings()),
        "songs": [song.id for song, _ in songs],
        "splits": {part: list(members) for part, members in split.items()},
        "skipped": dict(sorted(skipped.items())),
    }
    conditions, arrays = _conditions(songs, train)
    arrays |= _music([song for song, _ in songs])
    cache.write(path, manifest | conditions, arrays)
    readings.forget()
    logger.info("prepared %s: %d songs, %d skipped", path, len(songs), len(skipped))
    return path


def read_ahead(
    source: Source,
    folder: str | Path,
    mine: Callable[[str], bool],
    workers: int | None = None,
    progress: Progress = lambda items, total: items,
) -> tuple[int, int]:
    """Read the songs whose ids are `mine` and store them under `folder` for a later `prepare`.

    Returns the number of these songs, and the number of songs that no process has read yet (0 if the cache exists).
    """
    files, excluded = source.songs(), source.excluded()
    path = _place(source, folder, _digest(source, files, excluded))
    wanted = [song for song in files if song not in excluded]
    own = [song for song in wanted if mine(song)]
    if (path / "manifest.json").is_file():
        return len(own), 0
    readings = _readings(path)
    missing = [song for song in own if readings.find(song) is None]
    for name, result in progress(_read_all(source, missing, workers, Readings(None)), len(missing)):
        readings.store(name, result)
    if (path / "manifest.json").is_file():  # another process has written the cache in the meantime
        readings.forget()
        return len(own), 0
    return len(own), sum(not readings.has(song) for song in wanted)


def _place(source: Source, folder: str | Path, digest: str) -> Path:
    return Path(folder) / f"{source.name}-{digest[:16]}"


def _readings(path: Path) -> Readings:
    """The folder of songs read ahead for the cache at `path`."""
    return Readings(path.with_name(f"{path.name}.songs"))


def _digest(source: Source, files: Mapping[str, Sequence[Path]], excluded: Mapping[str, str]) -> str:
    """SHA-256 over the content of all input files, the settings and the split, and the version of this code."""
    split = dict(source.split(list(files)))
    facts = [VERSION, cache.FORMAT, SENTENCES, STREAMS, dict(source.settings()), dict(excluded), split]
    digest = hashlib.sha256(json.dumps(facts).encode())
    for song, paths in files.items():
        for path in paths:
            content = sha256(path) if path.is_file() else "absent"
            digest.update(f"{song}/{path.name}:{content}\n".encode())
    return digest.hexdigest()


def _read_all(
    source: Source, wanted: Sequence[str], workers: int | None, readings: Readings
) -> Iterable[tuple[str, Reading]]:
    """(id, result of `_read`) of each song in order, from `readings` if it is stored there."""
    missing = {song for song in wanted if not readings.has(song)}
    fresh = iter(_read_each(source, [song for song in wanted if song in missing], workers))
    for song in wanted:
        if song in missing:
            yield next(fresh)
        else:
            yield song, readings.find(song) or _read(source, song)


def _read_each(source: Source, wanted: Sequence[str], workers: int | None) -> Iterable[tuple[str, Reading]]:
    """(id, result of `_read`) of each song in order."""
    workers = min(workers or os.cpu_count() or 1, len(wanted) // SONGS_A_TASK)
    sources = [source] * len(wanted)
    if workers <= 1:
        yield from zip(wanted, map(_read, sources, wanted), strict=True)
        return
    with ProcessPoolExecutor(workers, initializer=end_with_parent) as pool:
        yield from zip(wanted, pool.map(_read, sources, wanted, chunksize=SONGS_A_TASK), strict=True)


def _read(source: Source, name: str) -> Reading:
    """A song with its raw measures, or the reason why it is skipped."""
    try:
        song = source.read(name)
    except InputError as error:
        return str(error)
    if len(song.notes) == 0:
        return f"{name} has no notes"
    if len(song.starts) == 0:
        return f"{name} has no downbeat followed by eight full bars of 4/4"
    return song, self_paired.measures(song) if song.video is None else None


def _music(songs: Sequence[Song]) -> dict[str, np.ndarray]:
    """The arrays of notes and segments."""
    columns: dict[str, list[np.ndarray]] = {name: [] for name in NOTE_COLUMNS}
    segments: dict[str, list[np.ndarray]] = {name: [] for name in ("song", "beat", "notes", "twin")}
    note_start, segment_count = [0], 0
    for number, song in enumerate(songs):
        table = _notes_of(song.notes)
        for name, column in table.items():
            columns[name].append(column)
        onset, starts = table["onset"], song.starts
        bounds = np.searchsorted(onset, np.stack([starts, starts + BEATS_PER_SEGMENT], axis=1) * STEPS_PER_BEAT)
        segments["song"].append(np.full(len(starts), number))
        segments["beat"].append(starts)
        segments["notes"].append(note_start[-1] + bounds)
        twin = twins(onset, table["pitch"], starts, bounds)
        segments["twin"].append(np.where(twin < 0, -1, segment_count + twin))
        note_start.append(note_start[-1] + len(onset))
        segment_count += len(starts)
    arrays = {name: np.concatenate(parts) for name, parts in columns.items()}
    arrays |= {f"segment_{name}": np.concatenate(parts) for name, parts in segments.items()}
    return arrays | {"note_start": np.array(note_start)}


def _notes_of(notes: Notes) -> dict[str, np.ndarray]:
    """The columns of a song's notes, sorted by onset and pitch, without overlaps on one pitch.

    Overlaps are cut within each part for `part_duration`, and among all notes for `duration`.
    """
    apart, part_duration = cut_overlaps(notes.track * PITCHES + notes.pitch, notes.onset, notes.duration)
    together, duration = cut_overlaps(notes.pitch, notes.onset, notes.duration)
    whole = np.zeros(len(notes), np.int64)
    whole[together] = duration
    order = np.lexsort((notes.pitch[apart], notes.onset[apart]))
    chosen = apart[order]
    return {
        "onset": notes.onset[chosen],
        "pitch": notes.pitch[chosen],
        "duration": np.minimum(whole[chosen], STEPS_PER_SEGMENT),
        "part": notes.track[chosen],
        "part_duration": np.minimum(part_duration[order], STEPS_PER_SEGMENT),
    }


def twins(onset: np.ndarray, pitch: np.ndarray, starts: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """For each segment of a song (K,), the most similar one at least 8 bars away, by the Jaccard index of onsets.

    `onset` and `pitch` (N,) are the song's notes, `starts` (K,) the first beats of the segments, `bounds` (K, 2) their
    first note and the note after their last. -1 if no segment has an onset in common.
    """
    cells = np.zeros((len(starts), STEPS_PER_SEGMENT * PITCHES), np.float32)
    for k, (first, stop) in enumerate(bounds):
        cells[k, (onset[first:stop] - STEPS_PER_BEAT * starts[k]) * PITCHES + pitch[first:stop]] = 1
    used = cells.any(0)
    shared = cells[:, used] @ cells[:, used].T
    count = cells.sum(1)
    share = shared / np.maximum(count[:, None] + count - shared, 1)
    share[np.abs(starts[:, None] - starts) < BEATS_PER_SEGMENT] = 0
    return np.where(share.max(1, initial=0) > 0, share.argmax(1), -1)


def _conditions(
    songs: Sequence[tuple[Song, Measures | None]], train: set[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The entries of the manifest about the conditions, and the arrays of the conditions."""
    beats = np.array([song.beats for song, _ in songs])
    arrays = {"beat_start": np.concatenate([[0], np.cumsum(beats)])}
    measured = [measures for _, measures in songs if measures is not None]
    assert len(measured) in (0, len(songs)), "a source has either videos or none"
    if measured:
        reference = Reference.of([m for song, m in songs if m is not None and song.id in train])
        streams = [levels(m, reference, self_paired.BEAT_SECONDS) for m in measured]
        arrays["visual"] = np.concatenate(streams).astype(np.float16)
        arrays["visual_row"] = np.arange(len(arrays["visual"]))
        arrays["language"] = sentence_table()
        arrays["language_row"] = np.concatenate([describe(s) for s in streams])
        cuts = [m.cut for m in measured]
        tables: dict[str, list[float]] | None = {name: reference.quantiles[name].tolist() for name in MEASURES}
    else:
        tracks = [song.video for song, _ in songs if song.video is not None]
        for name in ("visual", "language"):
            parts = [getattr(track, name) for track in tracks]
            first = np.cumsum([0, *map(len, parts)])
            rows = [getattr(track, f"{name}_row") + k for track, k in zip(tracks, first[:-1], strict=True)]
            arrays |= {name: np.concatenate(parts), f"{name}_row": np.concatenate(rows)}
        cuts = [track.cut for track in tracks]
        tables = None
    windows = [dynamic_windows(cut, song.starts) for cut, (song, _) in zip(cuts, songs, strict=True)]
    arrays |= {"cut": np.concatenate(cuts), "segment_window": np.concatenate(windows)}
    return {"self_paired": bool(measured), "reference": tables}, arrays
