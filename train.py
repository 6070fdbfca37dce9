"""Train a model: `python train.py experiment=NAME data.root=FOLDER ...` is `diffbgm train ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
