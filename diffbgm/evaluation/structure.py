"""Structureness indicator (SI): how strongly a piece repeats itself, from the fitness scape plot of its audio.

Source: Wu & Yang, "The Jazz Transformer on the Front Line", ISMIR 2020 (MusDr); the fitness measure is by Müller, Jiang
and Grosche, 2013. The signal processing is libfmp's; the settings are MusDr's. libfmp and librosa are imported inside
the functions, because they take seconds to load and only this metric needs them.

Shape legend: n samples, F frames at 2 Hz. Row l, column s of a scape plot (F, F) is the fitness of the segment that
starts at frame s and lasts l + 1 frames.
"""

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from diffbgm.extras import extra
from diffbgm.music.audio import render
from diffbgm.music.midi import write_midi
from diffbgm.music.notes import Notes

SAMPLE_RATE = 22050
CHROMA_HOP = 2205  # samples: 10 Hz
SMOOTHING, DOWNSAMPLING = 21, 5  # frames at 10 Hz
FRAME_RATE = 2.0  # Hz, after downsampling
PATH_LENGTH = 16  # frames at 2 Hz along which repetitions are smoothed
BANDS = {"si_3_8": (3, 8), "si_8_15": (8, 15), "si_15": (15, None), "si_3": (3, None)}  # seconds
MEAN_OF = ("si_3_8", "si_8_15", "si_15")
COLUMNS = ("si_mean", *BANDS)


def self_similarity(audio: np.ndarray) -> np.ndarray | None:
    """Enhanced self-similarity matrix (F, F) of mono audio (n,) at 22,050 Hz, at most 1 and 1 on its diagonal.

    It is invariant to transposition and tempo, and thresholded: cells below the strongest quarter get the penalty -2.
    None for silence and for audio shorter than a second.
    """
    if len(audio) < SAMPLE_RATE or not audio.any():
        return None
    with extra("eval"):
        import libfmp.c3
        import libfmp.c4
        import librosa

    chroma = librosa.feature.chroma_stft(
        y=audio, sr=SAMPLE_RATE, n_fft=2 * CHROMA_HOP, hop_length=CHROMA_HOP, tuning=0, norm=2
    )
    smooth, _ = libfmp.c3.smooth_downsample_feature_sequence(
        chroma, SAMPLE_RATE / CHROMA_HOP, filt_len=SMOOTHING, down_sampling=DOWNSAMPLING
    )
    features = _plain(libfmp.c3.normalize_feature_sequence)(smooth, norm="2", threshold=0.001)
    tempi = _plain(libfmp.c4.compute_tempo_rel_set)(0.5, 2, 7)
    along_paths = _plain(libfmp.c4.filter_diag_mult_sm)
    similarity = np.zeros((features.shape[1],) * 2)
    for shift in range(12):  # the steps of libfmp.c4.compute_sm_ti
        cells = features.T @ np.roll(features, shift, axis=0)
        for direction in (0, 1):
            similarity = np.maximum(similarity, along_paths(cells, PATH_LENGTH, tempi, direction))
    with contextlib.redirect_stdout(io.StringIO()):  # libfmp prints a remark for a matrix of equal cells
        kept = libfmp.c4.threshold_matrix(similarity, thresh=0.25, strategy="relative", scale=True, penalty=-2)
    return libfmp.c4.normalization_properties_ssm(kept)


def _plain(function: Callable[..., Any]) -> Any:
    """A libfmp function without numba, which takes seconds to compile and gains nothing on array expressions."""
    return getattr(function, "py_func", function)


def scape_plot(similarity: np.ndarray) -> np.ndarray:
    """Fitness (F, F) of every segment of a self-similarity matrix (F, F). Time grows with F^4: 2 s for 213 s."""
    from diffbgm.evaluation.fitness import fitness_scape

    return fitness_scape(similarity)


def structureness(fitness: np.ndarray, shortest: float, longest: float | None = None) -> float | None:
    """The highest fitness of any segment that lasts `shortest` to `longest` seconds, in [0, 1].

    Reads rows int(2 shortest) - 1 to int(2 longest) - 1 of `fitness` (F, F). None for a piece shorter than `shortest`.
    """
    rows = fitness[int(FRAME_RATE * shortest) - 1 : None if longest is None else int(FRAME_RATE * longest)]
    return float(rows.max()) if rows.size else None


def si_columns(fitness: np.ndarray | None) -> dict[str, float | None]:
    """SI of a piece as `COLUMNS`: the bands 3-8 s, 8-15 s, 15 s and up, any length from 3 s, and `si_mean`.

    `si_mean`, the mean of the three bands that do not overlap, is compared with the paper's single SI. That is an
    inference: neither the paper nor the release says how the bands become one number, and of the reductions tried this
    is the only one near the paper's value on the same songs (docs/evaluation.md). None if one of the bands is None.
    """
    bands = {name: None if fitness is None else structureness(fitness, *band) for name, band in BANDS.items()}
    parts = [value for name in MEAN_OF if (value := bands[name]) is not None]
    return {"si_mean": float(np.mean(parts)) if len(parts) == len(MEAN_OF) else None, **bands}


def fitness_of_midi(midi_path: str | Path, soundfont: str | Path | None = None) -> np.ndarray | None:
    """The scape plot (F, F) of a MIDI file played with a soundfont. None if it is silent or shorter than a second."""
    similarity = self_similarity(render(midi_path, soundfont=soundfont, sample_rate=SAMPLE_RATE).mean(axis=1))
    return None if similarity is None else scape_plot(similarity)


def fitness_of_notes(notes: Notes) -> np.ndarray | None:
    """The scape plot (F, F) of notes played at 120 BPM. None if they are silent or last less than a second."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "notes.mid"
        write_midi(notes, path)
        return fitness_of_midi(path)
