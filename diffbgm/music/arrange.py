"""Divide a performed piece among the voices of a palette: lead, accompaniment, bass and a pad of held chords.

Shape legend: N notes.
"""

from dataclasses import dataclass, replace

import numpy as np

from diffbgm.music.harmony import sounding_steps
from diffbgm.music.instruments import ALL, Voice
from diffbgm.music.midi_score import Track
from diffbgm.music.notes import PITCHES, STEPS_PER_BAR, Notes
from diffbgm.music.performer import Performance

BASS_TOP = 54  # the highest pitch that a bass takes over from the accompaniment
PAD_SPAN = STEPS_PER_BAR // 2  # steps of one chord of the pad
PAD_CENTRE = 62  # middle of the pitches of the pad's chords
PAD_TONES = 3
PAD_SOFTER = 14  # how far the pad's velocity is below the mean of the piece
PEDALLED = (0, 1, 2, 3, 4, 5, 11, 46)  # programs that respond to the sustain pedal: pianos, vibraphone, harp


@dataclass(frozen=True)
class Part:
    """A voice and what it plays."""

    voice: Voice
    performance: Performance

    def track(self) -> Track:
        """The part as a track of a MIDI file."""
        voice, played = self.voice, self.performance
        pedal = played.pedal if voice.program in PEDALLED else np.zeros((0, 2), np.int64)
        return Track(
            *(voice.name, voice.program, played.notes, played.delay, voice.pan, voice.volume),
            pedal=pedal,
            swell=played.swell,
        )


def arrange(performance: Performance, lead: np.ndarray, voices: tuple[Voice, ...]) -> list[Part]:
    """The parts of the voices, in the order of `voices`; a voice for which the piece has no notes is left out.

    `lead` (N,) bool marks the notes of the lead. A bass, if there is one, takes the lowest notes of the accompaniment;
    a pad plays the harmony of each half bar. Notes outside a voice's range are moved into it by octaves. In a piece
    without notes every voice has an empty part.
    """
    if performance.notes.track.any():  # a piece that was composed in two parts keeps them as two tracks
        voices = tuple(part for voice in voices for part in _apart(voice))
    roles = {voice.role for voice in voices}
    bass = _bass(performance.notes, lead) if "bass" in roles else np.zeros(len(lead), bool)
    chosen = {
        ALL: np.ones(len(lead), bool),
        "lead": lead,
        "accompaniment": ~lead & ~bass,
        "bass": bass,
    }
    parts = []
    for voice in voices:
        played = _pad(performance) if voice.role == "pad" else performance.select(chosen[voice.role])
        fitted = Performance(in_range(played.notes, *voice.range), played.delay, played.pedal, played.swell)
        parts.append(Part(voice, fitted))
    return [part for part in parts if len(part.performance.notes)] or parts


def _apart(voice: Voice) -> tuple[Voice, ...]:
    """A voice that plays everything, split into one for the lead and one for the accompaniment."""
    return (replace(voice, role="lead"), replace(voice, role="accompaniment")) if voice.role == ALL else (voice,)


def in_range(notes: Notes, low: int, high: int) -> Notes:
    """The notes, with pitches outside low..high (at least an octave) moved inside by as few octaves as possible."""
    below, above = np.maximum(low - notes.pitch, 0), np.maximum(notes.pitch - high, 0)
    pitch = notes.pitch + 12 * -(-below // 12) - 12 * -(-above // 12)
    return Notes(notes.onset, pitch, notes.duration, notes.velocity, notes.track)


def _bass(notes: Notes, lead: np.ndarray) -> np.ndarray:
    """Which notes (N,) bool are the lowest of the accompaniment at their onset and low enough for a bass."""
    lowest = np.full(notes.end + 1, PITCHES)
    np.minimum.at(lowest, notes.onset[~lead], notes.pitch[~lead])
    return ~lead & (notes.pitch == lowest[notes.onset]) & (notes.pitch <= BASS_TOP)


def _pad(performance: Performance) -> Performance:
    """The harmony of each half bar as a held chord of three notes in the middle; equal chords in a row are joined."""
    notes = performance.notes
    spans = -(-notes.end // PAD_SPAN)
    chords: list[tuple[int, int, tuple[int, ...]]] = []  # begin, end, pitches
    for span, weights in enumerate(sounding_steps(notes, spans, PAD_SPAN)):
        tones = _voicing(weights)
        begin, end = span * PAD_SPAN, min((span + 1) * PAD_SPAN, notes.end)
        if chords and chords[-1][2] == tones and chords[-1][1] == begin:
            chords[-1] = (chords[-1][0], end, tones)
        elif tones:
            chords.append((begin, end, tones))
    rows = np.array([(b, p, e - b) for b, e, pitches in chords for p in pitches], np.int64).reshape(-1, 3)
    soft = max(1, round(float(notes.velocity.mean())) - PAD_SOFTER) if len(notes) else 1
    held = Notes(rows[:, 0], rows[:, 1], rows[:, 2], np.full(len(rows), soft), np.zeros(len(rows), np.int64))
    return Performance(held, np.zeros(len(rows)), performance.pedal, performance.swell)


def _voicing(weights: np.ndarray) -> tuple[int, ...]:
    """The pitch classes (12,) with the most weight, each at its pitch nearest to `PAD_CENTRE`; none for silence."""
    strongest = np.argsort(-weights, kind="stable")[:PAD_TONES]
    kept = strongest[weights[strongest] > 0]
    return tuple(sorted(int(PAD_CENTRE - 6 + (tone - PAD_CENTRE + 6) % 12) for tone in kept))
