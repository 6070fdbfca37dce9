"""One run, evaluated: which metrics are possible with what was given, all of them, and what was left out and why."""

import contextlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.alignment import Aligned, align
from diffbgm.evaluation.copies import Collection
from diffbgm.evaluation.judges import JUDGES, judge_overlap, judge_two_sample
from diffbgm.evaluation.measure import GROUPS, NEED_EVAL, OF_A_SONG, SLOW, Measuring, Row, measure_songs
from diffbgm.evaluation.musicnn import WEIGHTS
from diffbgm.evaluation.report import Evaluation, Summary, summarise, unknown, with_chance
from diffbgm.evaluation.rhythm import USUAL, AdvSettings
from diffbgm.evaluation.search import SEARCHES, Searching
from diffbgm.evaluation.segment_features import windows
from diffbgm.evaluation.songs import Song, find_songs
from diffbgm.extras import lacking
from diffbgm.music.notes import Notes
from diffbgm.video.features import Extractor
from diffbgm.video.folder import find_sources

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]  # what comes by, how many there will be, of what
METRICS = (*GROUPS, *JUDGES, *SEARCHES)


@dataclass(frozen=True)
class Options:
    """What a run is measured with."""

    metrics: Sequence[str] | None = None  # groups of `METRICS` that are asked for; None: all that are possible
    reference: Path | None = None  # real music: its own numbers, and partners by name for retrieval
    reference_sample: int = 60  # songs of the reference that the slow metrics are computed for
    videos: Path | None = None  # partners by name for alignment
    extractor: Extractor | None = None  # with named columns; for alignment
    cache: Path = Path(".cache/features")
    training: Path | None = None  # what could have been copied from
    musicnn: Path = WEIGHTS  # of the retrieval metric's tagger
    repeated_rows: bool = False  # retrieval: every row of a song is its first one, as the original extractor has it
    soundfont: str | None = None
    adv: AdvSettings = USUAL
    numbers: Path | None = None  # where the slow numbers of files are kept; None: nowhere
    workers: int = 1
    seed: int = 0

    @property
    def measuring(self) -> Measuring:
        """What measuring a song takes of it."""
        return Measuring(self.soundfont, self.numbers, self.adv)


@dataclass
class Run:
    """What is collected while a run is evaluated."""

    rows: list[Row]
    metrics: dict[str, Summary] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what was asked for by name and could not be computed


def evaluate_run(
    generated: Path,
    options: Options,
    progress: Progress,
    real: dict[str, Summary] | None = None,
    finished: Callable[[Row], None] = lambda row: None,
) -> tuple[Evaluation, list[str]]:
    """Evaluate a folder of MIDI files; returns the results and what of it was asked for and could not be computed.

    `real`: the reference's own numbers where they are known from a run before; None computes them. `finished` is told
    of each song as soon as its own numbers are there, in whatever order.
    Raises InputError where the folder, the reference or the training music holds nothing, or a metric is unknown.
    """
    groups, left_out, reason = groups_of_songs(options)
    songs = find_songs(generated)
    reference = find_songs(options.reference) if options.reference is not None else []
    rows = measured(songs, groups, options, progress, generated.name, finished)
    run = Run(rows)
    run.missing += [f"{row.song} ({row.error})" for row in rows if row.error is not None]
    run.missing += [f"{group} of {row.song} ({why})" for row in rows for group, why in row.failed.items()]
    if odd := [f"{row.song} ({row.meter} quarter notes a bar)" for row in rows if row.meter is not None]:
        run.notes.append(f"not in 4/4, measured in bars of four quarter notes all the same: {_names(odd)}")
    readable = [song for song, row in zip(songs, rows, strict=True) if row.error is None]
    run.metrics.update(summarise(rows, options.seed))
    for group in left_out:
        _leave_out(run, GROUPS[group], str(reason))
    _alignment(run, readable, options, progress)
    _copies(run, readable, options, progress)
    _judges(run, readable, reference, options, progress)
    _retrieval(run, readable, reference, options, progress)
    if real is None:
        real = _reference(run, reference, groups, options, progress)
    if options.metrics is not None:
        run.missing += [
            f"{name}: {summary['reason']}" for name, summary in run.metrics.items() if summary["mean"] is None
        ]
    return Evaluation(rows, run.metrics, real, tuple(run.notes)), run.missing


