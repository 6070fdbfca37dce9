"""MIDI to sound through a soundfont, and the level of sound: loudness (ITU-R BS.1770), peaks, length and fades.

Shape legend: n samples. Sound is float32 (n, 2), stereo, full scale at 1.
"""

import io
import wave
from math import gcd
from pathlib import Path

import midirenderer
import numpy as np
import pretty_midi
import pyloudnorm
from scipy.ndimage import minimum_filter1d, uniform_filter1d
from scipy.signal import resample_poly

from diffbgm.errors import InputError
from diffbgm.files import atomic

RENDER_RATE = 48000  # Hz, what midirenderer gives
BLOCK = 0.4  # seconds, the shortest sound BS.1770 measures
LOOKAHEAD = 0.005  # seconds in which the limiter turns down before a peak and up after it


def default_soundfont() -> Path:
    """The General MIDI soundfont that ships inside pretty_midi (TimGM6mb, 6 MB)."""
    return Path(pretty_midi.__file__).with_name("TimGM6mb.sf2")


def render(
    midi_path: str | Path,
    wav_path: str | Path | None = None,
    soundfont: str | Path | None = None,
    sample_rate: int = RENDER_RATE,
) -> np.ndarray:
    """The sound (n, 2) of a MIDI file from time 0 until its last note has died away; written to `wav_path` if given.

    The level is the soundfont's own: see `normalise_loudness`. Raises InputError where the MIDI file or the soundfont
    (an .sf2 file) is missing or damaged.
    """
    soundfont = default_soundfont() if soundfont is None else Path(soundfont)
    if not soundfont.is_file():
        raise InputError(f"there is no soundfont {soundfont}; give an .sf2 file, or none for the built-in one")
    if not Path(midi_path).is_file():
        raise InputError(f"there is no MIDI file {midi_path}; check the name")
    try:
        data = midirenderer.render_wave_from(soundfont.read_bytes(), Path(midi_path).read_bytes())
    except RuntimeError as error:  # "SoundFont error: ..." or "MIDI error: ..."
        broken, remedy = midi_path, "write it again"
        if str(error).startswith("SoundFont"):
            broken, remedy = soundfont, "give an .sf2 file, or none for the built-in one"
        raise InputError(f"{broken} cannot be rendered ({error}); {remedy}") from error
    with wave.open(io.BytesIO(data)) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
        audio = resample(pcm.astype(np.float32) / 32768, file.getframerate(), sample_rate)
    if wav_path is not None:
        write_wav(wav_path, audio, sample_rate)
    return audio


def resample(audio: np.ndarray, rate: int, new_rate: int) -> np.ndarray:
    """Sound (n, 2) at another sample rate, by a polyphase filter."""
    common = gcd(rate, new_rate)
    if rate == new_rate or len(audio) == 0:
        return audio
    return resample_poly(audio, new_rate // common, rate // common, axis=0).astype(np.float32)


def write_wav(path: str | Path, audio: np.ndarray, rate: int) -> None:
    """Write sound (n, 2) as a 16-bit PCM WAV file; values outside -1..1 are clipped. Raises InputError if it cannot."""
    pcm = np.rint(np.clip(audio, -1, 1) * 32767).astype("<i2")
    with atomic(path) as temporary, wave.open(str(temporary), "wb") as file:
        file.setnchannels(pcm.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())


def loudness(audio: np.ndarray, rate: int) -> float:
    """Integrated loudness in LUFS (ITU-R BS.1770-4 gating); -inf for silence, anything below -70 LUFS or no samples.

    Sound shorter than one block of 0.4 s is measured as if it went on repeating.
    """
    if len(audio) == 0 or not audio.any():
        return -np.inf
    shortest = int(np.ceil(BLOCK * rate)) + 1
    if len(audio) < shortest:
        audio = np.tile(audio, (-(-shortest // len(audio)), 1))
    return float(pyloudnorm.Meter(rate, block_size=BLOCK).integrated_loudness(audio))


def normalise_loudness(audio: np.ndarray, rate: int, lufs: float = -16.0, peak_db: float = -1.0) -> np.ndarray:
    """Sound (n, 2) brought to `lufs`, its peaks held under `peak_db` dBFS by a limiter. Silence comes back unchanged.

    Limiting lowers the loudness a little, so the gain is set a second time after it; what the limiter must still take
    away then stays away.
    """
    for _ in range(2):
        measured = loudness(audio, rate)
        if not np.isfinite(measured):
            return audio
        louder = audio * np.float32(10 ** ((lufs - measured) / 20))
        audio = limit(louder, rate, peak_db)
        if audio is louder:
            break
    return audio


def limit(audio: np.ndarray, rate: int, peak_db: float = -1.0) -> np.ndarray:
    """Sound (n, 2) whose peaks stay under `peak_db` dBFS: turned down smoothly around them, unchanged elsewhere."""
    ceiling = 10 ** (peak_db / 20)
    peak = np.maximum(audio.max(axis=1, initial=0), -audio.min(axis=1, initial=0))
    if peak.max(initial=0) <= ceiling:
        return audio
    gain = (ceiling / np.maximum(peak, ceiling)).astype(np.float32)
    width = 2 * max(1, int(LOOKAHEAD * rate)) + 1
    # Every value the mean sees is the minimum of a window that holds this sample, so the mean is low enough for it.
    gain = uniform_filter1d(minimum_filter1d(gain, width, mode="nearest"), width, mode="nearest")
    return (audio * gain[:, None]).astype(np.float32)


def fit_length(audio: np.ndarray, samples: int, fade: int = 0) -> np.ndarray:
    """Exactly `samples` of the sound (n, 2): cut, or silence added. The last `fade` samples fall to 0 (cosine)."""
    fitted = np.zeros((samples, audio.shape[1]), np.float32)
    kept = min(samples, len(audio))
    fitted[:kept] = audio[:kept]
    fade = min(fade, samples)
    if fade:
        fitted[samples - fade :] *= (0.5 + 0.5 * np.cos(np.pi * (np.arange(fade) + 1) / fade))[:, None]
    return fitted
