"""`diffbgm.evaluate`: the metrics of music in memory or of single MIDI files, without a folder of results."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from diffbgm.errors import InputError
from diffbgm.evaluation.measure import GROUPS, OF_A_SONG, SLOW, Row, measure_song
from diffbgm.evaluation.report import Summary, mean_of, summarise
from diffbgm.evaluation.songs import SongFile
from diffbgm.generation.music import Music
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

Measurable = Music | Notes | str | Path  # a path is that of a MIDI file
FOLLOWING = "following"  # the one metric that only a Music has


def evaluate(
    music: Measurable | Sequence[Measurable], metrics: Sequence[str] | None = None, seed: int = 0
) -> dict[str, float | None] | dict[str, Summary]:
    """The metrics of one piece, or the mean and interval of each metric over several pieces.

    `metrics` lists metrics or groups (exact, paper, rhythm, structure, texture, musdr; see docs/evaluation.md), and
    `following` for a Music; by default all that take less than a second. The numbers equal those of evaluate.py on the
    MIDI files. One piece gives a number per metric, None where it cannot be computed; several pieces give
    {"mean", "ci95", "n"} per metric, with `seed` for the bootstrap. Raises InputError for an unknown metric and for a
    file that cannot be read.
    """
    groups, names = _asked(metrics)
    several = not isinstance(music, Music | Notes | str | Path)
    pieces: Sequence[Any] = music if several else [music]  # type: ignore[assignment]
    if not pieces:
        raise InputError("there is no music to evaluate; give a Music, notes, a MIDI file, or several of them")
    rows = [_measured(piece, str(number), groups, names) for number, piece in enumerate(pieces)]
    if not several:
        return rows[0].values
    found = summarise(rows, seed)
    following = mean_of((row.values.get(FOLLOWING) for row in rows), seed)
    if FOLLOWING in names and following["n"]:
        found[FOLLOWING] = following
    return {name: summary for name, summary in found.items() if name in names}


def _asked(metrics: Sequence[str] | None) -> tuple[list[str], set[str]]:
    """The groups to measure and the columns to return."""
    if metrics is None:
        groups = [group for group in OF_A_SONG if group not in SLOW]
        return groups, {FOLLOWING, *(column for group in groups for column in GROUPS[group])}
    group_of = {column: group for group in OF_A_SONG for column in GROUPS[group]}
    groups, names = [], set()
    for name in [metrics] if isinstance(metrics, str) else metrics:
        if name == FOLLOWING:
            names.add(name)
        elif name in OF_A_SONG:
            groups.append(name)
            names |= set(GROUPS[name])
        elif name in group_of:
            groups.append(group_of[name])
            names.add(name)
        else:
            known = [*OF_A_SONG, *group_of, FOLLOWING]
            close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
            meant = f"did you mean '{close[0]}'?" if close else f"give some of {', '.join(known)}"
            raise InputError(f"there is no metric '{name}' of single pieces; {meant}")
    return list(dict.fromkeys(groups)), names


def _measured(piece: Measurable, name: str, groups: Sequence[str], names: set[str]) -> Row:
    """The metrics of one piece, measured on its MIDI file."""
    with TemporaryDirectory() as folder:
        if isinstance(piece, str | Path):
            path = Path(piece)
        elif isinstance(piece, Music):
            path = piece.save(Path(folder) / "music.mid")
        else:
            write_midi(piece, path := Path(folder) / "music.mid")
        row = measure_song(SongFile(name, path), groups)
    if row.error is not None:
        raise InputError(row.error if isinstance(piece, str | Path) else "the music has no notes to evaluate")
    if FOLLOWING in names and isinstance(piece, Music):
        row.values[FOLLOWING] = piece.following
    row.values = {column: value for column, value in row.values.items() if column in names}
    return row
