"""Loudness as defined by ITU-R BS.1770-4, and levels between samples.

Only numpy is used: importing `scipy.signal`, on which other implementations rely, takes longer than rendering a short
piece. The tests compare both functions with it.

Shape legend: n samples, j gating blocks, k hops. Sound is float32 (n, 2), stereo, full scale at 1.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

BLOCK, HOPS = 0.4, 4  # seconds of a gating block, and hops in it: blocks overlap by three quarters
ABSOLUTE_GATE, RELATIVE_GATE = -70.0, -10.0  # LUFS; LU relative to the loudness of what passes the absolute gate
OFFSET = -0.691  # dB, so that a full-scale sine of 997 Hz in one channel measures -3.01
# The two filters of the K-weighting as biquads (Bristow-Johnson, "Cookbook formulae for audio EQ"): gain in dB, Q, Hz
SHELF, HIGH_PASS = (4.0, 0.5**0.5, 1500.0), (0.0, 0.5, 38.0)
CHUNK = 1 << 18  # samples filtered at a time
OVERSAMPLING = 4  # of true peaks
TAPS = 10  # samples on each side from which a value between samples is computed
KAISER = 5.0  # beta of the Kaiser window over them


def integrated_loudness(audio: np.ndarray, rate: int) -> float:
    """Gated loudness (LUFS) of sound (n, 2) of at least one block of 0.4 s; -inf if no block passes the gates."""
    blocks = int(np.round((len(audio) / rate - BLOCK) / (BLOCK / HOPS))) + 1
    bounds = np.minimum((np.arange(blocks + HOPS) * BLOCK / HOPS * rate + 1e-6).astype(np.int64), len(audio))
    power = np.convolve(_hop_energies(audio, rate, bounds), np.ones(HOPS), "valid") / (BLOCK * rate)  # (j,)
    with np.errstate(divide="ignore"):
        level = OFFSET + 10 * np.log10(power)
        loud = level >= ABSOLUTE_GATE
        if not loud.any():
            return -np.inf
        gate = OFFSET + 10 * np.log10(power[loud].mean()) + RELATIVE_GATE
        return float(OFFSET + 10 * np.log10(power[loud & (level > gate)].mean()))


def short_term_loudness(audio: np.ndarray, rate: int, spans: np.ndarray) -> NDArray[np.float64]:
    """Loudness (k,) in LUFS of spans (k, 2) of samples of sound (n, 2), without gates (EBU Tech 3341: 3 s each)."""
    bounds, place = np.unique(np.clip(spans, 0, len(audio)), return_inverse=True)
    total = np.append(0.0, np.cumsum(_hop_energies(audio, rate, bounds)))[place.reshape(-1, 2)]
    length = np.maximum(np.diff(bounds[place.reshape(-1, 2)])[:, 0], 1)
    with np.errstate(divide="ignore"):
        return OFFSET + 10 * np.log10(np.maximum(total[:, 1] - total[:, 0], 0) / length)


def between_samples(audio: np.ndarray) -> NDArray[np.float32]:
    """The highest level (n,) that sound (n, 2) reaches at each sample and before the next, four times oversampled."""
    filters = _phases()
    highest = np.zeros(len(audio), np.float32)
    for side in range(audio.shape[1]):
        padded = np.pad(np.ascontiguousarray(audio[:, side], np.float32), TAPS)
        for taps in filters:
            np.maximum(highest, np.abs(np.convolve(padded, taps, "valid")), out=highest)
    return highest


@lru_cache
def _phases() -> NDArray[np.float32]:
    """The weights (4, 21) of the samples around each of four positions from one sample to the next."""
    length = 2 * TAPS * OVERSAMPLING + 1
    place = np.arange(length) - TAPS * OVERSAMPLING
    kernel = np.sinc(place / OVERSAMPLING) * np.kaiser(length, KAISER)
    kernel = np.pad(kernel * (OVERSAMPLING / kernel.sum()), (0, OVERSAMPLING - 1))
    return kernel.reshape(-1, OVERSAMPLING).T.astype(np.float32)


def _hop_energies(audio: np.ndarray, rate: int, bounds: NDArray[np.int64]) -> NDArray[np.float64]:
    """K-weighted energy (k,) of both channels between neighbouring bounds (k + 1,), filtered chunk by chunk.

    Each chunk is filtered together with the second before it; the response to earlier sound has decayed by 1000 dB.
    """
    energies = np.zeros(len(bounds) - 1)
    size = 1 << int(np.ceil(np.log2(CHUNK + 2 * rate)))
    response = _response(size, rate)
    for start in range(0, len(audio), CHUNK):
        first, stop = max(0, start - rate), min(start + CHUNK, len(audio))
        spectrum = np.fft.rfft(audio[first:stop].astype(np.float64), size, axis=0) * response[:, None]
        heard = np.fft.irfft(spectrum, size, axis=0)[start - first : stop - first]
        total = np.concatenate([[0.0], np.cumsum(np.einsum("nc,nc->n", heard, heard))])
        energies += np.diff(total[np.clip(bounds, start, stop) - start])
    return energies


@lru_cache
def _response(size: int, rate: int) -> NDArray[np.complex128]:
    """The K-weighting's response at the frequencies of an `rfft` of `size` samples."""
    z = np.exp(-2j * np.pi * np.arange(size // 2 + 1) / size)
    response = np.ones_like(z)
    for numerator, denominator in (_shelf(*SHELF, rate), _high_pass(*HIGH_PASS[1:], rate)):
        response *= np.polyval(numerator[::-1], z) / np.polyval(denominator[::-1], z)
    return response


def _shelf(gain: float, q: float, hertz: float, rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Numerator and denominator of the high shelf, (3,) each, in ascending powers of 1/z."""
    a, w = 10 ** (gain / 40), 2 * np.pi * hertz / rate
    cosine, slope = np.cos(w), np.sin(w) / q * np.sqrt(a)
    rise, fall = a + 1 + (a - 1) * cosine, a + 1 - (a - 1) * cosine
    numerator = a * np.array([rise + slope, -2 * (a - 1 + (a + 1) * cosine), rise - slope])
    return numerator, np.array([fall + slope, 2 * (a - 1 - (a + 1) * cosine), fall - slope])


def _high_pass(q: float, hertz: float, rate: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same for the high-pass filter."""
    w = 2 * np.pi * hertz / rate
    cosine, alpha = np.cos(w), np.sin(w) / (2 * q)
    return np.array([1 + cosine, -2 - 2 * cosine, 1 + cosine]) / 2, np.array([1 + alpha, -2 * cosine, 1 - alpha])
