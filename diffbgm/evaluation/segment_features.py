"""Musical features of one 8-bar segment, by which `overlap.py` compares two sets of music.

Each is one number per segment. Together they describe density, place in the beat, durations, register, key and chords,
the movement of the top line, and the repetition of bars. Velocity and tempo are left out.

Shape legend: N notes, S = 128 steps, H = 16 half bars, M = 8 bars, A steps on which a note starts.
"""

import numpy as np

from diffbgm.evaluation.groove import patterns, similarity
from diffbgm.evaluation.pitch import from_first_bar, pitch_class_entropy
from diffbgm.music.notes import BARS_PER_SEGMENT, PITCHES, STEPS_PER_BAR, STEPS_PER_BEAT, STEPS_PER_SEGMENT, Notes
from diffbgm.music.pianoroll import ONSET, decode, encode

HALF_BAR = STEPS_PER_BAR // 2
LONG = 2 * STEPS_PER_BEAT  # a note of at least this many steps is long
WIDEST = 61  # two simultaneous notes at least this many semitones apart are not counted as a pair
LEAP = 7  # a melodic interval of at least this many semitones is a leap
TRIADS = np.array(
    [[(k - root) % 12 in tones for k in range(12)] for tones in ((0, 4, 7), (0, 3, 7)) for root in range(12)]
)
SCALES = np.array([[(k - tonic) % 12 in (0, 2, 4, 5, 7, 9, 11) for k in range(12)] for tonic in range(12)])
HARSH = (1, 2, 6, 10, 11)  # intervals modulo 12: seconds, sevenths and the tritone

FEATURES = {
    "notes_per_beat": "notes per beat",
    "attacks_per_beat": "steps per beat on which a note starts",
    "notes_per_attack": "mean number of notes that start together",
    "uneven_density": "standard deviation of notes per beat, divided by the mean",
    "on_beats": "share of onsets on the first sixteenth of a beat",
    "on_odd_sixteenths": "share of onsets on the second and fourth sixteenth of a beat",
    "polyphony": "mean number of sounding notes over the steps that are not silent",
    "silent_steps": "share of silent steps",
    "mean_duration": "mean duration of a note in steps",
    "short_notes": "share of notes of one step",
    "long_notes": "share of notes of eight steps or more",
    "mean_pitch": "mean MIDI pitch of the notes",
    "pitch_spread": "standard deviation of the pitch",
    "pitch_range": "highest minus lowest pitch",
    "pitch_class_entropy": "entropy of the pitch classes of the notes in bits",
    "in_scale": "share of sounding time inside the best of the twelve diatonic scales",
    "in_triad": "share of sounding time inside the best major or minor triad of each half bar",
    "harmonic_change": "1 minus the cosine similarity of the pitch classes of neighbouring half bars, mean",
    "harsh_pairs": "share of simultaneous pairs that are a second, a seventh or a tritone apart",
    "octave_pairs": "share of simultaneous pairs that are one or more octaves apart",
    "top_steps": "share of intervals of one and two semitones in the top line",
    "top_repeats": "share of repeated pitches in the top line",
    "top_leaps": "share of intervals of seven semitones or more in the top line",
    "bar_rhythm_again": "Jaccard index of a bar's onsets and those of the most similar earlier bar, mean from bar 2 on",
    "bar_notes_again": "the same for onsets with their pitches",
    "groove": "grooving pattern similarity of the bars",
}


