"""Lead and accompaniment: how they are told apart, and the four planes in which a network represents both.

Shape legend: N notes, B rolls, S steps, P pitches. Planes 0 and 1 are onset and sustain of the lead, 2 and 3 those of
the accompaniment; a roll of two planes holds both parts merged.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from diffbgm.music.notes import PITCHES, Notes
from diffbgm.music.pianoroll import ONSET, SUSTAIN, decode, encode, encode_batch

LEAD, ACCOMPANIMENT = 0, 1
OCTAVE = 12
PLANES = (2, 4)  # of a merged roll, and of one with parts
_LEAD_WORDS = ("melody", "bridge", "lead", "vocal", "voice", "solo")


def parts_of(notes: Notes, names: Sequence[str]) -> np.ndarray | None:
    """The part (N,) of each note by the name of its track; None if the names do not tell lead from accompaniment."""
    leads = np.array([any(word in name.lower() for word in _LEAD_WORDS) for name in names], bool)
    if not leads.any() or leads.all():
        return None
    return np.where(leads[notes.track], LEAD, ACCOMPANIMENT)


def by_highest_line(notes: Notes) -> np.ndarray:
    """The part (N,) of each note: the highest that start together are the lead, unless a higher note still sounds.

    A note more than an octave below the last one of the lead belongs to the accompaniment even if it sounds alone.
    """
    part = np.full(len(notes), ACCOMPANIMENT)
    order = np.lexsort((-notes.pitch, notes.onset))
    until, highest, now = -1, -1, -1
    for note in order:
        onset, pitch = int(notes.onset[note]), int(notes.pitch[note])
        if onset == now:  # a lower note of the same moment
            continue
        now = onset
        if pitch >= highest or (onset >= until and pitch >= highest - OCTAVE):
            part[note] = LEAD
            until, highest = onset + int(notes.duration[note]), pitch
    return part


def lead_of(notes: Notes) -> np.ndarray:
    """Which notes (N,) bool are the lead: by their track if the piece has both parts, else the highest line."""
    if set(np.unique(notes.track)) == {LEAD, ACCOMPANIMENT}:
        return notes.track == LEAD
    return by_highest_line(notes) == LEAD


def in_parts(notes: Notes, names: Sequence[str]) -> Notes:
    """The notes with their part as their track: by the names of the tracks, else by the highest line."""
    parts = parts_of(notes, names)
    return replace(notes, track=by_highest_line(notes) if parts is None else parts)


def encode_parts(notes: Notes, steps: int, planes: int) -> np.ndarray:
    """The roll (C, steps, P) of notes that have their part as their track, in two planes or four."""
    if planes == 2:
        return encode(notes, steps)
    rolls = encode_batch(notes.onset, notes.pitch, notes.duration, notes.track, 2, steps)
    return rolls.reshape(4, *rolls.shape[2:])


def merged(rolls: np.ndarray) -> np.ndarray:
    """Rolls (..., 2, S, P) in [0, 1] with both parts of (..., 4, S, P); rolls of two planes as they are."""
    if rolls.shape[-3] == 2:
        return rolls
    assert rolls.shape[-3] == 4, f"not a roll: {rolls.shape}"
    onset = np.maximum(rolls[..., ONSET, :, :], rolls[..., 2 + ONSET, :, :])
    held = np.maximum(rolls[..., SUSTAIN, :, :], rolls[..., 2 + SUSTAIN, :, :])
    return np.stack([onset, np.where(onset > 0.5, 0, held)], axis=-3)


def thinned(notes: Notes, most: Sequence[int]) -> Notes:
    """The notes without those that exceed `most[track]` at one onset of a track.

    Inner notes go, those that double a pitch class first; the top note and the accompaniment's lowest stay.
    """
    kept = np.ones(len(notes), bool)
    for track, count in enumerate(most):
        own = np.flatnonzero(notes.track == track)
        for onset in np.unique(notes.onset[own]):
            chord = own[notes.onset[own] == onset]
            chord = chord[np.argsort(-notes.pitch[chord])]  # from the top down
            if len(chord) > count:
                kept[chord[_importance(notes.pitch[chord], bass=track == ACCOMPANIMENT) >= count]] = False
    return notes.select(kept)


def _importance(pitch: np.ndarray, bass: bool) -> np.ndarray:
    """The place of each note of a chord, given from the top down, in the order in which notes are kept."""
    classes = pitch % OCTAVE
    outer = np.zeros(len(pitch), bool)
    outer[0], outer[-1] = True, bass
    doubled = np.array([not outer[k] and classes[k] in [*classes[:k], *classes[outer]] for k in range(len(pitch))])
    return np.argsort(np.lexsort((np.arange(len(pitch)), doubled, ~outer)))


def decode_parts(roll: np.ndarray, threshold: float = 0.5, velocity: int = 80) -> Notes:
    """The notes of a roll of two or four planes; those of four planes have LEAD or ACCOMPANIMENT as their track.

    A note that both parts start together on one pitch belongs to the lead; the accompaniment never changes the lead.
    """
    if len(roll) == 2:
        return decode(roll, threshold, velocity)
    lead, other = (decode(roll[2 * part : 2 * part + 2], threshold, velocity) for part in (LEAD, ACCOMPANIMENT))
    doubled = np.isin(other.onset * PITCHES + other.pitch, lead.onset * PITCHES + lead.pitch)
    other = replace(other, track=np.full(len(other), ACCOMPANIMENT)).select(~doubled)
    return Notes.concatenate([replace(lead, track=np.full(len(lead), LEAD)), other]).sorted()


def reference_planes(roll: np.ndarray, asked: float) -> np.ndarray:
    """The hint (C + 1, S, P) to resemble a passage (C, S, P); `asked` in [0, 1] says how closely."""
    return np.concatenate([roll, np.full((1, *roll.shape[1:]), asked, np.float32)]).astype(np.float32)
