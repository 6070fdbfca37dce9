"""MIDI to sound through a soundfont, and the level of sound: loudness (ITU-R BS.1770), peaks, length and fades.

Shape legend: n samples. Sound is float32 (n, 2), stereo, full scale at 1.
"""

import io
import wave
from collections.abc import Iterable, Sequence
from importlib.util import find_spec
from math import gcd
from pathlib import Path

import midirenderer
import numpy as np

from diffbgm.errors import InputError
from diffbgm.files import atomic
from diffbgm.music.loudness import BLOCK, between_samples, integrated_loudness
from diffbgm.music.midi import sounds_in
from diffbgm.music.soundfont import small_soundfont

RENDER_RATE = 48000  # Hz
LOOKAHEAD = 0.005  # seconds in which the limiter reduces the gain before a peak and restores it afterwards
PEAK_BLOCK, PEAK_EDGE = 48000, 64  # samples oversampled at a time, and the margin on either side
PEAK_MARGIN = 0.997  # the limiter aims for this share of the ceiling, so that one pass is nearly always enough
TRIES = 6  # passes of the limiter, and of correcting the gain after it
LOUDNESS_ERROR = 0.05  # LU; tolerance of the loudness
MOST_LIMITED = 12.0  # dB of gain beyond the plain one with which sound may be driven into the limiter


def default_soundfont() -> Path:
    """The General MIDI soundfont that ships inside pretty_midi (TimGM6mb, 6 MB)."""
    spec = find_spec("pretty_midi")
    assert spec is not None, "pretty_midi is in requirements.txt"
    assert spec.origin is not None
    return Path(spec.origin).with_name("TimGM6mb.sf2")


def render(
    midi_path: str | Path,
    wav_path: str | Path | None = None,
    soundfont: str | Path | None = None,
    sample_rate: int = RENDER_RATE,
) -> np.ndarray:
    """The sound (n, 2) of a MIDI file from time 0 until its last note has died away; written to `wav_path` if given.

    The level depends on the soundfont; `normalise_loudness` adjusts it. Raises InputError if the MIDI file or the
    soundfont (an .sf2 or .sf3 file) is missing or damaged.
    """
    if not Path(midi_path).is_file():
        raise InputError(f"there is no MIDI file {midi_path}; check the name")
    audio = render_bytes(Path(midi_path).read_bytes(), soundfont, name=midi_path)
    audio = resample(audio, RENDER_RATE, sample_rate)
    if wav_path is not None:
        write_wav(wav_path, audio, sample_rate)
    return audio


