"""The authors' published checkpoint as one that sample.py reads.

    diffbgm import weights.pt pretrained/release.safetensors
    diffbgm sample checkpoint=pretrained/release.safetensors videos=FOLDER out=FOLDER

Three models are published, alike in their keys. For the one that saw video alone add `--selector video`, for the one
without segment-aware attention `--window 32`. Every key and shape is checked against the published list, and nothing in
the file is executed.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffbgm.models.release import WINDOW, import_release

UNKNOWN = """\
What the weights do not say, and what was assumed:
  window {window} beats       the released code attends in 2 windows of the 32 beats, window 16 (the paper's row k = 16:
                        PCHE 2.792, GPS 0.680); its notebook names 4 (k = 8, the paper's choice: 2.840, 0.601); 32 is
                        the model without segment-aware attention
  selector {selector}: the paper's language_video has its switch at t = 200; video is the model "only visual"
  sampler=release       999 steps of ddpm from t = 998, not clipped, segments side by side, 120 BPM
  guidance 5            against a constant condition of -1, as the released sampling does; it was never trained
  features=clip         the release's video vectors come from CLIP2Video; open_clip's ViT-B/32 is of the same family
                        and width, but its numbers differ"""


def main(words: Sequence[str] | None = None) -> int:
    """Import. Raises InputError for a file that is not one of the published checkpoints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the published .pt")
    parser.add_argument("target", type=Path, help="the .safetensors to write")
    parser.add_argument("--selector", default="language_video", help="language_video, or video for 'only visual'")
    parser.add_argument("--window", type=int, default=WINDOW, help="beats; 32 for 'without SAC-Att'")
    arguments = parser.parse_args(words)
    if arguments.target.suffix != ".safetensors":
        parser.error(f"the target {arguments.target} must end in .safetensors")
    config = import_release(arguments.source, arguments.target, arguments.selector, arguments.window)
    print(f"{arguments.target}: weights of {arguments.source} (sha256 {config.training['sha256']})")
    print(UNKNOWN.format(window=arguments.window, selector=arguments.selector))
    return 0
