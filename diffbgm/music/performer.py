"""Playing a piece: how loud and how exactly in time each note is, and when the pedal is down.

    performance = perform(notes, Manner(dynamics=0.7, humanize=0.5), Cue(energy, accents), seed=(0,), tempo=120)

Loudness is the velocity network's (velocity.py) plus what the picture asks for, in velocities and in a slow swell of
all parts; with dynamics=0 and humanize=0 the notes come back as they are. The same seed gives the same performance.

Shape legend: N notes, T beats, K accents, P pedals.
"""

from dataclasses import dataclass, field

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import lead_of
from diffbgm.music.velocity import velocity_scores

SOFTEST, LOUDEST = 24, 122  # the range of a performance's velocities
SCORE, ENERGY, ACCENT = 12.0, 24.0, 20.0  # velocity at dynamics=1: a deviation of the network, full energy, a cut
ENERGY_BEATS, SWELL_BEATS = 2.0, 4.0  # standard deviations that the picture's energy and its swell are smoothed by
SPREAD = 0.016  # seconds at humanize=1 from the lowest to the highest note of a chord at most
SCATTER = 0.005  # seconds, standard deviation of single notes at humanize=1
LEAD_AHEAD = 0.008  # seconds at humanize=1 that the tune comes before the other notes (Goebl 2001)
GRID_SHARE = 0.3  # the most of a sixteenth that a note is moved by, so that files read back on the same grid
PEDAL_SPAN = STEPS_PER_BAR // 2  # steps whose harmony decides whether the pedal changes
MUDDY = 5  # more pitch classes than this under one pedal are not held together


@dataclass(frozen=True)
class Manner:
    """How freely a piece is played. Raises InputError outside 0..1."""

    dynamics: float = 0.7  # 0 flat .. 1 as wide as the picture and the pianists of the training songs ask for
    humanize: float = 0.5  # 0 exactly on the grid, no pedal .. 1 chords spread by up to 16 ms

    def __post_init__(self) -> None:
        for name in ("dynamics", "humanize"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise InputError(f"{name}={value:g} is out of range; give 0 (none) to 1")


@dataclass(frozen=True)
class Cue:
    """What the picture asks of the player."""

    energy: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) -1 soft .. 1 loud, for each beat
    accents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (K,) steps that are struck
    swell: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) -1 .. 1: how all parts swell together


@dataclass(frozen=True)
class Performance:
    """A piece as it is played."""

    notes: Notes  # on the grid, with the velocities that are played
    delay: np.ndarray  # (N,) seconds after (or before) the grid that each note starts
    pedal: np.ndarray  # (P, 2) steps: down, up
    swell: np.ndarray  # (T,) -1..1, smoothed, times dynamics: the loudness of all parts; empty without dynamics

    def select(self, mask: np.ndarray) -> "Performance":
        """The notes that a mask or an index array picks, under the same pedal and swell."""
        return Performance(self.notes.select(mask), self.delay[mask], self.pedal, self.swell)


def perform(
    notes: Notes, manner: Manner, cue: Cue, seed: tuple[int, ...], tempo: float, lead: np.ndarray | None = None
) -> Performance:
    """Play a piece whose step 0 is a bar line: its loudness `shaped`, then `timed`. `tempo` is in BPM."""
    return timed(shaped(notes, manner, cue, lead), manner, cue, seed, tempo, lead)


def shaped(notes: Notes, manner: Manner, cue: Cue, lead: np.ndarray | None = None) -> Notes:
    """The notes with the velocities that they are played with; `lead` (N,) bool is the tune, by default `lead_of`.

    Each velocity is the note's own plus, at full dynamics, 12 for each standard deviation of the network's score, up
    to 24 for the picture's energy (smoothed over two beats) and 20 on a cut.
    """
    tune = lead_of(notes) if lead is None else lead
    energy = smooth(cue.energy, ENERGY_BEATS) * manner.dynamics
    loud = _velocities(notes, tune, manner.dynamics, energy, cue.accents)
    return Notes(notes.onset, notes.pitch, notes.duration, loud, notes.track)


