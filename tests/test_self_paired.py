"""Conditions computed from music: each measure on suitable music, and the noise of training."""

from dataclasses import replace

import numpy as np
import pytest

from diffbgm.datasets.generated import GeneratedSongs
from diffbgm.datasets.perturb import Perturbation
from diffbgm.datasets.self_paired import BEAT_SECONDS, measures
from diffbgm.datasets.song import Song, segment_starts
from diffbgm.music.notes import Notes
from diffbgm.video.streams import STREAMS, Measures, Reference, levels

STILL = Perturbation(
    widest=1,
    shift=0,
    shot_shift=0,
    noise=0,
    dropout=0,
    jitter=0,
    lost_cut=0,
    extra_cut=0,
    restless=0,
    no_cuts=0,
    short=0,
)
CUTS = [STREAMS.index(name) for name in ("cut", "since_cut", "until_cut")]
MOTION = STREAMS.index("motion")


def song(rows: list[tuple[int, int, int]], beats: int) -> Song:
    """A song in 4/4 from (onset, pitch, duration)."""
    onset, pitch, duration = np.array(rows, np.int64).T
    notes = Notes(onset, pitch, duration, np.full(len(rows), 80), np.zeros(len(rows), np.int64)).sorted()
    downbeats = np.arange(0, beats, 4)
    return Song("song", notes, beats, downbeats, segment_starts(downbeats, beats))


def scale_song(scale: tuple[int, ...], beats: int = 64) -> Song:
    """A scale up and down with its tonic in the bass, a note a beat."""
    steps = scale + scale[-2:0:-1]
    rows = [(4 * b, 60 + steps[b % len(steps)], 4) for b in range(beats)]
    return song(
        rows + [(4 * b, 48, 16) for b in range(0, beats, 4)] + [(4 * b, 55, 8) for b in range(0, beats, 4)], beats
    )


def test_motion_counts_the_notes_of_each_beat() -> None:
    counted = measures(song([(0, 60, 1), (1, 62, 1), (3, 64, 1), (4, 60, 8), (12, 60, 1), (12, 67, 1)], 8))
    np.testing.assert_array_equal(counted.motion, [3, 1, 0, 2, 0, 0, 0, 0])


def test_an_accent_is_more_notes_on_the_beat_than_around_it() -> None:
    rows = [(4 * beat, 60, 1) for beat in range(32)] + [(4 * 16, pitch, 1) for pitch in (48, 52, 55)]
    rows += [(4 * 8 + 1, pitch, 1) for pitch in (48, 52, 55)]  # as many, but off the beat
    accent = measures(song(rows, 32)).accent
    assert accent.argmax() == 16
    assert accent[16] == pytest.approx(4 - (4 + 8) / 9)
    assert accent[8] == 0


def test_register_and_spread() -> None:
    low = [(4 * b, 40, 4) for b in range(16)]
    high = [(4 * b, pitch, 4) for b in range(16, 32) for pitch in (70, 90)]
    m = measures(song(low + high, 32))
    np.testing.assert_allclose(m.brightness[:14], 40)
    np.testing.assert_allclose(m.brightness[18:], 80)
    np.testing.assert_allclose(m.contrast[:14], 0, atol=1e-5)
    np.testing.assert_allclose(m.contrast[18:], 10)
    np.testing.assert_array_equal(m.colourfulness[[4, 24]], [1, 2])


def test_silence_keeps_the_register_it_lies_between() -> None:
    rows = [(0, 50, 16), (4 * 28, 70, 16)]
    brightness = measures(song(rows, 32)).brightness
    assert brightness[0] == 50
    assert brightness[31] == 70
    assert (np.diff(brightness) >= 0).all()


def test_major_is_warmer_than_minor() -> None:
    major = measures(scale_song((0, 2, 4, 5, 7, 9, 11)))
    minor = measures(scale_song((0, 2, 3, 5, 7, 8, 10)))
    assert major.warmth.min() > 0 > minor.warmth.max()


def test_a_change_of_texture_at_a_bar_line_is_a_cut() -> None:
    calm = [(4 * b, 48 + (b % 2), 4) for b in range(32)]
    busy = [(4 * b + s, 72 + 3 * s, 1) for b in range(32, 64) for s in range(4)]
    cut = measures(song(calm + busy, 64)).cut
    assert cut[32]
    assert not cut[1:24].any()
    assert set(np.flatnonzero(cut) % 4) <= {0}


def test_phrases_come_every_few_bars() -> None:
    source = GeneratedSongs(count=4, bars=64)
    for name in source.songs():
        gaps = np.diff(np.flatnonzero(measures(source.read(name)).cut))
        assert 8 <= gaps.mean() <= 24
        assert set(gaps % 4) == {0}


def test_measures_do_not_depend_on_the_key() -> None:
    here = GeneratedSongs(count=1).read("0000")
    assert here.chords is not None
    moved = replace(here, notes=here.notes.transposed(-5), chords=np.roll(here.chords, -5, axis=1))
    one, two = measures(here), measures(moved)
    for name in ("motion", "accent", "contrast", "colourfulness", "warmth", "cut"):
        np.testing.assert_allclose(getattr(one, name), getattr(two, name), atol=1e-4, err_msg=name)
    np.testing.assert_allclose(one.brightness - two.brightness, 5)


def chances(count: int, seed: int = 0) -> list[np.random.Generator]:
    """A generator a segment."""
    return [np.random.default_rng([seed, k]) for k in range(count)]