def groups_of_songs(options: Options) -> tuple[list[str], tuple[str, ...], str | None]:
    """The groups that every song is measured for, those that are left out, and why. InputError for unknown ones."""
    if unheard := sorted(set(options.metrics or ()) - set(METRICS)):
        raise InputError(f"there is no metric group {', '.join(unheard)}; choose from {', '.join(METRICS)}")
    reason = lacking("eval") if options.metrics is None else None
    left_out = NEED_EVAL if reason else ()
    asked = [group for group in OF_A_SONG if options.metrics is None or group in options.metrics]
    return [group for group in asked if group not in left_out], left_out, reason


def measured(
    songs: Sequence[Song],
    groups: Sequence[str],
    options: Options,
    progress: Progress,
    label: str,
    finished: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """The songs' rows by name; `finished` is told of each as soon as it is there."""
    rows = []
    with contextlib.closing(measure_songs(songs, groups, options.workers, options.measuring)) as found:
        for row in progress(found, len(songs), label):
            finished(row)
            rows.append(row)
    return sorted(rows, key=lambda row: row.song)


def wanted(options: Options, group: str, given: object) -> bool:
    """Whether a group is to be computed: asked for by name, or everything is and what it needs was given."""
    return group in options.metrics if options.metrics is not None else given is not None


def _leave_out(run: Run, names: Sequence[str], reason: str) -> None:
    run.metrics.update({name: unknown(reason) for name in names})


def _alignment(run: Run, songs: Sequence[Song], options: Options, progress: Progress) -> None:
    if not wanted(options, "alignment", options.videos):
        return
    if options.videos is None or options.extractor is None:
        _leave_out(run, GROUPS["alignment"], "no videos were given; add videos=FOLDER")
        return
    videos = {source.name: source.path for source in find_sources(options.videos)}
    rows = {row.song: row for row in run.rows}
    found: dict[str, list[Aligned]] = {name: [] for name in GROUPS["alignment"]}
    without = [song.name for song in songs if song.name not in videos]
    paired = [song for song in songs if song.name in videos]
    for number, song in enumerate(progress(paired, len(paired), "alignment")):
        try:
            rng = np.random.default_rng((options.seed, number))
            numbers = align(song, videos[song.name], options.extractor, options.cache, rng)
        except InputError as error:
            run.notes.append(f"alignment of {song.name}: {error}")
            run.missing.append(f"alignment of {song.name} ({error})")
            continue
        rows[song.name].add({name: None if value is None else value.value for name, value in numbers.items()})
        for name, value in numbers.items():
            if value is not None:
                found[name].append(value)
    if without:
        run.notes.append(f"no video of that name for {_names(without)}")
    summaries = summarise(run.rows, options.seed)
    for name, songs_found in found.items():
        if songs_found:
            run.metrics[name] = with_chance(summaries[name], songs_found)
        else:
            _leave_out(run, [name], summaries.get(name, unknown("no video has the name of a song"))["reason"])


def _copies(run: Run, songs: Sequence[Song], options: Options, progress: Progress) -> None:
    if not wanted(options, "copies", options.training):
        return
    if options.training is None:
        _leave_out(run, GROUPS["copies"], "no training music was given; add training=FOLDER")
        return
    known: list[tuple[str, Notes]] = []
    unreadable = []
    training = find_songs(options.training)
    for song in progress(training, len(training), "training music"):
        try:
            known.append((song.name, song.score.notes))
        except InputError:
            unreadable.append(song.name)
    collection = Collection(known)
    rows = {row.song: row for row in run.rows}
    for song in songs:
        rows[song.name].add({"copied_bars": float(collection.longest_copy(song.score.notes).bars)})
    if unreadable:
        run.notes.append(f"training music that could not be read: {_names(unreadable)}")
    run.metrics.update({"copied_bars": summarise(run.rows, options.seed)["copied_bars"]})


def _judges(run: Run, songs: Sequence[Song], reference: Sequence[Song], options: Options, progress: Progress) -> None:
    """Generated against real music as a whole: the songs' own partners, or, where none has one, a sample of them."""
    asked = [group for group in JUDGES if wanted(options, group, options.reference)]
    if not asked:
        return
    names = {song.name for song in songs}
    partners = [song for song in reference if song.name in names]
    generated = _read(songs, "judges", progress)
    real = _read(partners or sampled(reference, options), "judges, real music", progress)
    training: dict[str, list[Notes]] = {}
    if "overlap" in asked and options.training is not None:
        known = find_songs(options.training)
        order = np.random.default_rng(options.seed).permutation(len(known))[: len(real)]
        training = _read([known[i] for i in order], "judges, training music", progress)
    for group in progress(asked, len(asked), "judges"):
        try:
            if not reference:
                raise InputError("no reference music was given; add reference=FOLDER")
            if group == "overlap":
                run.metrics.update(judge_overlap(generated, real, training, options.seed))
            else:
                run.metrics.update(judge_two_sample(generated, real, options.seed))
        except InputError as error:
            _leave_out(run, JUDGES[group], str(error))
            run.notes.append(f"{group} was left out: {error}")


def _read(songs: Sequence[Song], what: str, progress: Progress) -> dict[str, list[Notes]]:
    """The 8-bar segments of the songs that can be read, by name."""
    found: dict[str, list[Notes]] = {}
    for song in progress(songs, len(songs), what):
        with contextlib.suppress(InputError):
            found[song.name] = windows(song.score.notes)
    return found


def _retrieval(
    run: Run, songs: Sequence[Song], reference: Sequence[Song], options: Options, progress: Progress
) -> None:
    """P@K and mean rank against the reference songs of the same names, by rows and by segments."""
    asked = [name for name in SEARCHES if wanted(options, name, options.reference)]
    if not asked:
        return
    names = {song.name for song in reference}
    without = [song.name for song in songs if song.name not in names]
    if reference and without:
        run.notes.append(f"no reference has the name of {_names(without)}: left out of retrieval")
        if options.metrics is not None:
            run.missing.append(f"retrieval of {_names(without)} (no reference of that name)")
    how = Searching(options.musicnn, options.soundfont, options.numbers, options.repeated_rows, options.seed)
    for name in asked:
        search = SEARCHES[name]
        try:
            if not reference:
                raise InputError("no reference music was given; add reference=FOLDER")
            found = search.run(songs, reference, how, progress)
        except InputError as error:
            _leave_out(run, search.columns, str(error))
            run.notes.append(f"{name} was left out: {error}")
            continue
        run.metrics.update(found.metrics)
        run.notes += found.notes


def _reference(
    run: Run, reference: Sequence[Song], groups: Sequence[str], options: Options, progress: Progress
) -> dict[str, Summary] | None:
    """The reference's own numbers: the slow ones of a seeded sample of songs, the others of all."""
    if not reference:
        return None
    fast = [group for group in groups if group not in SLOW]
    slow = [group for group in groups if group in SLOW]
    sample = sampled(reference, options)
    rows: list[Row] = []
    for part, asked in ((reference, fast), (sample, slow)):
        if asked and part:
            rows += measured(part, asked, options, progress, f"reference, {' '.join(asked)}")
    if unread := sorted({row.song for row in rows if row.error is not None}):
        run.notes.append(f"reference songs that could not be read: {_names(unread)}")
    return summarise(rows, options.seed)


def sampled(reference: Sequence[Song], options: Options) -> list[Song]:
    """Songs drawn from the reference with the run's seed, in their order."""
    order = np.random.default_rng(options.seed).permutation(len(reference))[: options.reference_sample]
    return [reference[i] for i in np.sort(order)]


def _names(names: Sequence[str]) -> str:
    """Some names in a sentence."""
    shown = ", ".join(names[:5])
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
