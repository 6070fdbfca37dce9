"""The fitness scape plot of a self-similarity matrix, compiled: libfmp's numbers in a fraction of its time.

libfmp returns every optimal path to Python as a list; one compiled loop here keeps only what the fitness needs, the
number of cells and the coverage of the paths. Tested to equal `libfmp.c4.compute_fitness_scape_plot`. Source: Müller,
Jiang and Grosche, "A Robust Fitness Measure for Capturing Repetitions in Music Recordings", 2013; Müller, "Fundamentals
of Music Processing", section 4.3. Import this module only inside the function that uses it: numba takes a second to
load.

Shape legend: F frames of the piece, L frames of the segment.
"""

import numpy as np
from numba import njit


@njit(cache=True)
def fitness_scape(similarity: np.ndarray) -> np.ndarray:
    """Fitness of every segment of a piece with self-similarity (F, F).

    Returns (F, F): row l, column s is the segment that starts at frame s and lasts l + 1 frames.
    """
    frames = similarity.shape[0]
    fitness = np.zeros((frames, frames))
    score = np.empty((frames, frames + 1))
    for length in range(1, frames + 1):
        for start in range(frames - length + 1):
            _accumulate(similarity, start, length, score)
            fitness[length - 1, start] = _fitness(score, length)
    return fitness


@njit(cache=True)
def _accumulate(similarity: np.ndarray, start: int, length: int, score: np.ndarray) -> None:
    """Best scores of path families up to each cell: column 0 is outside any path, column m is frame start + m - 1."""
    score[0, : length + 1] = -np.inf
    score[0, 0] = 0.0
    score[0, 1] = similarity[0, start]
    for n in range(1, similarity.shape[0]):
        outside, ended = score[n - 1, 0], score[n - 1, length]
        score[n, 0] = outside if outside > ended else ended
        score[n, 1] = score[n, 0] + similarity[n, start]
        row, cells = score[n, 2 : length + 1], similarity[n, start + 1 : start + length]
        diagonal, steep = score[n - 1, 1:length], score[n - 1, 0 : length - 1]
        if n == 1:
            for i in range(length - 1):
                row[i] = cells[i] + max(diagonal[i], steep[i])
            continue
        flat = score[n - 2, 1:length]
        for i in range(length - 1):
            best = diagonal[i] if diagonal[i] > steep[i] else steep[i]
            row[i] = cells[i] + (best if best > flat[i] else flat[i])


@njit(cache=True)
def _fitness(score: np.ndarray, length: int) -> float:
    """Harmonic mean of normalised score and coverage of the optimal path family, found by walking back."""
    frames = score.shape[0]
    n, m = frames - 1, 0
    cells = covered = 0
    last = -1  # frame where the path being walked ends; -1 outside of paths
    if score[n, length] >= score[n, 0]:
        m, cells, last = length, 1, n
    while n > 0 or m > 0:
        if n == 0:
            m -= 1
        elif m == 0:
            n -= 1
            if score[n, length] > score[n, 0]:
                m, cells, last = length, cells + 1, n
        elif m == 1:
            m = 0
        else:
            n, m = _predecessor(score, n, m)
            cells += 1
        if m == 0 and last >= 0:
            covered += last - n + 1
            last = -1
    total = max(score[frames - 1, 0], score[frames - 1, length])
    score_n = (total - length) / (cells + 1e-16)
    coverage_n = (covered - length) / (frames + 1e-16)
    return 2 * score_n * coverage_n / (score_n + coverage_n + 1e-16)


@njit(cache=True)
def _predecessor(score: np.ndarray, n: int, m: int) -> tuple[int, int]:
    """The best cell a path can come from: one frame on each side, or two on one of them."""
    best, cell = score[n - 1, m - 1], (n - 1, m - 1)
    if n > 2 and score[n - 2, m - 1] > best:
        best, cell = score[n - 2, m - 1], (n - 2, m - 1)
    if m > 2 and score[n - 1, m - 2] > best:
        cell = (n - 1, m - 2)
    return cell
