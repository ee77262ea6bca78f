"""Make `python -m scratchlm` the same as the command `scratchlm`."""

import os
import sys

# The matrices here are small: a second BLAS thread gains nothing, and waits for a busy core a thousand times a second.
# NumPy reads this when it is first imported, which is below.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line; return its exit status."""
    from scratchlm import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
