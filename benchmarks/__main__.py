"""Run one benchmark: `python -m benchmarks NAME [...]` with one of these names.

    roll|data|model|features|evaluation|sample|seams|samplers|controls|threads

Each prints a table (means with 95 % intervals where something is timed), then one JSON line. `NAME --help` lists the
options of one.
"""

import sys
from importlib import import_module

NAMES = ("roll", "data", "model", "features", "evaluation", "sample", "seams", "samplers", "controls", "threads")


def main(words: list[str]) -> int:
    """Run the benchmark that the first word names; 2 where there is none of that name."""
    if not words or words[0] not in NAMES:
        print(__doc__, file=sys.stderr)
        return 2
    sys.argv[:] = [f"benchmarks {words[0]}", *words[1:]]
    return import_module(f"benchmarks.{words[0]}").main() or 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