def windows(notes: Notes) -> list[Notes]:
    """The 8-bar segments of a piece, starting with the bar of its first note; a partial last one is left out.

    A partial last bar counts as a whole bar. Every segment is encoded to a piano roll and back, so that velocities,
    tracks and overlaps do not reveal where the music is from.
    """
    notes = from_first_bar(notes)
    count = -(-notes.end // STEPS_PER_BAR) // BARS_PER_SEGMENT
    parts = [notes.window(k * STEPS_PER_SEGMENT, (k + 1) * STEPS_PER_SEGMENT) for k in range(count)]
    return [decode(encode(part, STEPS_PER_SEGMENT)) for part in parts]


def segment_features(notes: Notes) -> np.ndarray:
    """The `FEATURES` of a segment in their order, (26,) float; NaN where there are no notes or pairs to count."""
    roll = encode(notes, STEPS_PER_SEGMENT)
    if not roll[ONSET].any():
        return np.array(
            [{"notes_per_beat": 0.0, "attacks_per_beat": 0.0, "silent_steps": 1.0}.get(n, np.nan) for n in FEATURES]
        )
    notes = decode(roll)
    found = {**_times(notes, roll), **_pitches(notes), **_harmony(roll), **_top_line(notes), **_repetition(roll, notes)}
    return np.array([found[name] for name in FEATURES])


def _times(notes: Notes, roll: np.ndarray) -> dict[str, float]:
    attacks = np.unique(notes.onset)
    per_beat = np.bincount(notes.onset // STEPS_PER_BEAT, minlength=STEPS_PER_SEGMENT // STEPS_PER_BEAT)
    place = notes.onset % STEPS_PER_BEAT
    voices = roll.sum(axis=(0, 2))
    return {
        "notes_per_beat": per_beat.mean(),
        "attacks_per_beat": len(attacks) / len(per_beat),
        "notes_per_attack": len(notes) / len(attacks),
        "uneven_density": per_beat.std() / per_beat.mean(),
        "on_beats": (place == 0).mean(),
        "on_odd_sixteenths": (place % 2 == 1).mean(),
        "polyphony": voices[voices > 0].mean(),
        "silent_steps": (voices == 0).mean(),
        "mean_duration": notes.duration.mean(),
        "short_notes": (notes.duration == 1).mean(),
        "long_notes": (notes.duration >= LONG).mean(),
    }


def _pitches(notes: Notes) -> dict[str, float]:
    entropy = pitch_class_entropy(notes.pitch)
    assert entropy is not None
    return {
        "mean_pitch": notes.pitch.mean(),
        "pitch_spread": notes.pitch.std(),
        "pitch_range": float(np.ptp(notes.pitch)),
        "pitch_class_entropy": entropy,
    }


def _harmony(roll: np.ndarray) -> dict[str, float]:
    sounding = roll.sum(axis=0, dtype=np.float64)  # (S, P)
    classes = np.stack([sounding[:, k::12].sum(axis=1) for k in range(12)], axis=1)  # (S, 12)
    halves = classes.reshape(-1, HALF_BAR, 12).sum(axis=1)  # (H, 12)
    heard = halves[halves.sum(axis=1) > 0]
    unit = heard / np.linalg.norm(heard, axis=1, keepdims=True)
    whole = classes.sum(axis=0)
    gap = np.arange(1, WIDEST)
    together = np.array([(sounding[:, k:] * sounding[:, :-k]).sum() for k in gap])  # pairs k semitones apart
    pairs = together.sum()
    return {
        "in_scale": (SCALES @ whole).max() / whole.sum(),
        "in_triad": ((heard @ TRIADS.T).max(axis=1) / heard.sum(axis=1)).mean(),
        "harmonic_change": _mean(1 - (unit[1:] * unit[:-1]).sum(axis=1)),
        "harsh_pairs": together[np.isin(gap % 12, HARSH)].sum() / pairs if pairs else np.nan,
        "octave_pairs": together[gap % 12 == 0].sum() / pairs if pairs else np.nan,
    }


def _top_line(notes: Notes) -> dict[str, float]:
    """Features of the top line: the highest note that starts on each step."""
    highest = np.zeros(STEPS_PER_SEGMENT, np.int64)
    np.maximum.at(highest, notes.onset, notes.pitch + 1)
    interval = np.abs(np.diff(highest[highest > 0]))
    return {
        "top_steps": _mean((interval == 1) | (interval == 2)),
        "top_repeats": _mean(interval == 0),
        "top_leaps": _mean(interval >= LEAP),
    }


def _repetition(roll: np.ndarray, notes: Notes) -> dict[str, float]:
    bars = roll[ONSET].reshape(BARS_PER_SEGMENT, STEPS_PER_BAR, PITCHES) > 0
    groove = similarity(patterns(notes))
    return {
        "bar_rhythm_again": _found_again(bars.any(axis=2)),
        "bar_notes_again": _found_again(bars.reshape(BARS_PER_SEGMENT, -1)),
        "groove": np.nan if groove is None else groove,
    }


def _found_again(bars: np.ndarray) -> float:
    """The largest Jaccard index of a bar (M, K) with an earlier one, mean over the bars with onsets from bar 2 on."""
    cells = bars.astype(np.float64)
    common = cells @ cells.T
    count = cells.sum(axis=1)
    either = count[:, None] + count[None, :] - common
    shared = np.divide(common, either, out=np.zeros_like(common), where=either > 0)
    return _mean(np.array([shared[bar, :bar].max() for bar in range(1, len(bars)) if count[bar]]))


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else np.nan
