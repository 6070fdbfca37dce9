"""Music for a folder of videos: `python sample.py videos=FOLDER out=FOLDER ...` is `diffbgm sample ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["sample", *sys.argv[1:]]))
