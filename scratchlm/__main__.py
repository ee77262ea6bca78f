"""Make `python -m scratchlm` the same as the command `scratchlm`."""

import os
import sys

from scratchlm import terminal

# The matrices here are small: a second BLAS thread gains nothing, and waits for a busy core a thousand times a second.
# NumPy reads this when it is first imported, which is below.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def main() -> int:
    """Run the command line; return its exit status."""
    terminal.on_request_to_end(terminal.end_at_once)  # also while NumPy is still being loaded
    terminal.occupy_closed_descriptors()
    from scratchlm import cli

    status = cli.main()
    terminal.ignore_requests()  # while Python ends: it would not be we who answer, and the status would be another
    return status


if __name__ == "__main__":
    sys.exit(main())