def render_bytes(
    midi: bytes,
    soundfont: str | Path | None = None,
    programs: Iterable[int] | None = None,
    name: str | Path = "the music",
) -> np.ndarray:
    """The sound (n, 2) at 48 kHz of a MIDI file in memory; see `render`.

    `programs`: the General MIDI programs that are read from the soundfont; None: those that the file uses, including
    drums and other banks. `name` is what messages call the MIDI file.
    """
    soundfont = default_soundfont() if soundfont is None else Path(soundfont)
    font = small_soundfont(soundfont, sounds_in(midi) if programs is None else programs)
    try:
        data = midirenderer.render_wave_from(font, midi)
    except BaseException as error:  # a panic inside the renderer is not an Exception
        if not isinstance(error, RuntimeError) and type(error).__name__ != "PanicException":
            raise
        broken, remedy = name, "write it again"
        if not str(error).startswith("MIDI"):  # "SoundFont error: ..." or a panic
            broken, remedy = soundfont, "give an .sf2 or .sf3 file, or none for the built-in one"
        raise InputError(f"{broken} cannot be rendered ({error}); {remedy}") from error
    with wave.open(io.BytesIO(data)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        return resample(pcm.astype(np.float32) / 32768, file.getframerate(), RENDER_RATE)


def resample(audio: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Sound (n, 2) at another sample rate, by a polyphase filter."""
    common = gcd(rate, new_rate)
    if rate == new_rate or len(audio) == 0:
        return audio
    from scipy.signal import resample_poly  # takes a second to import, and is rarely needed

    return resample_poly(audio, new_rate // common, rate // common, axis=0).astype(np.float32)


def write_wav(path: str | Path, audio: np.ndarray, rate: int) -> None:
    """Write sound (n, 2) as a 16-bit PCM WAV file, clipped to -1..1. Raises InputError if it cannot be written."""
    pcm = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")
    with atomic(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())


def loudness(audio: np.ndarray, rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4 gating); -inf for silence, anything below -70 LUFS or no samples.

    Sound shorter than one block of 0.4 s is measured as if it were repeated.
    """
    if len(audio) == 0 or not audio.any():
        return -np.inf
    shortest = int(np.ceil(BLOCK * rate)) + 1
    if len(audio) < shortest:
        audio = np.tile(audio, (-(-shortest // len(audio)), 1))
    return integrated_loudness(audio, rate)


def normalise_loudness(audio: np.ndarray, rate: int, lufs: float = -16.0, peak_db: float = -1.0) -> np.ndarray:
    """Sound (n, 2) at a loudness of `lufs`, with true peaks below `peak_db` dBTP. Silence is returned unchanged.

    The limiter lowers the loudness, so the gain is increased until the loudness is within 0.05 LU, but by no more than
    `MOST_LIMITED` dB.
    """
    return _normalised(audio, rate, lufs, peak_db)[0]


def normalise_together(
    sounds: Sequence[np.ndarray], rate: int, lufs: float = -16.0, peak_db: float = -1.0
) -> tuple[np.ndarray, list[np.ndarray]]:
    """The sum of sounds (n, 2) after `normalise_loudness`, and each sound with the gain of the sum."""
    mix, gain = _normalised(np.asarray(np.sum(sounds, axis=0, dtype=np.float32)), rate, lufs, peak_db)
    return mix, [sound * gain for sound in sounds]


def _normalised(audio: np.ndarray, rate: int, lufs: float, peak_db: float) -> tuple[np.ndarray, np.ndarray]:
    """The sound at its target level, and the gain (n, 1) or (1, 1) that was applied."""
    measured = loudness(audio, rate)
    if not np.isfinite(measured):
        return audio, np.ones((1, 1), np.float32)
    first = gain = lufs - measured
    for _ in range(TRIES):
        plain = np.full((1, 1), 10 ** (gain / 20), np.float32)
        louder = audio * plain
        curve = _limiting(louder, rate, peak_db)
        limited = louder if curve is None else louder * curve
        if curve is None:
            break
        missing = lufs - loudness(limited, rate)
        if abs(missing) < LOUDNESS_ERROR or gain >= first + MOST_LIMITED:
            break
        gain = min(gain + missing, first + MOST_LIMITED)
    return limited, plain if curve is None else plain * curve


def limit(audio: np.ndarray, rate: int, peak_db: float = -1.0) -> np.ndarray:
    """Sound (n, 2) with true peaks below `peak_db` dBTP: the gain is reduced around the peaks only."""
    curve = _limiting(audio, rate, peak_db)
    return audio if curve is None else audio * curve


def _limiting(audio: np.ndarray, rate: int, peak_db: float) -> np.ndarray | None:
    """The gain (n, 1) that keeps true peaks below `peak_db` dBTP; None if none is needed."""
    ceiling = 10 ** (peak_db / 20)
    curve = None
    for _ in range(TRIES):  # a changing gain shifts the peaks between samples a little, so a second pass may be needed
        limited = audio if curve is None else audio * curve
        peak = true_peaks(limited, ceiling)
        if peak.max(initial=0) <= ceiling:
            return curve
        gain = (ceiling * PEAK_MARGIN / np.maximum(peak, ceiling * PEAK_MARGIN)).astype(np.float32)
        gain[peak <= ceiling] = 1
        width = 2 * max(1, int(LOOKAHEAD * rate)) + 1
        # Each value in the mean is the minimum of a window that contains this sample, so the mean is low enough.
        gain = _moving_mean(_moving_minimum(gain, width), width)[:, None]
        curve = gain if curve is None else curve * gain
    return curve


def _moving_minimum(values: np.ndarray, width: int) -> np.ndarray:
    """The minimum (n,) of the `width` (odd) values around each of (n,) values, the ends repeated.

    As `scipy.ndimage.minimum_filter1d` gives it, which takes longer to import than to run.
    """
    lowest, span = np.pad(values, width // 2, mode="edge"), 1
    while span < width:  # minima over twice the span, as far as the width allows
        further = min(span, width - span)
        lowest = np.minimum(lowest[:-further], lowest[further:])
        span += further
    return lowest


def _moving_mean(values: np.ndarray, width: int) -> np.ndarray:
    """The mean (n,) float32 of the same values, to the bit as `scipy.ndimage.uniform_filter1d` sums them."""
    padded = np.pad(values, width // 2, mode="edge").astype(np.float64)
    total = padded[:width].cumsum()[-1]
    changes = padded[width:] - padded[:-width]
    return (np.concatenate([[total], changes]).cumsum() / width).astype(np.float32)


def true_peak_db(audio: np.ndarray) -> float:
    """The true peak of sound (n, 2) in dBTP (ITU-R BS.1770-4, annex 2: four times oversampled); -inf for silence."""
    peak = float(true_peaks(audio, 0.0).max(initial=0))
    return 20 * np.log10(peak) if peak > 0 else -np.inf


def true_peaks(audio: np.ndarray, interest: float) -> np.ndarray:
    """The highest level (n,) of sound (n, 2) at each sample and before the next one.

    Blocks whose samples are all below half of `interest` are not oversampled; the levels of their samples are returned.
    """
    peaks = np.maximum(audio.max(axis=1, initial=0), -audio.min(axis=1, initial=0)).astype(np.float32)
    for start in range(0, len(audio), PEAK_BLOCK):
        stop = min(start + PEAK_BLOCK, len(audio))
        if peaks[start:stop].max() * 2 < interest:
            continue
        first, last = max(0, start - PEAK_EDGE), min(len(audio), stop + PEAK_EDGE)
        fine = between_samples(audio[first:last])[start - first : stop - first]
        peaks[start:stop] = np.maximum(peaks[start:stop], fine)
    return peaks


def fit_length(audio: np.ndarray, samples: int, fade: int = 0) -> np.ndarray:
    """The sound (n, 2) cut or padded with silence to `samples`; its last `fade` samples fade to 0 by a cosine."""
    fitted = np.zeros((samples, audio.shape[1]), np.float32)
    kept = min(samples, len(audio))
    fitted[:kept] = audio[:kept]
    fade = min(fade, samples)
    if fade:
        fitted[samples - fade :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / fade))[:, None]
    return fitted
