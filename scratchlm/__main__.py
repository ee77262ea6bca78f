"""Make `python -m scratchlm` the same as the command `scratchlm`."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python looks in the current folder first, but a random.py or numpy.py there is not meant for us.
    sys.path.append(sys.path.pop(0))

from scratchlm import terminal

# The matrices here are small: a second BLAS thread gains nothing, and waits for a busy core a thousand times a second.
# It also adds in another order, so the last bits of the weights would depend on the number of threads: always use one.
# NumPy reads this when it is first imported, below.
for _name in ("OPENBLAS_NUM", "MKL_NUM", "OMP_NUM", "BLIS_NUM", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_THREADS"] = "1"


def main() -> int:
    """Run the command line; return its exit status."""
    terminal.on_request_to_end(lambda *_: terminal.end_with("interrupted before it started; nothing was changed"))
    terminal.occupy_closed_descriptors()
    try:
        from scratchlm import cli  # loads NumPy, which takes most of the starting time
    except Exception as error:  # a broken library, or not enough memory for it
        terminal.end_with(f"cannot start: {terminal.described(error.__cause__ or error)}")
    terminal.on_request_to_end(terminal.end_at_once)
    status = cli.main()
    terminal.ignore_requests()  # while Python exits: a signal now would change the exit status
    return status


if __name__ == "__main__":
    sys.exit(main())
