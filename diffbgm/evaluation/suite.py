"""Evaluate a folder of music: every metric that the given inputs allow, what was left out, and why."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
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
from diffbgm.evaluation.songs import SongFile, find_songs
from diffbgm.extras import lacking
from diffbgm.music.notes import Notes
from diffbgm.video.features import Extractor
from diffbgm.video.folder import find_sources

Progress = Callable[[Iterable[Any], int, str], Iterable[Any]]  # (items, total, label) -> the same items
METRICS = (*GROUPS, *JUDGES, *SEARCHES)


@dataclass(frozen=True)
class Options:
    """Inputs and settings of an evaluation."""

    metrics: Sequence[str] | None = None  # groups from `METRICS`; None: all that the inputs allow
    reference: Path | None = None  # real music, paired by name for retrieval
    reference_sample: int = 60  # number of reference songs for the slow metrics
    videos: Path | None = None  # paired with the songs by name for alignment
    extractor: Extractor | None = None  # for alignment; needs named columns
    cache: Path = Path(".cache/features")  # folder for the features of videos
    training: Path | None = None  # music to check for copies
    musicnn: Path = WEIGHTS  # weights of the tagger for retrieval
    repeated_rows: bool = False  # retrieval: every row of a song equals its first, as in the original extractor
    soundfont: str | None = None
    adv: AdvSettings = USUAL
    numbers: Path | None = None  # folder for the slow metrics of files; None stores nothing
    workers: int = 1
    seed: int = 0

    @property
    def measuring(self) -> Measuring:
        """The options that measuring a single song needs."""
        return Measuring(self.soundfont, self.numbers, self.adv)


@dataclass
class Findings:
    """Rows, summaries and remarks collected during a run."""

    rows: list[Row]
    metrics: dict[str, Summary] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what was requested and could not be computed


def evaluate_run(
    generated: Path,
    options: Options,
    progress: Progress,
    real: dict[str, Summary] | None = None,
    finished: Callable[[Row], None] = lambda row: None,
) -> tuple[Evaluation, list[str]]:
    """Evaluate a folder of MIDI files. Returns the results, and what was requested and could not be computed.

    `real` holds the metrics of the reference if an earlier run has them; None computes them. `finished` is called with
    each song's row as soon as the song is measured, in any order. Raises InputError if the folder, the reference or the
    training music holds no songs, or a metric is unknown.
    """
    groups, left_out, reason = groups_of_songs(options)
    songs = find_songs(generated)
    reference = find_songs(options.reference) if options.reference is not None else []
    rows = measured(songs, groups, options, progress, generated.name, finished)
    findings = Findings(rows)
    findings.missing += [f"{row.song} ({row.error})" for row in rows if row.error is not None]
    findings.missing += [f"{group} of {row.song} ({why})" for row in rows for group, why in row.failed.items()]
    if odd := [f"{row.song} ({row.meter} quarter notes a bar)" for row in rows if row.meter is not None]:
        findings.notes.append(f"not in 4/4, but measured in bars of four quarter notes: {_names(odd)}")
    readable = [song for song, row in zip(songs, rows, strict=True) if row.error is None]
    findings.metrics.update(summarise(rows, options.seed))
    for group in left_out:
        _leave_out(findings, GROUPS[group], str(reason))
    _alignment(findings, readable, options, progress)
    _copies(findings, readable, options, progress)
    _judges(findings, readable, reference, options, progress)
    _retrieval(findings, readable, reference, options, progress)
    if real is None:
        own = {song.path.resolve(): row for song, row in zip(songs, rows, strict=True)}
        real = _reference(findings, reference, groups, options, progress, own)
    if options.metrics is not None:
        findings.missing += [
            f"{name}: {summary['reason']}" for name, summary in findings.metrics.items() if summary["mean"] is None
        ]
    return Evaluation(rows, findings.metrics, real, tuple(findings.notes)), findings.missing


def groups_of_songs(options: Options) -> tuple[list[str], tuple[str, ...], str | None]:
    """The groups to measure for every song, those left out, and why. Raises InputError for an unknown group."""
    if unheard := sorted(set(options.metrics or ()) - set(METRICS)):
        raise InputError(f"there is no metric group {', '.join(unheard)}; choose from {', '.join(METRICS)}")
    reason = lacking("eval") if options.metrics is None else None
    left_out = NEED_EVAL if reason else ()
    asked = [group for group in OF_A_SONG if options.metrics is None or group in options.metrics]
    return [group for group in asked if group not in left_out], left_out, reason


def measured(
    songs: Sequence[SongFile],
    groups: Sequence[str],
    options: Options,
    progress: Progress,
    label: str,
    finished: Callable[[Row], None] = lambda row: None,
) -> list[Row]:
    """The rows of songs, sorted by name; `finished` is called with each as soon as it is measured."""
    rows = []
    with contextlib.closing(measure_songs(songs, groups, options.workers, options.measuring)) as found:
        for row in progress(found, len(songs), label):
            finished(row)
            rows.append(row)
    return sorted(rows, key=lambda row: row.song)


def wanted(options: Options, group: str, given: object) -> bool:
    """Whether to compute a group: it was requested, or nothing was and its input is `given`."""
    return group in options.metrics if options.metrics is not None else given is not None


def _leave_out(findings: Findings, names: Sequence[str], reason: str) -> None:
    findings.metrics.update({name: unknown(reason) for name in names})


def _alignment(findings: Findings, songs: Sequence[SongFile], options: Options, progress: Progress) -> None:
    if not wanted(options, "alignment", options.videos):
        return
    if options.videos is None or options.extractor is None:
        _leave_out(findings, GROUPS["alignment"], "no videos were given; add videos=FOLDER")
        return
    videos = {source.name: source.path for source in find_sources(options.videos)}
    rows = {row.song: row for row in findings.rows}
    found: dict[str, list[Aligned]] = {name: [] for name in GROUPS["alignment"]}
    without = [song.name for song in songs if song.name not in videos]
    paired = [song for song in songs if song.name in videos]
    for number, song in enumerate(progress(paired, len(paired), "alignment")):
        try:
            rng = np.random.default_rng((options.seed, number))
            numbers = align(song, videos[song.name], options.extractor, options.cache, rng)
        except InputError as error:
            findings.notes.append(f"alignment of {song.name}: {error}")
            findings.missing.append(f"alignment of {song.name} ({error})")
            continue
        rows[song.name].add({name: None if value is None else value.value for name, value in numbers.items()})
        for name, value in numbers.items():
            if value is not None:
                found[name].append(value)
    if without:
        findings.notes.append(f"no video has the name of {_names(without)}")
    summaries = summarise(findings.rows, options.seed)
    for name, songs_found in found.items():
        if songs_found:
            findings.metrics[name] = with_chance(summaries[name], songs_found)
        else:
            _leave_out(findings, [name], summaries.get(name, unknown("no video has the name of a song"))["reason"])


def _copies(findings: Findings, songs: Sequence[SongFile], options: Options, progress: Progress) -> None:
    if not wanted(options, "copies", options.training):
        return
    if options.training is None:
        _leave_out(findings, GROUPS["copies"], "no training music was given; add training=FOLDER")
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
    rows = {row.song: row for row in findings.rows}
    for song in songs:
        rows[song.name].add({"copied_bars": float(collection.longest_copy(song.score.notes).bars)})
    if unreadable:
        findings.notes.append(f"training music that could not be read: {_names(unreadable)}")
    findings.metrics.update({"copied_bars": summarise(findings.rows, options.seed)["copied_bars"]})


def _judges(
    findings: Findings, songs: Sequence[SongFile], reference: Sequence[SongFile], options: Options, progress: Progress
) -> None:
    """Compare generated with real music as sets: the partners of the songs or, if there are none, a sample."""
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
                findings.metrics.update(judge_overlap(generated, real, training, options.seed))
            else:
                findings.metrics.update(judge_two_sample(generated, real, options.seed))
        except InputError as error:
            _leave_out(findings, JUDGES[group], str(error))
            findings.notes.append(f"{group} was left out: {error}")


def _read(songs: Sequence[SongFile], what: str, progress: Progress) -> dict[str, list[Notes]]:
    """The 8-bar segments of the songs that can be read, by name."""
    found: dict[str, list[Notes]] = {}
    for song in progress(songs, len(songs), what):
        with contextlib.suppress(InputError):
            found[song.name] = windows(song.score.notes)
    return found


def _retrieval(
    findings: Findings, songs: Sequence[SongFile], reference: Sequence[SongFile], options: Options, progress: Progress
) -> None:
    """P@K and mean rank against the reference songs of the same names, over rows and over segments."""
    asked = [name for name in SEARCHES if wanted(options, name, options.reference)]
    if not asked:
        return
    names = {song.name for song in reference}
    without = [song.name for song in songs if song.name not in names]
    if reference and without:
        findings.notes.append(f"no reference has the name of {_names(without)}: left out of retrieval")
        if options.metrics is not None:
            findings.missing.append(f"retrieval of {_names(without)} (no reference of that name)")
    how = Searching(options.musicnn, options.soundfont, options.numbers, options.repeated_rows, options.seed)
    for name in asked:
        search = SEARCHES[name]
        try:
            if not reference:
                raise InputError("no reference music was given; add reference=FOLDER")
            found = search.run(songs, reference, how, progress)
        except InputError as error:
            _leave_out(findings, search.columns, str(error))
            findings.notes.append(f"{name} was left out: {error}")
            continue
        findings.metrics.update(found.metrics)
        findings.notes += found.notes


def _reference(
    findings: Findings,
    reference: Sequence[SongFile],
    groups: Sequence[str],
    options: Options,
    progress: Progress,
    known: Mapping[Path, Row],
) -> dict[str, Summary] | None:
    """The metrics of the reference: the slow ones over a seeded sample of its songs, the others over all.

    `known` has the row of every generated file: a file that is also the reference is not measured twice.
    """
    if not reference:
        return None
    rows: list[Row] = []
    same = {song.name: row for song in reference if (row := known.get(song.path.resolve()))}
    if same:
        findings.notes.append(f"{len(same)} of {len(reference)} reference songs are generated ones (the same files)")
    for part, slow in ((reference, False), (sampled(reference, options), True)):
        asked = [group for group in groups if (group in SLOW) == slow]
        others = [song for song in part if song.name not in same]
        rows += [same[song.name].only(asked) for song in part if song.name in same]
        if asked and others:
            rows += measured(others, asked, options, progress, f"reference, {' '.join(asked)}")
    if unread := sorted({row.song for row in rows if row.error is not None}):
        findings.notes.append(f"reference songs that could not be read: {_names(unread)}")
    return summarise(sorted(rows, key=lambda row: row.song), options.seed)


def sampled(reference: Sequence[SongFile], options: Options) -> list[SongFile]:
    """`options.reference_sample` songs drawn from the reference with the run's seed, in their order."""
    order = np.random.default_rng(options.seed).permutation(len(reference))[: options.reference_sample]
    return [reference[i] for i in np.sort(order)]


def _names(names: Sequence[str]) -> str:
    """The first five names as text, and how many more there are."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
