"""P@K of stored tagger features, as the release offers them: checks its published 46.92 for whoever has the arrays.

    python scripts/score_features.py gt_feats caption+visual_att_4_feats [--seed 0] [--draws 1000]

Both folders hold a NAME.npy (rows, width) a song. The release draws its candidates once and unseeded, and takes songs
in the order of a directory listing, which decides which rows are the first 500: its output lies within the spread of
draws, not at one number. What it stored: R@1 3.88, R@5 15.99, R@10 26.89, R@20 46.92, mean rank 24.44 over 1,882 rows.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from diffbgm.errors import InputError
from diffbgm.evaluation.patches import patch_retrieval, read_arrays


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth", type=Path, help="features of the real music")
    parser.add_argument("predicted", type=Path, help="features of the generated music")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=1000)
    arguments = parser.parse_args(words)
    try:
        found = patch_retrieval(
            read_arrays(arguments.predicted), read_arrays(arguments.truth), arguments.seed, draws=arguments.draws
        )
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{found.queries} rows against {found.candidates:.0f} candidates, seed {arguments.seed}; 95 % over songs")
    for k, number in found.precision.items():
        print(f"P@{k:<2d} {number.value:6.2f} [{number.low:.2f}, {number.high:.2f}], chance {number.chance:.2f}")
    rank = found.mean_rank
    print(f"mean rank {rank.value:.2f} [{rank.low:.2f}, {rank.high:.2f}], chance {rank.chance:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
