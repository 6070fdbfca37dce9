"""The user's settings applied to the features."""

import numpy as np
import pytest

from diffbgm.video.captions import sentence_table
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import (
    MOOD_PULL,
    busiest,
    with_accents_on_cuts,
    with_intensity,
    with_mood,
    with_motion_contrast,
)
from diffbgm.video.streams import SENTENCES, STREAMS

MOTION, ACCENT = STREAMS.index("motion"), STREAMS.index("motion_onset")
BRIGHT = STREAMS.index("brightness")


def beats(streams: bool = True) -> BeatFeatures:
    visual = np.random.default_rng(0).random((16, len(STREAMS))).astype(np.float32)
    cut = np.isin(np.arange(16), [4, 9])
    language = np.zeros((16, 384), np.float32)
    return BeatFeatures(visual, language, np.arange(16) < 14, ("",) * 16, cut, STREAMS if streams else ())


def test_accents_are_asked_for_on_cuts_and_nothing_else_changes():
    before, after = beats(), with_accents_on_cuts(beats())
    assert after.visual[[4, 9], ACCENT].tolist() == [1.0, 1.0]
    changed = (after.visual != before.visual).nonzero()
    assert set(zip(*changed, strict=True)) == {(4, ACCENT), (9, ACCENT)}


def test_image_embeddings_have_no_accents_to_ask_for_whatever_their_width():
    given = beats(streams=False)
    assert with_accents_on_cuts(given) is given


def test_intensity_scales_motion_and_chooses_the_sentences_that_fit():
    calm = with_intensity(beats(), 0.0)
    assert not calm.visual[:, [MOTION, ACCENT]].any()
    assert all(caption.startswith("A slow") for caption in calm.captions[:14])
    np.testing.assert_array_equal(calm.language[0], sentence_table()[SENTENCES.index(calm.captions[0])])
    assert with_intensity(beats(), 4.0).visual.max() <= 1.0


def test_motion_contrast_moves_motion_away_from_its_mean():
    """The mean is that of the 14 beats that the video has; no other stream changes."""
    given = beats()
    given.visual[:, [MOTION, ACCENT]] = np.where(np.arange(16) % 2, 0.6, 0.4)[:, None]
    more = with_motion_contrast(given, 1.8)
    np.testing.assert_allclose(more.visual[:14, MOTION], np.where(np.arange(14) % 2, 0.68, 0.32), rtol=1e-6)
    np.testing.assert_array_equal(
        np.delete(more.visual, [MOTION, ACCENT], 1), np.delete(given.visual, [MOTION, ACCENT], 1)
    )
    np.testing.assert_allclose(with_motion_contrast(given, 0).visual[:14, MOTION], 0.5, rtol=1e-6)
    wide = with_motion_contrast(given, 4).visual[:14, MOTION]
    np.testing.assert_allclose(wide, np.where(np.arange(14) % 2, 0.9, 0.1), rtol=1e-5)
    np.testing.assert_allclose(with_motion_contrast(given, 1).visual[:14], given.visual[:14], rtol=1e-6)
    embeddings = beats(streams=False)
    assert with_motion_contrast(embeddings, 1.8) is embeddings


def test_a_mood_pulls_streams_a_share_of_their_way():
    calm, glad = (with_mood(beats(), np.full(16, v), np.full(16, a), 90).visual for v, a in ((0, -0.5), (1, 0)))
    given = beats().visual
    np.testing.assert_allclose(calm[:, MOTION], given[:, MOTION] * (1 - MOOD_PULL / 2), rtol=1e-6)
    np.testing.assert_allclose(glad[:, BRIGHT], given[:, BRIGHT] + MOOD_PULL * (1 - given[:, BRIGHT]), rtol=1e-6)
    np.testing.assert_array_equal(glad[:, MOTION], given[:, MOTION])


def test_an_excited_mood_asks_for_no_more_notes_a_second_than_songs_have():
    assert busiest(128) == pytest.approx(0.670)  # 12.8 notes a second are six a beat
    assert busiest(192) == pytest.approx(0.348)
    assert busiest(60) == pytest.approx(0.991)
    given = beats().visual[:, MOTION]
    assert given.max() > 0.9
    excited = with_mood(beats(), np.zeros(16), np.ones(16), 128).visual[:, MOTION]
    np.testing.assert_allclose(excited, np.minimum(given + MOOD_PULL * (1 - given), busiest(128)), rtol=1e-6)
    half = with_mood(beats(), np.zeros(16), np.full(16, 0.5), 128).visual[:, MOTION]
    most = busiest(128) + 0.5 * np.maximum(given - busiest(128), 0)
    np.testing.assert_allclose(half, np.minimum(given + MOOD_PULL / 2 * (1 - given), most), rtol=1e-6)
    neutral = with_mood(beats(), np.zeros(16), np.zeros(16), 128).visual
    np.testing.assert_array_equal(neutral, beats().visual)
