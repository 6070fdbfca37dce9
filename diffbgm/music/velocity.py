"""The relative loudness of each note of a finished piece: a small convolutional network fitted to POP909's velocities.

The features of a note describe its place in its chord, bar, phrase and surroundings. Two convolutions along the notes,
in order of time, give a velocity in standard deviations of the piece; performer.py sets level and range. The baseline
`rule_scores` uses hand-written rules. scripts/fit_velocity.py fits the network and evaluates both; the weights
(velocity.npz) ship with the package.

Shape legend: N notes, F features, W hidden channels, K notes that a convolution spans.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np

from diffbgm.music.notes import STEPS_PER_BAR, STEPS_PER_BEAT, Notes
from diffbgm.music.parts import lead_of

WEIGHTS = Path(__file__).with_name("velocity.npz")
PHRASE_BARS = 8
LOUDEST, SOFTEST = 3.0, -3.0  # standard deviations to which the network's output is clipped
DILATIONS = (1, 4)  # notes between the taps of the first and the second convolution


def note_features(notes: Notes, lead: np.ndarray) -> np.ndarray:
    """Features (N, F) float32 of notes sorted by onset and pitch; step 0 is a bar line, `lead` (N,) bool."""
    if not len(notes):
        return np.zeros((0, FEATURES), np.float32)
    onset, pitch = notes.onset.astype(np.float64), notes.pitch.astype(np.float64)
    duration, end = notes.duration.astype(np.float64), float(notes.end)
    times, chord, size = np.unique(onset, return_inverse=True, return_counts=True)
    first = np.concatenate([[0], np.cumsum(size)[:-1]])
    rank = np.arange(len(notes)) - first[chord]  # 0 is the lowest note of its chord
    gap_before = np.append(STEPS_PER_BAR, np.diff(times))[chord]
    gap_after = np.append(np.diff(times), STEPS_PER_BAR)[chord]
    step = (onset % STEPS_PER_BAR).astype(int)
    sounding = np.searchsorted(onset, onset, side="right") - np.searchsorted(np.sort(onset + duration), onset, "right")
    columns = [
        (pitch - 60) / 12,
        (pitch - _mean_within(onset, pitch, STEPS_PER_BAR)) / 12,
        (pitch - pitch.mean()) / 12,
        (_mean_within(onset, pitch, 4 * STEPS_PER_BAR) - pitch.mean()) / 12,
        np.log2(duration) / 2,
        rank / np.maximum(size[chord] - 1, 1),
        rank == 0,
        rank == size[chord] - 1,
        np.log2(size[chord]),
        np.log2(np.maximum(sounding, 1)),
        lead,
        _mean_within(onset, lead.astype(np.float64), STEPS_PER_BAR),
        np.log2(gap_before + 1) / 2,
        np.log2(gap_after + 1) / 2,
        step % STEPS_PER_BEAT == 0,
        step % 2 == 0,
        *(step // STEPS_PER_BEAT == beat for beat in range(STEPS_PER_BAR // STEPS_PER_BEAT)),
        step == 0,
        np.sin(2 * np.pi * onset / (PHRASE_BARS * STEPS_PER_BAR)),
        np.cos(2 * np.pi * onset / (PHRASE_BARS * STEPS_PER_BAR)),
        np.sin(2 * np.pi * onset / (PHRASE_BARS // 2 * STEPS_PER_BAR)),
        np.cos(2 * np.pi * onset / (PHRASE_BARS // 2 * STEPS_PER_BAR)),
        onset / max(end, 1),
        (onset / max(end, 1) - 0.5) ** 2,
        np.exp(-onset / (4 * STEPS_PER_BAR)),
        np.exp(-(end - onset) / (4 * STEPS_PER_BAR)),
        *(_density(onset, beats * STEPS_PER_BEAT) for beats in (1, 4, 16, 64)),
    ]
    return np.stack([np.asarray(column, np.float32) for column in columns], axis=1)


FEATURES = 33


def _counts(onset: np.ndarray, width: float) -> tuple[np.ndarray, np.ndarray]:
    """The first note, and the one after the last, that starts within half of `width` steps of each note."""
    return np.searchsorted(onset, onset - width / 2), np.searchsorted(onset, onset + width / 2, side="right")


def _mean_within(onset: np.ndarray, values: np.ndarray, width: float) -> np.ndarray:
    """Mean value of the notes that start within half of `width` steps of each note."""
    low, high = _counts(onset, width)
    total = np.concatenate([[0.0], np.cumsum(values)])
    return (total[high] - total[low]) / (high - low)


def _density(onset: np.ndarray, width: float) -> np.ndarray:
    """Notes around each note: log2 of their number relative to the mean of the piece."""
    low, high = _counts(onset, width)
    count = (high - low).astype(np.float64)
    return np.log2(count / count.mean())


@lru_cache(maxsize=1)
def weights() -> dict[str, np.ndarray]:
    """The weights: mean and scale (F,) of the features, kernels (W, C, K) and biases."""
    with np.load(WEIGHTS) as file:
        return {name: file[name].astype(np.float32) for name in file.files}


def velocity_scores(notes: Notes, lead: np.ndarray | None = None) -> np.ndarray:
    """The network's loudness of each note, (N,), with mean 0 and standard deviation 1 over the piece.

    Notes may be in any order; step 0 is a bar line. `lead` (N,) bool marks the lead; None: `lead_of`.
    """
    order, ordered, tune = _in_order(notes, lead)
    return _put_back(network_scores(note_features(ordered, tune), weights()), order)


def rule_scores(notes: Notes, lead: np.ndarray | None = None) -> np.ndarray:
    """The same by rules: lead over accompaniment, metrical accents, higher notes louder, phrase arches.

    Accents by metrical weight (bar, half bar, beat, eighth) as in Lerdahl & Jackendoff (1983); loudness that rises with
    pitch and a phrase arch as in Friberg, Bresin & Sundberg (2006), "Overview of the KTH rule system".
    """
    order, ordered, tune = _in_order(notes, lead)
    step = ordered.onset % STEPS_PER_BAR
    metre = sum((step % period == 0).astype(np.float64) for period in (2, STEPS_PER_BEAT, 8, STEPS_PER_BAR))
    phrase = ordered.onset / (PHRASE_BARS // 2 * STEPS_PER_BAR) % 1
    arch = 1 - (2 * phrase - 1) ** 2  # 0 at both ends of four bars, 1 in their middle
    return _put_back(1.5 * tune + 0.15 * metre + (ordered.pitch - 60) / 24 + 0.3 * arch, order)


def network_scores(features: np.ndarray, network: dict[str, np.ndarray]) -> np.ndarray:
    """Two convolutions over the notes and a linear layer, as in scripts/fit_velocity.py: (N, F) -> (N,)."""
    hidden = (features - network["mean"]) / network["scale"]
    for number, dilation in enumerate(DILATIONS):
        hidden = np.maximum(_convolve(hidden, network[f"kernel{number}"], dilation) + network[f"bias{number}"], 0)
    return np.clip(hidden @ network["out"] + network["level"], SOFTEST, LOUDEST).reshape(-1)


def _convolve(values: np.ndarray, kernel: np.ndarray, dilation: int) -> np.ndarray:
    """Cross-correlation along the notes with zeros outside, (N, C) with (W, C, K) -> (N, W)."""
    taps = kernel.shape[2]
    reach = taps // 2 * dilation
    padded = np.pad(values, ((reach, reach), (0, 0)))
    return sum(padded[k * dilation : k * dilation + len(values)] @ kernel[:, :, k].T for k in range(taps))


def _in_order(notes: Notes, lead: np.ndarray | None) -> tuple[np.ndarray, Notes, np.ndarray]:
    """The order by onset and pitch, the notes in that order, and which of them are the lead."""
    order = np.lexsort((notes.pitch, notes.onset))
    tune = lead_of(notes) if lead is None else lead
    return order, notes.select(order), tune[order]


def _put_back(scores: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Scores of sorted notes in the original order, standardised unless they are all equal."""
    back = np.empty(len(scores))
    back[order] = scores - scores.mean() if len(scores) else scores
    spread = back.std() if len(back) else 0.0
    return back / spread if spread > 1e-9 else back
