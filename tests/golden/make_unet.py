"""Make unet.npz: outputs of the authors' released U-Net for tests/test_release.py.

    python tests/golden/make_unet.py FOLDER

FOLDER holds unet_small.npz and unet_paper.npz: the outputs of the release's own code, on a CPU in float32, for weights
and inputs drawn as `test_release.py` draws them again (so that only the outputs are kept, the paper model's every third
step and fifth pitch).
"""

import sys
from pathlib import Path

import numpy as np


def main(folder: Path) -> None:
    kept = {}
    for name, stride in (("small", (1, 1)), ("paper", (3, 5))):
        with np.load(folder / f"unet_{name}.npz") as numbers:
            for key in numbers.files:
                if key.startswith("eps_w"):
                    kept[f"{name}_{key}"] = numbers[key][..., :: stride[0], :: stride[1]]
    np.savez_compressed(Path(__file__).with_name("unet.npz"), **kept)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
