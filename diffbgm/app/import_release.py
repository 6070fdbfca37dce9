"""The authors' published checkpoint as one that sample.py reads.

    diffbgm import weights.pt pretrained/release.safetensors
    diffbgm sample checkpoint=pretrained/release.safetensors videos=FOLDER out=FOLDER

Every key and shape is checked against the published list, and nothing in the file is executed.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.models.release import import_release

UNKNOWN = """\
What the weights do not say, and what was assumed:
  window 16 beats       the released code attends in 2 windows of the 32 beats (the paper's row k = 16: PCHE 2.792,
                        GPS 0.680); its notebook names 4 (k = 8, the paper's choice: 2.840, 0.601)
  language, then video  the paper's selector with its switch at t = 200
  guidance 5            against a constant condition of -1, as the released sampling does; it was never trained
  features=clip         the release's video vectors come from CLIP2Video; open_clip's ViT-B/32 is of the same family
                        and width, but its numbers differ"""


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="the published .pt")
    parser.add_argument("target", type=Path, help="the .safetensors to write")
    arguments = parser.parse_args(words)
    if arguments.target.suffix != ".safetensors":
        parser.error(f"the target {arguments.target} must end in .safetensors")
    try:
        config = import_release(arguments.source, arguments.target)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{arguments.target}: weights of {arguments.source} (sha256 {config.training['sha256']})")
    print(UNKNOWN)
    return 0
