"""The numbers of one song, and of many songs over several processes.

A number that cannot be computed is None with a reason; a song that cannot be read is a row with an error. Nothing is 0
because something went wrong.
"""

import multiprocessing
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from diffbgm.errors import InputError
from diffbgm.evaluation.groove import gps, musdr_gs
from diffbgm.evaluation.paper_protocol import gps_paper, import_score, pche_paper
from diffbgm.evaluation.pitch import musdr_h, pche
from diffbgm.evaluation.rhythm import adv
from diffbgm.evaluation.segment import segment_numbers
from diffbgm.evaluation.songs import Song
from diffbgm.evaluation.structure import BANDS, fitness_of_midi, si_bands

# What can be asked for, and the columns it fills, in the order of songs.csv.
GROUPS: dict[str, tuple[str, ...]] = {
    "exact": ("pche", "gps"),
    "paper": ("pche_paper", "gps_paper"),
    "rhythm": ("adv",),
    "structure": tuple(BANDS),
    "texture": ("notes_per_beat", "pitch_range", "polyphony"),
    "musdr": ("h1", "h4", "gs_64"),
    "alignment": ("motion_density", "light_register", "cuts_on_accents", "cuts_on_accents_tight"),
    "copies": ("copied_bars",),
}
OF_A_SONG = ("exact", "paper", "rhythm", "structure", "texture", "musdr")  # need the song alone
SLOW = ("paper", "structure")  # seconds a song

UNKNOWN = {
    "pche": "no full window holds notes",
    "pche_paper": "no window of the imported score holds notes",
    "gps": "fewer than two bars are left when the last is dropped",
    "gps_paper": "fewer than two bars are left when the last is dropped",
    "adv": "fewer than three accents",
    "gs_64": "fewer than two bars",
    **dict.fromkeys(BANDS, "too short for a repetition of this length, or silent"),
    "motion_density": "under four beats, or either the music's density or the picture's motion never changes",
    "light_register": "under four beats with notes, or either their pitch or the picture's brightness never changes",
    **dict.fromkeys(("cuts_on_accents", "cuts_on_accents_tight"), "the video has no cuts"),
}

LONGEST_STRUCTURE = 15 * 60  # seconds; the scape plot takes memory with the square and time with the cube of these


@dataclass
class Row:
    """A line of songs.csv."""

    song: str
    values: dict[str, float | None] = field(default_factory=dict)  # by column
    reasons: dict[str, str] = field(default_factory=dict)  # why a value is None
    error: str | None = None  # why there are no values at all

    def add(self, values: dict[str, float | None]) -> None:
        """Take over values; None ones with the reason that belongs to their column."""
        self.values.update(values)
        self.reasons.update({name: UNKNOWN[name] for name, value in values.items() if value is None})


def measure_song(song: Song, groups: Sequence[str], soundfont: str | None = None) -> Row:
    """Everything in `groups` (of `OF_A_SONG`) for one song. A file that cannot be read becomes the row's error."""
    row = Row(song.name)
    try:
        notes = song.score.notes
        if "exact" in groups:
            row.add({"pche": pche(notes), "gps": gps(notes)})
        if "paper" in groups:
            imported = import_score(song.path)
            row.add({"pche_paper": pche_paper(imported), "gps_paper": gps_paper(imported)})
        if "rhythm" in groups:
            row.add({"adv": adv(notes)})
        if "structure" in groups:
            long = song.score.beats[-1] > LONGEST_STRUCTURE
            row.add(si_bands(None if long else fitness_of_midi(song.path, soundfont)))
            if long:
                row.reasons |= dict.fromkeys(BANDS, f"longer than {LONGEST_STRUCTURE / 60:g} minutes")
        if "texture" in groups:
            numbers = segment_numbers(notes, notes.end)
            span = float(np.ptp(notes.pitch))
            row.add({"notes_per_beat": numbers.notes_per_beat, "pitch_range": span, "polyphony": numbers.polyphony})
        if "musdr" in groups:
            row.add({"h1": musdr_h(notes, 1), "h4": musdr_h(notes, 4), "gs_64": musdr_gs(notes)})
    except InputError as error:
        return Row(song.name, error=str(error))
    return row


def measure_songs(
    songs: Sequence[Song], groups: Sequence[str], workers: int, soundfont: str | Path | None = None
) -> Iterator[Row]:
    """`measure_song` for every song, in their order, over `workers` processes; one process works in this one."""
    font = None if soundfont is None else str(soundfont)
    if workers == 1 or len(songs) == 1:
        yield from (measure_song(song, groups, font) for song in songs)
        return
    context = multiprocessing.get_context("spawn")  # this process may hold torch's threads, which do not survive a fork
    chunk = max(1, min(8, len(songs) // (4 * workers)))
    with ProcessPoolExecutor(min(workers, len(songs)), context) as pool:
        yield from pool.map(measure_song, songs, [groups] * len(songs), [font] * len(songs), chunksize=chunk)
