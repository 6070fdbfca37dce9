"""How a piece is played: the loudness and timing of each note, and the sustain pedal.

    manner, cue = Manner(dynamics=0.7, humanize=0.5), Cue(energy, accents)
    performance = timed(shaped(notes, manner, cue), manner, cue, seed=(0,), tempo=120)

Loudness comes from the velocity network (velocity.py) and from the picture, which changes velocities and makes all
parts swell slowly. With dynamics=0 and humanize=0 the notes are unchanged. The same seed gives the same performance.

Shape legend: N notes, T beats, K accents, P pedals.
"""

from dataclasses import dataclass, field

import numpy as np

from diffbgm.errors import InputError
from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import lead_of
from diffbgm.music.velocity import velocity_scores

SOFTEST, LOUDEST = 24, 122  # the range of a performance's velocities
# Changes of velocity at dynamics=1: one standard deviation of the network's score, full energy, a cut
SCORE, ENERGY, ACCENT = 12.0, 24.0, 20.0
ENERGY_BEATS, SWELL_BEATS = 2.0, 4.0  # standard deviations of the Gaussians that smooth energy and swell
SPREAD = 0.016  # seconds; the largest spread of a chord at humanize=1
SCATTER = 0.005  # seconds; standard deviation of single notes at humanize=1
LEAD_AHEAD = 0.008  # seconds by which the lead precedes the other notes at humanize=1 (Goebl 2001)
GRID_SHARE = 0.3  # largest shift as a share of a sixteenth, so that files are read back on the same grid
PEDAL_SPAN = STEPS_PER_BAR // 2  # steps whose harmony decides whether the pedal changes
MUDDY = 5  # most pitch classes that are held together by the pedal


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
    """What the picture asks the performer for."""

    energy: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) -1 soft .. 1 loud, for each beat
    accents: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))  # (K,) steps that are accented
    swell: np.ndarray = field(default_factory=lambda: np.zeros(0))  # (T,) -1 .. 1: slow changes of all parts


@dataclass(frozen=True)
class Performance:
    """A piece as it is played."""

    notes: Notes  # on the grid, with the velocities that are played
    delay: np.ndarray  # (N,) seconds by which each note starts after the grid (negative: before it)
    pedal: np.ndarray  # (P, 2) steps: down, up
    swell: np.ndarray  # (T,) -1..1: changes of the loudness of all parts, smoothed and scaled; empty without dynamics

    def select(self, mask: np.ndarray) -> "Performance":
        """The notes that a mask or an index array selects, with the same pedal and swell."""
        return Performance(self.notes.select(mask), self.delay[mask], self.pedal, self.swell)


def shaped(notes: Notes, manner: Manner, cue: Cue, lead: np.ndarray | None = None) -> Notes:
    """The notes (step 0 is a bar line) with new velocities; `lead` (N,) bool marks the lead, by default `lead_of`.

    At dynamics=1 a velocity is changed by 12 for each standard deviation of the network's score, by up to 24 for the
    picture's energy (smoothed over two beats), and by 20 on a cut.
    """
    tune = lead_of(notes) if lead is None else lead
    energy = smooth(cue.energy, ENERGY_BEATS) * manner.dynamics
    loud = _velocities(notes, tune, manner.dynamics, energy, cue.accents)
    return Notes(notes.onset, notes.pitch, notes.duration, loud, notes.track)


def timed(
    notes: Notes, manner: Manner, cue: Cue, seed: tuple[int, ...], tempo: float, lead: np.ndarray | None = None
) -> Performance:
    """The notes after `shaped`, with human timing, pedal and swell. `tempo` is in BPM."""
    tune = lead_of(notes) if lead is None else lead
    swell = smooth(cue.swell, SWELL_BEATS) * manner.dynamics if manner.dynamics else np.zeros(0)
    delay = _delays(notes, tune, manner.humanize, seed, tempo)
    return Performance(notes, delay, pedals(notes) if manner.humanize else np.zeros((0, 2), np.int64), swell)


def smooth(values: np.ndarray, deviation: float) -> np.ndarray:
    """Values (T,) smoothed by a Gaussian with this standard deviation in beats; the end values are repeated."""
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
    """Which notes (N,) bool are accented: those at the onset nearest to an accent, at most a sixteenth away."""
    taken = np.zeros(len(notes), bool)
    onsets = np.unique(notes.onset)
    for accent in np.asarray(accents).tolist():
        if len(onsets):
            nearest = onsets[np.abs(onsets - accent).argmin()]
            if abs(int(nearest) - accent) <= 1:
                taken |= notes.onset == nearest
    return taken


def _delays(notes: Notes, lead: np.ndarray, humanize: float, seed: tuple[int, ...], tempo: float) -> np.ndarray:
    """The delay of each note (N,) in seconds: chords are spread upwards, the lead is early, and some is random."""
    if humanize == 0 or not len(notes):
        return np.zeros(len(notes))
    order = np.lexsort((notes.pitch, notes.onset))  # so that random delays do not depend on the order of the notes
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
    """When the sustain pedal is down, (P, 2) steps: it changes with the harmony.

    It is pressed for each half bar, and for a whole bar whose halves share bass and harmony. A half bar with more than
    five pitch classes is played without pedal.
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
