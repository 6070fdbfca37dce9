"""The metrics of one song, and of many songs over several processes.

A number that cannot be computed is None with a reason, never 0; a song that cannot be read is a row with an error.
"""

import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.groove import gps, musdr_gs
from diffbgm.evaluation.number_cache import NumberCache, Numbers, code, font_identity, versions
from diffbgm.evaluation.paper_protocol import gps_paper, import_score, pche_paper
from diffbgm.evaluation.pitch import musdr_h, pche
from diffbgm.evaluation.rhythm import USUAL, AdvSettings, adv_columns
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.evaluation.songs import SongFile
from diffbgm.evaluation.structure import COLUMNS, fitness_of_midi, si_columns
from diffbgm.music.notes import Notes
from diffbgm.workers import end_with_parent

# Metric groups and the columns each fills, in the order of songs.csv.
GROUPS: dict[str, tuple[str, ...]] = {
    "exact": ("pche", "gps"),
    "paper": ("pche_paper", "gps_paper"),
    "rhythm": ("adv", "adv_relative"),
    "structure": COLUMNS,
    "texture": ("notes_per_beat", "pitch_range", "polyphony"),
    "musdr": ("h1", "h4", "gs_64"),
    "alignment": ("motion_density", "light_register", "cuts_on_accents", "cuts_on_accents_tight"),
    "copies": ("copied_bars",),
}
OF_A_SONG = ("exact", "paper", "rhythm", "structure", "texture", "musdr")  # groups computed from the song alone
NEED_EVAL = ("paper", "structure")  # groups that need the packages of the extra `eval`
SLOW = ("paper", "structure")  # groups that take seconds per song

# Modules whose code decides the numbers of the slow groups: a change of one invalidates the cached numbers.
OF_PAPER = ("evaluation.paper_protocol", "evaluation.groove")
OF_STRUCTURE = ("evaluation.structure", "evaluation.fitness", "music.audio")

UNKNOWN = {
    "pche": "no full window holds notes",
    "pche_paper": "no window of the imported score holds notes",
    "gps": "fewer than two bars are left when the last is dropped",
    "gps_paper": "fewer than two bars are left when the last is dropped",
    **dict.fromkeys(("adv", "adv_relative"), "fewer than three accents"),
    "gs_64": "fewer than two bars",
    **dict.fromkeys(COLUMNS, "too short for a repetition of this length, or silent"),
    "motion_density": "under four beats, or either the music's density or the picture's motion never changes",
    "light_register": "under four beats with notes, or either their pitch or the picture's brightness never changes",
    **dict.fromkeys(("cuts_on_accents", "cuts_on_accents_tight"), "the video has no cuts"),
}

LONGEST_STRUCTURE = 15 * 60  # seconds; the memory of the scape plot grows with the square of the length


@dataclass(frozen=True)
class Measuring:
    """How songs are measured."""

    soundfont: str | None = None
    cache: Path | None = None  # folder for the numbers of the slow groups; None stores nothing
    adv: AdvSettings = USUAL


USUALLY = Measuring()


@dataclass
class Row:
    """One row of songs.csv."""

    song: str
    values: dict[str, float | None] = field(default_factory=dict)  # by column
    reasons: dict[str, str] = field(default_factory=dict)  # why a value is None
    error: str | None = None  # why there are no values at all
    failed: dict[str, str] = field(default_factory=dict)  # group -> why none of its numbers could be computed
    meter: str | None = None  # bar lengths in quarter notes if not all bars are 4/4

    def add(self, values: Numbers) -> None:
        """Add values by column; a None gets the reason of its column."""
        self.values.update(values)
        self.reasons.update({name: UNKNOWN[name] for name, value in values.items() if value is None})

    def fail(self, group: str, reason: str) -> None:
        """Record that no number of a group can be computed for this file."""
        self.failed[group] = reason
        self.values.update(dict.fromkeys(GROUPS[group]))
        self.reasons.update(dict.fromkeys(GROUPS[group], reason))

    def only(self, groups: Sequence[str]) -> "Row":
        """The row with the columns of some groups alone."""
        names = {name for group in groups for name in GROUPS[group]}
        values = {name: value for name, value in self.values.items() if name in names}
        return Row(self.song, values, {name: why for name, why in self.reasons.items() if name in names}, self.error)


def measure_song(song: SongFile, groups: Sequence[str], how: Measuring = USUALLY) -> Row:
    """The metrics of `groups` (from `OF_A_SONG`) for one song. A file that cannot be read becomes the row's error.

    If the file can be read but a group fails on it (music21 has its own reader), only that group has no numbers.
    """
    row = Row(song.name)
    try:
        notes = song.score.notes
    except InputError as error:
        return Row(song.name, error=str(error))
    row.meter = odd_meter(song.score.meters)
    for group in groups:
        try:
            row.add(_numbers(song, notes, group, how))
        except InputError as error:
            row.fail(group, str(error))
    return row


def _numbers(song: SongFile, notes: Notes, group: str, how: Measuring) -> Numbers:
    """The columns of one group."""
    cache = NumberCache(how.cache)
    if group == "exact":
        return {"pche": pche(notes), "gps": gps(notes)}
    if group == "paper":
        return cache.numbers(song.path, ("paper", code(*OF_PAPER), versions("music21")), lambda: _paper(song.path))
    if group == "rhythm":
        return adv_columns(notes, how.adv)
    if group == "structure":
        if song.score.beat_times[-1] > LONGEST_STRUCTURE:
            raise InputError(f"longer than {LONGEST_STRUCTURE / 60:g} minutes")
        identity = (
            "structure",
            code(*OF_STRUCTURE),
            versions("librosa", "libfmp", "midirenderer"),
            font_identity(how.soundfont),
        )
        return cache.numbers(song.path, identity, lambda: si_columns(fitness_of_midi(song.path, how.soundfont)))
    if group == "texture":
        numbers = segment_numbers(notes, notes.end)
        span = float(np.ptp(notes.pitch))
        return {"notes_per_beat": numbers.notes_per_beat, "pitch_range": span, "polyphony": numbers.polyphony}
    assert group == "musdr", f"{group} is not a group of a song alone"
    return {"h1": musdr_h(notes, 1), "h4": musdr_h(notes, 4), "gs_64": musdr_gs(notes)}


def _paper(path: Path) -> Numbers:
    imported = import_score(path)
    return {"pche_paper": pche_paper(imported), "gps_paper": gps_paper(imported)}


def odd_meter(meters: np.ndarray) -> str | None:
    """The bar lengths of a piece in quarter notes, e.g. "3" or "4 and 6"; None if every bar has four."""
    lengths = np.unique(meters)
    return None if lengths.tolist() in ([], [4.0]) else " and ".join(f"{length:g}" for length in lengths)


def measure_songs(
    songs: Sequence[SongFile], groups: Sequence[str], workers: int, how: Measuring = USUALLY
) -> Generator[Row, None, None]:
    """Yield `measure_song` of each song as soon as it is finished, over `workers` processes (1: in this process).

    Closing the generator stops the workers and abandons the songs being measured.
    """
    if workers == 1 or len(songs) == 1:
        yield from (measure_song(song, groups, how) for song in songs)
        return
    context = multiprocessing.get_context("spawn")  # this process may hold torch's threads, which do not survive a fork
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(min(workers, len(songs)), context, end_with_parent)
    try:
        for done in as_completed([pool.submit(measure_song, song, groups, how) for song in songs]):
            yield done.result()
        pool.shutdown()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)
        for process in set(multiprocessing.active_children()) - others:
            process.terminate()  # a song can take minutes
        raise
