"""Mixing the sound of a video with the music made for it.

Shape legend: n samples, h hops of 10 ms. Sound is float32 (n, 2).

    replace   the music alone
    keep      both at the same loudness, the music 3 dB lower, summed
    duck      as keep, but the music is lowered by 12 dB while somebody speaks, by 4 dB while the original is loud
              without speech, and is at its full level elsewhere
The result is as loud as the music alone, and its peaks are limited. SciPy is imported only when sounds are mixed: its
filters take a second to import, and most videos get the music alone.
"""

import numpy as np

from diffbgm.music.audio import limit, loudness, normalise_loudness

MIXES = ("replace", "duck", "keep")
BOOST_DB = 12.0  # largest change of the original's level towards that of the music
KEEP_DB = 3.0  # by which the music is lowered in `keep`
DUCK_DB = 12.0  # by which the music is lowered under speech in `duck`
LOUD_DUCK_DB = 4.0  # the same where the original is loud without speech
LOUD_DB = 15.0  # below the music's loudness: the level of the original from which the music is ducked
LOUD_SPAN_DB = 10.0  # further dB over which ducking becomes complete
HOP, HOLD, GLIDE = 0.01, 0.5, 0.25  # seconds: level measured per hop, held (half of it ahead), glided between
VOICE_RATE = 8000  # Hz; sample rate at which speech is detected
VOICE_LOW = 300.0  # Hz; the telephone band, 300 to 3400 Hz, suffices to understand speech
SYLLABLE, SENTENCE = 0.06, 0.4  # seconds: envelopes smoothed over these differ by 2 to 8 syllables a second
VOICE_WINDOW = 1.2  # seconds over which the modulation of the envelope is measured
SWING, SWING_SPAN = 0.38, 0.2  # modulation from which it may be speech, and how much more makes it certain
SHARE, SHARE_SPAN = 0.25, 0.2  # share of all power that lies in the voice's band, likewise


def blend(original: np.ndarray, music: np.ndarray, rate: int, mix: str) -> np.ndarray:
    """The original sound and the music (n, 2), mixed by `keep` or `duck` and as loud as the music alone.

    The array `original` is overwritten to save memory.
    """
    target, own = loudness(music, rate), loudness(original, rate)
    if not np.isfinite(own):
        return limit(music, rate)
    if not np.isfinite(target):
        return limit(original, rate)
    original *= np.float32(10 ** (np.clip(target - own, -BOOST_DB, BOOST_DB) / 20))
    gain = duck_gain(original, rate, target)[:, None] if mix == "duck" else np.float32(10 ** (-KEEP_DB / 20))
    original += music * gain
    return normalise_loudness(original, rate, target)


def duck_gain(original: np.ndarray, rate: int, reference: float, by: str = "speech") -> np.ndarray:
    """The gain (n,) of music under `original` (n, 2): 1 where that is soft, -12 dB under speech near `reference` dBFS.

    Where the original is loud without speech, the music is lowered by 4 dB, or by 12 dB with `by="loudness"`. The level
    of each hop is held for half a second around it, to bridge the gaps between words, and then smoothed.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d

    hop = int(HOP * rate)
    level = 10 * np.log10(_power(original, hop) + 1e-12)  # (h,) dB
    loud = np.clip((level - (reference - LOUD_DB)) / LOUD_SPAN_DB, 0, 1)
    loud = maximum_filter1d(loud, round(HOLD / HOP), mode="nearest")
    speech = speech_presence(original, rate) if by == "speech" else np.ones(len(loud))
    lowered = loud * (LOUD_DUCK_DB + (DUCK_DB - LOUD_DUCK_DB) * speech)  # (h,) dB
    for _ in range(2):
        lowered = uniform_filter1d(lowered, round(GLIDE / HOP), mode="nearest")
    gain = np.pad(10 ** (-lowered / 20), (0, 1), mode="edge").astype(np.float32)  # (h + 1,) where hops begin
    between = gain[:-1, None] + np.diff(gain)[:, None] * (np.arange(hop, dtype=np.float32) / hop)  # (h, hop)
    return between.reshape(-1)[: len(original)]


def speech_presence(sound: np.ndarray, rate: int) -> np.ndarray:
    """How much each hop of a sound (n, 2) resembles speech, (h,) in [0, 1].

    In speech the level of the voice band is modulated by the syllables, two to eight times a second, and more deeply
    than in music or noise (Houtgast & Steeneken 1985; as a feature: Scheirer & Slaney 1997), and most of the power lies
    in that band.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d
    from scipy.signal import butter, resample_poly, sosfilt

    power = _power(sound, int(HOP * rate))
    narrow = resample_poly(sound.mean(axis=1), 1, rate // VOICE_RATE) if rate > VOICE_RATE else sound.mean(axis=1)
    voice = sosfilt(butter(4, VOICE_LOW, "highpass", fs=VOICE_RATE, output="sos"), narrow)
    band = _power(np.repeat(voice[:, None], 2, axis=1), int(HOP * VOICE_RATE))[: len(power)]
    band = np.pad(band, (0, len(power) - len(band)))
    band, power = band.astype(np.float64), power.astype(np.float64)
    envelope = np.sqrt(band)
    fast, slow = (uniform_filter1d(envelope, round(width / HOP), mode="nearest") for width in (SYLLABLE, SENTENCE))
    window = round(VOICE_WINDOW / HOP)
    swing = np.sqrt(np.maximum(uniform_filter1d((fast - slow) ** 2, window, mode="nearest"), 0))
    swing /= np.maximum(uniform_filter1d(envelope, window, mode="nearest"), 1e-6)
    share = uniform_filter1d(band, window, mode="nearest")
    share /= np.maximum(uniform_filter1d(power, window, mode="nearest"), 1e-12)
    likely = np.clip((swing - SWING) / SWING_SPAN, 0, 1) * np.clip((share - SHARE) / SHARE_SPAN, 0, 1)
    return maximum_filter1d(likely, round(HOLD / HOP), mode="nearest")


def _power(sound: np.ndarray, hop: int) -> np.ndarray:
    """Mean power of each hop of a sound (n, 2), summed over both channels as in BS.1770, (h,)."""
    hops = -(-len(sound) // hop)
    power = np.zeros(hops * hop, np.float32)
    power[: len(sound)] = np.einsum("nc,nc->n", sound, sound)
    return power.reshape(hops, hop).mean(axis=1)