@pytest.fixture(scope="module")
def streams() -> np.ndarray:
    """Streams of 16 segments, (16, 32, 9), cut out of the middle of a song."""
    source = GeneratedSongs(count=1, bars=256)
    measured = measures(source.read("0000"))
    return levels(measured, Reference.of([measured]), BEAT_SECONDS)[64 : 64 + 512].reshape(16, 32, 9)


def test_no_noise_changes_nothing(streams: np.ndarray) -> None:
    noisy, visible = STILL(streams, chances(16))
    np.testing.assert_allclose(noisy, streams, atol=1e-6)
    assert visible.all()


def test_noise_stays_in_range_and_repeats_with_its_seed(streams: np.ndarray) -> None:
    noise = Perturbation()
    one, two, other = (noise(streams, chances(16, seed))[0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1
    follows = np.corrcoef(one[..., MOTION].ravel(), streams[..., MOTION].ravel())[0, 1]
    assert 0.4 < follows < 1


def test_a_segment_s_noise_depends_on_no_other(streams: np.ndarray) -> None:
    noise = Perturbation()
    together, alone = noise(streams, chances(16))[0], noise(streams[5:6], chances(16)[5:6])[0]
    np.testing.assert_allclose(together[5:6], alone, atol=1e-6)


def test_moved_cuts_keep_their_clocks(streams: np.ndarray) -> None:
    """since_cut and until_cut tell of the cuts as they are after the noise, inside the segment."""
    noise = Perturbation(extra_cut=0.1, jitter=0.5, no_cuts=0, short=0)
    noisy, _ = noise(streams, chances(16, 3))
    for segment in noisy:
        cut = segment[:, CUTS[0]] > 0.5
        first, last = np.flatnonzero(cut)[[0, -1]]
        zeros = np.zeros(32 - first)
        inside = levels(Measures(*[zeros] * 6, cut[first:]), Reference.of([Measures(*[zeros] * 6, cut[first:])]))
        np.testing.assert_allclose(segment[first:, CUTS[1]], inside[:, CUTS[1]], atol=1e-6)
        np.testing.assert_allclose(segment[first:last, CUTS[2]], inside[: last - first, CUTS[2]], atol=1e-6)


def test_a_video_without_cuts_has_none_near(streams: np.ndarray) -> None:
    noisy, _ = Perturbation(no_cuts=1, short=0)(streams, chances(16))
    np.testing.assert_allclose(noisy[..., CUTS], 0, atol=1e-6)


def test_restless_videos_cut_often(streams: np.ndarray) -> None:
    noisy, _ = Perturbation(restless=1, most_cuts=0.4, no_cuts=0)(streams, chances(16))
    rates = (noisy[..., CUTS[0]] > 0.5).mean(1)
    assert rates.max() > 0.3
    assert 0.15 < rates.mean() < 0.4


def test_light_changes_from_shot_to_shot(streams: np.ndarray) -> None:
    noisy, _ = replace(STILL, shot_shift=0.05)(streams, chances(16))
    light = STREAMS.index("brightness")
    change = noisy[..., light] - streams[..., light]
    inside = streams[:, 1:, CUTS[0]] < 0.5
    clipped = (noisy[..., light] <= 0) | (noisy[..., light] >= 1)
    steady = inside & ~clipped[:, 1:] & ~clipped[:, :-1]
    np.testing.assert_allclose(np.diff(change, axis=1)[steady], 0, atol=1e-5)
    moved = np.abs(change).max(1) > 0.01
    assert 2 <= moved.sum() <= 14  # about half of the segments
    np.testing.assert_allclose(noisy[..., MOTION], streams[..., MOTION], atol=1e-6)


def test_smoothing_lowers_change_but_keeps_the_mean(streams: np.ndarray) -> None:
    smooth, _ = replace(STILL, widest=4, regain=0)(streams, chances(16))
    before, after = streams[..., MOTION], smooth[..., MOTION]
    assert np.abs(np.diff(after)).mean() < 0.75 * np.abs(np.diff(before)).mean()
    np.testing.assert_allclose(after.mean(), before.mean(), atol=0.01)


def test_dropped_streams_are_constant(streams: np.ndarray) -> None:
    dropped, _ = Perturbation(dropout=1)(streams, chances(16))
    measured = [k for k in range(9) if k not in CUTS]
    np.testing.assert_array_equal(dropped[..., measured], 0.5)


def test_a_short_video_has_its_own_ranks_and_ends() -> None:
    """A stream that climbs a little climbs the whole way within the video; ties share a rank."""
    streams = np.full((400, 32, 9), 0.5, np.float32)
    streams[..., CUTS] = 0
    streams[..., MOTION] = np.linspace(0.4, 0.71, 32)
    noisy, visible = replace(STILL, short=1)(streams, chances(400))
    ends = visible.sum(1)
    assert ends.min() >= 8
    assert 0.4 < (ends == 32).mean() < 0.6
    assert (np.diff(visible.astype(int), axis=1) <= 0).all()  # once over, it stays over
    beat = np.arange(32)
    for segment, end in zip(noisy, ends, strict=True):
        expected = 0.5 * streams[0, :end, MOTION] + 0.5 * (beat[:end] + 0.5) / end
        np.testing.assert_allclose(segment[:end, MOTION], expected, atol=1e-6)
        np.testing.assert_allclose(segment[:end, STREAMS.index("warmth")], 0.5, atol=1e-6)
        np.testing.assert_allclose(segment[:end, CUTS[1]], np.exp(-beat[:end] * BEAT_SECONDS / 2), atol=1e-6)
        np.testing.assert_allclose(segment[:end, CUTS[2]], np.exp((beat[:end] - end) * BEAT_SECONDS / 2), atol=1e-6)
