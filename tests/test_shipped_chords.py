"""The shipped weights play the chords that they are asked for."""

import numpy as np
import torch

from diffbgm.diffusion.samplers import build_sampler
from diffbgm.generation.composer import Composer
from diffbgm.generation.harmony import wished
from diffbgm.generation.loading import find_checkpoint
from diffbgm.generation.request import Request
from diffbgm.generation.settings import ComposeSettings
from diffbgm.models.checkpoint import load_checkpoint
from diffbgm.music.harmony import parse_chords
from diffbgm.video.features import BeatFeatures


def test_most_bars_have_the_chord_that_was_asked() -> None:
    """Eight bars without a picture, from few steps so that it takes seconds."""
    checkpoint = load_checkpoint(find_checkpoint("diffbgm-lite"))
    features = checkpoint.config.features
    visual, language = (np.zeros((32, width), np.float32) for width in (features.visual_width, features.language_width))
    beats = BeatFeatures(visual, language, np.zeros(32, bool), ("",) * 32, np.zeros(32, bool))
    settings = ComposeSettings(guidance=1.0, form="free", rows=1)
    composer = Composer(checkpoint, build_sampler("dpm", 5, clip=(0, 1)), settings, torch.device("cpu"))
    plan = wished(parse_chords("E B C#m A"), 32)
    *_, progress = composer.compose([Request(beats, (0,), harmony=plan)])
    share = plan.heard(composer.notes(progress.rolls[0]))
    print(f"share of bars with the chord that was asked: {share}")
    assert share is not None
    assert share > 0.6
