"""A user's wishes, worked into what the model sees."""

import numpy as np

from diffbgm.video.captions import sentence_table
from diffbgm.video.features import BeatFeatures
from diffbgm.video.steer import with_accents_on_cuts, with_intensity
from diffbgm.video.streams import SENTENCES, STREAMS

MOTION, ACCENT = STREAMS.index("motion"), STREAMS.index("motion_onset")


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
