"""`python scripts/extract_features.py ...` is `diffbgm features ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["features", *sys.argv[1:]]))
