"""Music for a folder of videos: `python sample.py videos=FOLDER out=FOLDER [seed=0 tempo=auto mix=replace ...]`.

Settings: configs/sample.yaml. A video that cannot be used is named on stderr and in summary.json; the others go on, and
the exit code is 1.
"""

import sys

from diffbgm.app.cli import run
from diffbgm.app.sample import sample

if __name__ == "__main__":
    sys.exit(run(sample, "sample"))
