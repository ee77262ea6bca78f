"""Make `python -m scratchlm` the same as the command `scratchlm`."""

import sys

from scratchlm.cli import main

sys.exit(main())
