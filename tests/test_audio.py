"""Rendering of MIDI, and levels of audio."""

import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from strategies import notes_of

from diffbgm.errors import InputError
from diffbgm.music import audio
from diffbgm.music.audio import (
    _moving_mean,
    _moving_minimum,
    fit_length,
    limit,
    loudness,
    normalise_loudness,
    render,
    render_bytes,
    resample,
    true_peak_db,
    write_wav,
)
from diffbgm.music.midi import write_midi
from diffbgm.music.midi_score import Track, midi_bytes
from diffbgm.music.mixing import blend, duck_gain, speech_presence
from diffbgm.music.notes import Notes

RATE = 48000


def sine(seconds: float, hertz: float = 997.0, level: float = 0.5, rate: int = RATE) -> np.ndarray:
    """A stereo tone with equal channels."""
    t = np.arange(round(seconds * rate)) / rate
    return np.repeat(level * np.sin(2 * np.pi * hertz * t)[:, None], 2, axis=1).astype(np.float32)


def amplitude(sound: np.ndarray, hertz: float, rate: int = RATE) -> float:
    """The amplitude of one frequency in the left channel."""
    phase = np.exp(-2j * np.pi * hertz * np.arange(len(sound)) / rate)
    return float(2 * np.abs((sound[:, 0] * phase).mean()))


