"""How a piece ends: cut where the video ends, or resolved to its tonic chord."""

import numpy as np

from diffbgm.music.key import estimate_key
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import ACCOMPANIMENT, LEAD

_CHORD_VELOCITY = 72


def cut_at(notes: Notes, end: int) -> Notes:
    """Only what sounds before step `end`; notes that last longer are cut there."""
    return notes.window(0, end)


def resolve(notes: Notes, end: int) -> Notes:
    """End on the tonic: from the last bar line at least two beats before `end`, one held tonic triad.

    The chord is in root position, its bass doubled in octaves, its top note the chord tone nearest to the last
    melody note. In a piece of two parts only that top note is the lead's. A piece shorter than two beats is only cut.
    """
    start = (end - 2 * STEPS_PER_BEAT) // STEPS_PER_BAR * STEPS_PER_BAR
    if start <= 0 or not len(notes):
        return cut_at(notes, end)
    body = notes.window(0, start)
    if not len(body):
        return cut_at(notes, end)
    key = estimate_key(body)  # of what is heard, not of the notes that the chord replaces
    triad = (key.tonic + np.array([0, 3 if key.minor else 4, 7])) % 12
    highest = int(body.pitch[body.onset >= body.onset.max() - STEPS_PER_BAR].max())
    tones = np.array([pitch for pitch in range(60, 85) if pitch % 12 in triad])
    top = int(tones[np.abs(tones - highest).argmin()])
    below = [pitch for pitch in range(top - 1, top - 13, -1) if pitch % 12 in triad][:2]
    bass = 36 + key.tonic
    pitch = np.array(sorted({bass, bass + 12, top, *below}))
    count = len(pitch)
    below_lead = ACCOMPANIMENT if body.track.any() else LEAD  # a piece of one track keeps it
    chord = Notes(
        np.full(count, start),
        pitch,
        np.full(count, end - start),
        np.full(count, _CHORD_VELOCITY),
        np.where(pitch == top, LEAD, below_lead),
    )
    return Notes.concatenate([body, chord]).sorted()
