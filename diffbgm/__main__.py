"""`python -m diffbgm` is `diffbgm`."""

import sys

from diffbgm.app.main import main

sys.exit(main())
