"""Metrics of generated music: `python evaluate.py generated=FOLDER out=FOLDER ...` is `diffbgm evaluate ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]]))