def timed(
    notes: Notes, manner: Manner, cue: Cue, seed: tuple[int, ...], tempo: float, lead: np.ndarray | None = None
) -> Performance:
    """Notes that have their velocities, with a player's timing, pedal and swell. `tempo` is in BPM."""
    tune = lead_of(notes) if lead is None else lead
    swell = smooth(cue.swell, SWELL_BEATS) * manner.dynamics if manner.dynamics else np.zeros(0)
    delay = _delays(notes, tune, manner.humanize, seed, tempo)
    return Performance(notes, delay, pedals(notes) if manner.humanize else np.zeros((0, 2), np.int64), swell)


def smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Values (T,) smoothed by a Gaussian of that standard deviation in beats, the ends repeated."""
    if not len(values):
        return np.zeros(0)
    reach = int(np.ceil(3 * deviation))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    return np.convolve(np.pad(np.asarray(values, np.float64), reach, mode="edge"), kernel / kernel.sum(), "valid")


def _velocities(notes: Notes, lead: np.ndarray, dynamics: float, energy: np.ndarray, accents: np.ndarray) -> np.ndarray:
    if dynamics == 0 or not len(notes):
        return notes.velocity
    louder = dynamics * SCORE * velocity_scores(notes, lead)
    if len(energy):
        louder += ENERGY * energy[np.minimum(notes.onset // STEPS_PER_BEAT, len(energy) - 1)]
    louder += dynamics * ACCENT * struck(notes, accents)
    return np.clip(np.rint(notes.velocity + louder), SOFTEST, LOUDEST).astype(np.int64)


def struck(notes: Notes, accents: np.ndarray) -> np.ndarray:
    """Which notes (N,) bool take the accents: those on the onset nearest to each, a sixteenth away at most."""
    taken = np.zeros(len(notes), bool)
    onsets = np.unique(notes.onset)
    for accent in np.asarray(accents).tolist():
        if len(onsets):
            nearest = onsets[np.abs(onsets - accent).argmin()]
            if abs(int(nearest) - accent) <= 1:
                taken |= notes.onset == nearest
    return taken


def _delays(notes: Notes, lead: np.ndarray, humanize: float, seed: tuple[int, ...], tempo: float) -> np.ndarray:
    """Seconds that each note comes late (N,): chords from the bottom up, the tune ahead, and a little chance."""
    if humanize == 0 or not len(notes):
        return np.zeros(len(notes))
    order = np.lexsort((notes.pitch, notes.onset))  # chance must not depend on the order in which notes come
    rng = np.random.default_rng([*seed, 0x504C4159])
    _, chord, size = np.unique(notes.onset[order], return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    height = (np.arange(len(notes)) - first[chord]) / np.maximum(size[chord] - 1, 1)  # 0 lowest .. 1 highest
    rolled = SPREAD * rng.random(len(size))[chord] * (height - 0.5) * (size[chord] > 1)
    late = rolled + SCATTER * rng.standard_normal(len(notes)) - LEAD_AHEAD * (lead[order] & (size[chord] > 1))
    limit = GRID_SHARE * 60.0 / tempo / STEPS_PER_BEAT
    delay = np.empty(len(notes))
    delay[order] = np.clip(humanize * late, -limit, limit)
    return np.where(notes.onset == 0, np.abs(delay), delay)


def pedals(notes: Notes) -> np.ndarray:
    """When the sustain pedal is down, (P, 2) steps, as the harmony asks for.

    Each half bar is held as one; the pedal stays down over two of them in a bar where they share bass and harmony. A
    half bar with more than five pitch classes is played without.
    """
    spans = -(-notes.end // PEDAL_SPAN)
    classes = np.zeros((spans, 12), bool)
    lowest = np.full(spans, 128)
    first = notes.onset // PEDAL_SPAN
    classes[first, notes.pitch % 12] = True
    np.minimum.at(lowest, first, notes.pitch)
    down: list[list[int]] = []
    for span in range(spans):
        if not 0 < classes[span].sum() <= MUDDY:
            continue
        begin, end = span * PEDAL_SPAN, min((span + 1) * PEDAL_SPAN, notes.end)
        joined = (
            down
            and span % 2 == 1
            and down[-1][1] == begin
            and lowest[span] % 12 == lowest[span - 1] % 12
            and (classes[span] | classes[span - 1]).sum() <= MUDDY
        )
        if joined:
            down[-1][1] = end
        else:
            down.append([begin, end])
    return np.array(down, np.int64).reshape(-1, 2)
