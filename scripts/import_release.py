"""`python scripts/import_release.py ...` is `diffbgm import ...`."""

import sys

from diffbgm.app.main import main

if __name__ == "__main__":
    sys.exit(main(["import", *sys.argv[1:]]))
