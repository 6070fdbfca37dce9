"""Music given by the user that the model completes: a melody, or some bars of an existing piece.

Shape legend: L steps of the piece, P pitches, C planes (music/parts.py). Known parts are a roll and a mask (C, L, P).
"""

from pathlib import Path

import numpy as np
import torch

from diffbgm.diffusion.inpainting import Known
from diffbgm.errors import InputError
from diffbgm.music.midi import read_midi
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import encode_parts, in_parts
from diffbgm.music.pianoroll import ONSET, SUSTAIN, encode


def known_melody(path: str | Path, total: int, planes: int = 2) -> Known:
    """The notes of a MIDI file, kept exactly, while everything around them is free.

    With four planes they are the whole lead until the last of them ends, and the accompaniment is free.

    Known are the cells of each note and that it does not continue after its end. Raises InputError if the file is not a
    MIDI file, has no notes, or is longer than the piece of `total` steps.
    """
    notes = _read(path, total)
    roll = encode(notes, total)
    if planes == 4:
        apart = np.concatenate([roll, np.zeros_like(roll)])
        lead = np.zeros(apart.shape, bool)
        lead[:2, : notes.end + 1] = True  # and the last note ends there
        return _known(apart, lead)
    mask = np.zeros(roll.shape, bool)
    sounding = roll.max(axis=0) > 0
    mask[:, sounding] = True
    after = np.zeros_like(sounding)
    after[1:] = sounding[:-1] & ~sounding[1:]
    mask[SUSTAIN] |= after
    # A note that ends where the same pitch starts again is already told apart by the known onset.
    assert not (roll[ONSET] * roll[SUSTAIN]).any()
    return _known(roll, mask)


def known_bars(path: str | Path, first: int, last: int, total: int, planes: int = 2) -> Known:
    """Bars `first` to `last` (1 is the first bar) of a MIDI file, kept exactly, with their rests.

    With four planes, lead and accompaniment are separated by the names of the file's tracks, or by the highest line.

    Raises InputError for bars that the file or the piece of `total` steps does not have.
    """
    start, stop = (first - 1) * STEPS_PER_BAR, last * STEPS_PER_BAR
    if not 1 <= first <= last:
        raise InputError(f"keep_bars=[{first},{last}] are not bars; give the first and the last, such as [1,4]")
    if stop > total:
        raise InputError(
            f"keep_bars=[{first},{last}] end after the piece, which has {total // STEPS_PER_BAR} whole bars at this "
            "tempo; keep earlier bars"
        )
    score = read_midi(path)
    notes = score.notes
    if notes.end <= start:
        raise InputError(f"{path} ends before bar {first}; keep earlier bars")
    roll = encode_parts(in_parts(notes, score.track_names).window(start, stop).shifted(start), total, planes)
    mask = np.zeros(roll.shape, bool)
    mask[:, start:stop] = True
    return _known(roll, mask)


def _known(roll: np.ndarray, mask: np.ndarray) -> Known:
    return Known(torch.from_numpy(roll), torch.from_numpy(mask))


def _read(path: str | Path, total: int) -> Notes:
    notes = read_midi(path).notes
    if notes.end > total:
        raise InputError(
            f"the melody in {path} has {notes.end / STEPS_PER_BEAT:g} beats, the video only "
            f"{total / STEPS_PER_BEAT:g} at this tempo; shorten the melody or raise tempo="
        )
    return notes