@pytest.fixture(scope="module")
def a440(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Silence for one second, then the A above middle C for one second."""
    path = tmp_path_factory.mktemp("midi") / "a440.mid"
    write_midi(notes_of([(8, 69, 8, 100, 0)]), path, tempo=120)
    return path


@pytest.mark.parametrize("rate", [48000, 44100, 22050])
def test_a_note_sounds_at_its_pitch_and_time(a440: Path, rate: int) -> None:
    sound = render(a440, sample_rate=rate)
    assert sound.dtype == np.float32
    assert sound.shape[1] == 2
    assert 2 * rate <= len(sound) < 6 * rate
    assert np.abs(sound[: int(0.99 * rate)]).max() < 1e-3
    spectrum = np.abs(np.fft.rfft(sound[rate : 2 * rate, 0]))
    assert np.argmax(spectrum) == pytest.approx(440, abs=1)


def test_an_empty_piece_gives_next_to_no_sound(tmp_path: Path) -> None:
    write_midi(Notes.empty(), tmp_path / "a.mid")
    sound = render(tmp_path / "a.mid")
    assert sound.shape[1] == 2
    assert not sound.any()


def test_the_wave_file_is_16_bit_stereo(tmp_path: Path, a440: Path) -> None:
    sound = render(a440, tmp_path / "a.wav", sample_rate=44100)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (2, 2, 44100)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    np.testing.assert_allclose(pcm / 32767, sound, atol=1 / 32767)


def test_the_wave_file_clips_rather_than_wraps(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", np.array([[2.0, -2.0], [0.5, 0.0]], np.float32), RATE)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert np.frombuffer(file.readframes(2), "<i2").tolist() == [32767, -32767, 16384, 0]


def test_a_missing_or_foreign_soundfont_is_named(tmp_path: Path, a440: Path) -> None:
    with pytest.raises(InputError, match=r"no soundfont .*none\.sf2"):
        render(a440, soundfont=tmp_path / "none.sf2")
    (tmp_path / "fake.sf2").write_bytes(b"RIFF, or so it says")
    with pytest.raises(InputError, match=r"fake\.sf2 cannot be rendered"):
        render(a440, soundfont=tmp_path / "fake.sf2")


def test_a_missing_or_damaged_midi_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.mid"):
        render(tmp_path / "none.mid")
    (tmp_path / "bad.mid").write_bytes(b"not music")
    with pytest.raises(InputError, match=r"bad\.mid cannot be rendered"):
        render(tmp_path / "bad.mid")


def test_full_scale_sine_measures_what_bs_1770_says() -> None:
    # ITU-R BS.1770-4: a 0 dBFS 997 Hz sine in one channel reads -3.01 LUFS; in both channels 3.01 dB more.
    one_side = sine(5, level=1.0) * np.array([1, 0], np.float32)
    assert loudness(one_side, RATE) == pytest.approx(-3.01, abs=0.05)
    assert loudness(sine(5, level=1.0), RATE) == pytest.approx(0.0, abs=0.05)


@pytest.mark.parametrize("seconds", [0.01, 0.2, 0.399, 0.4, 3.0])
@pytest.mark.parametrize("lufs", [-23.0, -16.0])
def test_loudness_is_met_however_short(seconds: float, lufs: float) -> None:
    sound = normalise_loudness(sine(seconds, level=0.01), RATE, lufs)
    assert loudness(sound, RATE) == pytest.approx(lufs, abs=0.1)
    assert len(sound) == round(seconds * RATE)


@pytest.mark.parametrize("samples", [0, 1, 100, 48000])
def test_silence_stays_silence(samples: int) -> None:
    sound = normalise_loudness(np.zeros((samples, 2), np.float32), RATE)
    assert sound.shape == (samples, 2)
    assert not sound.any()
    assert loudness(sound, RATE) == -np.inf


def test_peaks_stay_under_the_ceiling_at_the_asked_loudness() -> None:
    sound = sine(4, level=0.05)
    sound[::9600] = 0.9  # clicks far above the tone
    loud = normalise_loudness(sound, RATE, -14.0, peak_db=-1.0)
    assert np.abs(loud).max() <= 10 ** (-1 / 20) + 1e-6
    assert loudness(loud, RATE) == pytest.approx(-14.0, abs=0.5)


def test_true_peaks_lie_between_samples() -> None:
    # A quarter of the sample rate at 45 degrees: every sample is at 0.707 of the peak (ITU-R BS.1770-4, annex 2).
    t = np.arange(RATE)
    tone = np.repeat(np.sin(np.pi / 2 * t + np.pi / 4)[:, None], 2, axis=1).astype(np.float32)
    assert np.abs(tone).max() == pytest.approx(0.7071, abs=1e-4)
    assert true_peak_db(0.5 * tone) == pytest.approx(-6.02, abs=0.2)
    assert true_peak_db(limit(tone, RATE, -1.0)) <= -1.0
    assert true_peak_db(np.zeros((100, 2), np.float32)) == -np.inf


@pytest.mark.parametrize("seed", range(2))
def test_true_peaks_stay_under_the_ceiling_and_loudness_within_a_tenth(seed: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal((3 * RATE, 2)).astype(np.float32)
    noise *= (0.1 + (np.arange(3 * RATE) % 12000 < 600))[:, None].astype(np.float32)  # bursts
    loud = normalise_loudness(noise, RATE, -13.0)
    assert true_peak_db(loud) <= -1.0 + 1e-3
    assert loudness(loud, RATE) == pytest.approx(-13.0, abs=0.1)


def test_a_renderer_that_panics_is_one_sentence(a440: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):  # what Rust's panics become
        pass

    def panics(font: bytes, midi: bytes) -> bytes:
        raise PanicException("index out of bounds")

    monkeypatch.setattr(audio.midirenderer, "render_wave_from", panics)
    with pytest.raises(InputError, match=r"TimGM6mb\.sf2 cannot be rendered \(index out of bounds\); give an"):
        render_bytes(a440.read_bytes())


def test_the_limiter_leaves_soft_sound_alone_and_turns_down_only_near_peaks() -> None:
    soft = sine(1, level=0.5)
    assert limit(soft, RATE, -1.0) is soft
    peaky = soft.copy()
    peaky[24000] = 1.5
    limited = limit(peaky, RATE, -1.0)
    far = np.r_[0:23000, 25000:48000]
    np.testing.assert_array_equal(limited[far], peaky[far])
    assert np.abs(limited).max() <= 10 ** (-1 / 20) + 1e-6


def test_resampling_keeps_pitch_and_length() -> None:
    low = resample(sine(1, hertz=440, rate=48000), 48000, 44100)
    assert len(low) == 44100
    assert amplitude(low[4410:39690], 440, 44100) == pytest.approx(0.5, abs=0.005)


def test_fit_length_cuts_pads_and_fades() -> None:
    ones = np.ones((10, 2), np.float32)
    assert fit_length(ones, 6)[:, 0].tolist() == [1] * 6
    assert fit_length(ones, 12)[:, 1].tolist() == [1] * 10 + [0] * 2
    faded = fit_length(ones, 8, fade=4)[:, 0]
    np.testing.assert_allclose(faded, [1, 1, 1, 1, 0.853553, 0.5, 0.146447, 0], atol=1e-6)
    assert fit_length(ones, 0, fade=4).shape == (0, 2)


def babble(seconds: float, rate: int = RATE) -> np.ndarray:
    """Synthetic speech: a buzz of 120 Hz through three formants that change four times per second, with pauses."""
    t = np.arange(round(seconds * rate)) / rate
    formants = np.random.default_rng(1).permutation([(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240)] * 20)
    syllable = (t * 4).astype(int) % len(formants)
    harmonics = np.arange(1, 30) * 120.0
    sound = np.zeros_like(t)
    for number, hertz in enumerate(harmonics):
        level = sum(np.exp(-(((hertz - formants[:, k]) / 150) ** 2)) for k in range(3))
        sound += level[syllable] * np.sin(2 * np.pi * hertz * t + number)
    sound *= np.sin(np.pi * (t * 4 % 1)) ** 1.5 * ((t * 4).astype(int) % 7 != 6)  # syllables, and a pause after six
    return np.repeat((0.3 * sound / np.abs(sound).max())[:, None], 2, axis=1).astype(np.float32)


SILENCE = np.zeros((2 * RATE, 2), np.float32)


@pytest.mark.parametrize(
    ("sound", "by", "decibels"), [("tone", "speech", 4), ("tone", "loudness", 12), ("voice", "speech", 12)]
)
def test_ducking_follows_the_original(sound: str, by: str, decibels: float) -> None:
    loud = sine(3) if sound == "tone" else babble(3)
    original = np.concatenate([SILENCE, loud, SILENCE])
    gain = duck_gain(original, RATE, loudness(loud, RATE), by)
    seconds = np.arange(len(gain)) / RATE
    np.testing.assert_allclose(gain[(seconds < 1.4) | (seconds > 5.6)], 1, atol=1e-5)
    np.testing.assert_allclose(gain[(seconds > 2.2) & (seconds < 4.8)], 10 ** (-decibels / 20), atol=0.03)
    assert np.abs(np.diff(gain)).max() < 12 / RATE  # it glides: from one level to the other in no less than a tenth


def test_speech_is_told_from_tones_noise_and_music() -> None:
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((3 * RATE, 2)).astype(np.float32)
    rows = [(step, 48 + 7 * (step % 3) + step % 12, 4, 80, 0) for step in range(0, 48, 2)]
    notes = notes_of(rows)
    music = render_bytes(midi_bytes([Track("a", 0, notes, np.zeros(len(notes)))], 120), None, [0])[: 5 * RATE]
    others = [speech_presence(sound, RATE).mean() for sound in (sine(3), noise, music)]
    assert max(others) < 0.3, others
    assert speech_presence(babble(3), RATE).mean() > 0.8
    assert speech_presence(babble(3) + 0.3 * noise, RATE).mean() > 0.6


def test_keep_is_both_and_as_loud_as_the_music() -> None:
    music, original = sine(3, hertz=330, level=0.2), sine(3, hertz=1000, level=0.1)
    both = blend(original, music, RATE, "keep")
    assert loudness(both, RATE) == pytest.approx(loudness(music, RATE), abs=0.1)
    # equal loudness before, the music 3 dB under (K-weighting hears 330 Hz and 1 kHz less than 1 dB apart)
    ratio = amplitude(both, 330) / amplitude(both, 1000)
    assert 20 * np.log10(ratio) == pytest.approx(-3, abs=1)


def test_a_faint_original_is_turned_up_by_12_db_at_most() -> None:
    music, faint = sine(3, hertz=330, level=0.2), sine(3, hertz=1000, level=0.0005)
    both = blend(faint, music, RATE, "keep")
    ratio = amplitude(both, 330) / amplitude(both, 1000)
    assert ratio == pytest.approx(0.2 * 10 ** (-3 / 20) / (0.0005 * 10 ** (12 / 20)), rel=0.02)


@pytest.mark.parametrize("mix", ["keep", "duck"])
def test_blending_with_silence_gives_the_other_sound(mix: str) -> None:
    sound, silence = sine(1), np.zeros((RATE, 2), np.float32)
    np.testing.assert_array_equal(blend(silence, sound, RATE, mix), sound)
    np.testing.assert_array_equal(blend(sound, silence, RATE, mix), sound)
    assert not blend(silence, silence, RATE, mix).any()


@pytest.mark.parametrize("samples", [1, 3, 240, 481, 5000])
def test_the_limiters_filters_are_scipys_to_the_bit(samples: int) -> None:
    generator = np.random.default_rng(samples)
    gain = np.where(generator.random(samples) < 0.9, 1, generator.random(samples)).astype(np.float32)
    lowest = minimum_filter1d(gain, 481, mode="nearest")
    assert np.array_equal(_moving_minimum(gain, 481), lowest)
    assert np.array_equal(_moving_mean(lowest, 481), uniform_filter1d(lowest, 481, mode="nearest"))
