"""`python -m diffbgm` runs the command `diffbgm`."""

import sys

from diffbgm.app.main import main

sys.exit(main())
