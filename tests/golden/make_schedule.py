"""Extract the values for schedule.json from the schedule stored in the authors' release.

python tests/golden/make_schedule.py SCHEDULE.npz      (arrays beta and alpha_bar, float32, 1000 steps)
"""

import json
import sys
from pathlib import Path

import numpy as np

STEPS = (0, 1, 2, 10, 50, 100, 199, 200, 201, 400, 500, 600, 800, 998, 999)

if __name__ == "__main__":
    release = np.load(sys.argv[1])
    rows = {str(t): [float(release["beta"][t]), float(release["alpha_bar"][t])] for t in STEPS}
    Path(__file__).with_name("schedule.json").write_text(json.dumps(rows, indent=1) + "\n")
