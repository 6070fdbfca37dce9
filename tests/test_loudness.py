"""Loudness and true peaks, against other implementations of the same standard."""

import numpy as np
import pyloudnorm
import pytest
from scipy.signal import resample_poly

from diffbgm.music.loudness import CHUNK, between_samples, integrated_loudness, short_term_loudness


def noise(seconds: float, rate: int, seed: int = 0) -> np.ndarray:
    """Stereo noise that swells and falls silent in between."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    swell = np.clip(np.sin(2 * np.pi * np.arange(count) / rate / 3), 0, 1)[:, None]
    return (0.2 * swell * rng.standard_normal((count, 2))).astype(np.float32)


@pytest.mark.parametrize(("seconds", "rate"), [(0.41, 48000), (7.3, 48000), (13.0, 44100), (4.0, 8000)])
def test_loudness_is_what_pyloudnorm_measures(seconds, rate):
    sound = noise(seconds, rate) + np.float32(0.01)
    assert integrated_loudness(sound, rate) == pytest.approx(
        pyloudnorm.Meter(rate).integrated_loudness(sound), abs=1e-3
    )


def test_a_full_scale_tone_on_one_side_measures_three_below_zero():
    """BS.1770-4, annex 1."""
    tone = np.sin(2 * np.pi * 997 * np.arange(48000 * 2) / 48000)
    sound = np.stack([tone, np.zeros_like(tone)], axis=1).astype(np.float32)
    assert integrated_loudness(sound, 48000) == pytest.approx(-3.01, abs=0.06)


def test_short_term_loudness_has_no_gates():
    tone = np.sin(2 * np.pi * 997 * np.arange(48000 * 8) / 48000)
    tone[4 * 48000 :] = 0
    sound = np.stack([tone, np.zeros_like(tone)], axis=1).astype(np.float32)
    spans = 48000 * np.array([[0.5, 3.5], [2.5, 5.5], [4.5, 7.5]])
    level = short_term_loudness(sound, 48000, spans.astype(int))
    assert level[0] == pytest.approx(-3.01, abs=0.06)
    assert level[1] == pytest.approx(-3.01 - 10 * np.log10(2), abs=0.06)  # sounds for half of the time
    assert level[2] < -100


def test_where_the_sound_is_cut_into_chunks_makes_no_difference(monkeypatch):
    sound = noise(6.0, 48000)
    whole = integrated_loudness(sound, 48000)
    assert len(sound) > CHUNK
    monkeypatch.setattr("diffbgm.music.loudness.CHUNK", 10_000)
    assert integrated_loudness(sound, 48000) == pytest.approx(whole, abs=1e-9)


def test_levels_between_samples_are_those_of_a_polyphase_filter():
    sound = noise(0.5, 48000)
    fine = np.abs(resample_poly(sound, 4, 1, axis=0)).max(axis=1).reshape(-1, 4).max(axis=1)
    np.testing.assert_allclose(between_samples(sound), fine, atol=1e-6)


def test_a_quarter_rate_tone_peaks_between_its_samples():
    tone = np.sin(np.pi / 2 * np.arange(400) + np.pi / 4)
    sound = np.stack([tone, tone], axis=1).astype(np.float32)
    assert np.abs(sound).max() == pytest.approx(0.7071, abs=1e-4)
    assert between_samples(sound)[50:-50].max() == pytest.approx(1.0, abs=0.01)
