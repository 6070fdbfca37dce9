"""Two sounds into one: the sound a video came with and the music made for it.

Shape legend: n samples, h hops of 10 ms. Sound is float32 (n, 2).

    replace   the original goes, the music stays
    keep      both are brought to the same loudness, the music 3 dB under, and summed
    duck      as keep, but the music gives way by 12 dB while the original is loud, and is at its full level elsewhere
The result is as loud as the music that came in, and its peaks are limited.
"""

import numpy as np
from scipy.ndimage import maximum_filter1d, uniform_filter1d

from diffbgm.music.audio import limit, loudness, normalise_loudness

MIXES = ("replace", "duck", "keep")
BOOST_DB = 12.0  # the most the original is turned up or down to meet the music
KEEP_DB = 3.0  # music under the original in `keep`
DUCK_DB = 12.0  # music under loud places of the original in `duck`
LOUD_DB, LOUD_SPAN_DB = (
    15.0,
    10.0,
)  # ducking begins this far under the music's loudness and is full this much above that
HOP, HOLD, GLIDE = 0.01, 0.5, 0.25  # seconds: level measured per hop, held (half of it ahead), glided between


def blend(original: np.ndarray, music: np.ndarray, rate: int, mix: str) -> np.ndarray:
    """The original sound and the music (n, 2) together, mixed by `keep` or `duck`, as loud as the music alone.

    To save memory the array `original` is written over.
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


def duck_gain(original: np.ndarray, rate: int, reference: float) -> np.ndarray:
    """The gain (n,) of music under `original` (n, 2): 1 where it is soft, -12 dB where it nears `reference` dBFS.

    The level of each hop is held for half a second around it, so that gaps between words do not count, then smoothed.
    """
    hop = int(HOP * rate)
    hops = -(-len(original) // hop)
    power = np.zeros(hops * hop, np.float32)
    power[: len(original)] = np.einsum("nc,nc->n", original, original)  # both channels, as in BS.1770
    level = 10 * np.log10(power.reshape(hops, hop).mean(axis=1) + 1e-12)  # (h,) dB
    loud = np.clip((level - (reference - LOUD_DB)) / LOUD_SPAN_DB, 0, 1)
    loud = maximum_filter1d(loud, round(HOLD / HOP), mode="nearest")
    for _ in range(2):
        loud = uniform_filter1d(loud, round(GLIDE / HOP), mode="nearest")
    gain = np.pad(10 ** (-DUCK_DB / 20 * loud), (0, 1), mode="edge").astype(np.float32)  # (h + 1,) where hops begin
    between = gain[:-1, None] + np.diff(gain)[:, None] * (np.arange(hop, dtype=np.float32) / hop)  # (h, hop)
    return between.reshape(-1)[: len(original)]
