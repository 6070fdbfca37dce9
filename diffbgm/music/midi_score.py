"""A performance as a MIDI file for a sequencer: named tracks, panning, pedal, swells, tempo, key and markers.

Shape legend: N notes of a track, P pedals, T beats.
"""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import mido
import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.key import Key
from diffbgm.music.midi import DRUMS, FASTEST, RESOLUTION, SLOWEST
from diffbgm.music.notes import PITCHES, STEPS_PER_BEAT, Notes, cut_overlaps

TICKS = RESOLUTION // STEPS_PER_BEAT  # of a step
CATCH = TICKS // 3  # ticks between a chord and its pedal, so that the previous chord is not held
VOLUME, PAN, EXPRESSION, PEDAL, REVERB = 7, 10, 11, 64, 91  # controllers
EXPRESSION_REST, EXPRESSION_SPAN = 100, 27  # value of controller 11 for a swell of 0, and what a swell of 1 adds
Event = tuple[int, int, int, mido.Message]  # tick, order at that tick, pitch, message


@dataclass(frozen=True)
class Track:
    """One instrument of a file."""

    name: str
    program: int  # General MIDI, 0..127
    notes: Notes
    delay: np.ndarray  # (N,) seconds after the grid
    pan: int = 64  # 0 left .. 127 right
    volume: int = 100  # 0..127
    pedal: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))  # (P, 2) steps: down, up
    swell: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) -1..1: louder and softer, beat by beat


@dataclass(frozen=True)
class Marker:
    """A name at a moment of the piece."""

    seconds: float
    text: str


def midi_bytes(
    tracks: Sequence[Track],
    tempo: float,
    key: Key | None = None,
    markers: Iterable[Marker] = (),
    reverb: float | None = None,
) -> bytes:
    """A MIDI file of type 1 in 4/4: a track with tempo, key and markers, then one for each instrument.

    `reverb` 0..1 is the reverb send level (controller 91); None leaves it to the player. The same tracks give the same
    bytes, whatever the order of their notes. Raises InputError for a tempo that no file can hold and for
    more tracks than MIDI has channels.
    """
    if not SLOWEST <= tempo <= FASTEST:
        raise InputError(f"the tempo is {tempo} BPM; give one from {SLOWEST:g} to {FASTEST:g}")
    channels = [channel for channel in range(16) if channel != DRUMS]
    if len(tracks) > len(channels):
        raise InputError(
            f"{len(tracks)} tracks are more than a MIDI file has channels for; give {len(channels)} or fewer"
        )
    file = mido.MidiFile(type=1, ticks_per_beat=RESOLUTION)
    file.tracks.append(_conductor(tempo, key, markers))
    for channel, track in zip(channels, tracks, strict=False):
        file.tracks.append(_track(track, channel, tempo, reverb))
    buffer = io.BytesIO()
    file.save(file=buffer)
    return buffer.getvalue()


def _conductor(tempo: float, key: Key | None, markers: Iterable[Marker]) -> mido.MidiTrack:
    events: list[Event] = [
        (0, 0, 0, mido.MetaMessage("set_tempo", tempo=mido.bpm2tempo(tempo))),
        (0, 1, 0, mido.MetaMessage("time_signature", numerator=4, denominator=4)),
    ]
    if key is not None:
        name = str(key).removesuffix(" major").replace(" minor", "m")
        events.append((0, 2, 0, mido.MetaMessage("key_signature", key=name)))
    for number, marker in enumerate(sorted(markers, key=lambda marker: marker.seconds)):
        tick = max(0, round(marker.seconds * tempo / 60 * RESOLUTION))
        text = marker.text.encode("latin-1", "replace").decode("latin-1")  # the encoding of MIDI files
        events.append((tick, 3, number, mido.MetaMessage("marker", text=text)))
    return _timed("Score", events)


def _track(track: Track, channel: int, tempo: float, reverb: float | None) -> mido.MidiTrack:
    """One instrument's events; where notes of one pitch overlap, the newer onset ends the older note."""
    setup = [(VOLUME, track.volume), (PAN, track.pan)]
    if reverb is not None:
        setup.append((REVERB, round(127 * reverb)))
    events: list[Event] = [(0, 0, 0, mido.Message("program_change", channel=channel, program=track.program))]
    events += [(0, 1, 0, _control(channel, number, value)) for number, value in setup]
    for beat, energy in enumerate(track.swell.tolist()):
        value = int(np.clip(round(EXPRESSION_REST + EXPRESSION_SPAN * energy), 0, 127))
        events.append((beat * RESOLUTION, 2, 0, _control(channel, EXPRESSION, value)))
    for down, up in track.pedal.tolist():
        events.append((down * TICKS + CATCH, 4, 0, _control(channel, PEDAL, 127)))
        events.append((up * TICKS, 3, 0, _control(channel, PEDAL, 0)))
    for start, end, pitch, velocity in _spans(track, tempo):
        events.append((start, 6, pitch, mido.Message("note_on", channel=channel, note=pitch, velocity=velocity)))
        events.append((end, 5, pitch, mido.Message("note_off", channel=channel, note=pitch, velocity=0)))
    return _timed(track.name, events)


def _spans(track: Track, tempo: float) -> list[tuple[int, int, int, int]]:
    """(start, end, pitch, velocity) of each note, in ticks, with overlaps of equal pitches removed."""
    notes = track.notes
    loudest = np.argsort(-notes.velocity, kind="stable")
    kept, duration = cut_overlaps(notes.pitch[loudest], notes.onset[loudest], notes.duration[loudest])
    index = loudest[kept]
    late = np.rint(track.delay[index] * tempo / 60 * RESOLUTION).astype(np.int64)
    pitch, start = notes.pitch[index], np.maximum(notes.onset[index] * TICKS + late, 0)
    end = (notes.onset[index] + duration) * TICKS + np.maximum(late, 0)
    again = np.append(np.where(pitch[1:] == pitch[:-1], start[1:], np.iinfo(np.int64).max), np.iinfo(np.int64).max)
    end = np.minimum(end, again[: len(end)])
    assert ((pitch >= 0) & (pitch < PITCHES) & (end > start)).all()
    columns = (start, end, pitch, notes.velocity[index])
    return list(zip(*(column.tolist() for column in columns), strict=True))


def _control(channel: int, number: int, value: int) -> mido.Message:
    return mido.Message("control_change", channel=channel, control=number, value=value)


def _timed(name: str, events: list[Event]) -> mido.MidiTrack:
    """A track with a name and the events in order, each with the ticks since the previous one."""
    track = mido.MidiTrack([mido.MetaMessage("track_name", name=name)])
    before = 0
    for tick, _, _, message in sorted(events, key=lambda event: event[:3]):
        track.append(message.copy(time=tick - before))
        before = tick
    track.append(mido.MetaMessage("end_of_track"))
    return track
