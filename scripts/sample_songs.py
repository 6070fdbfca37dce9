"""`python scripts/sample_songs.py ...` is `diffbgm songs ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["songs", *sys.argv[1:]]))
