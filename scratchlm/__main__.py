"""Make `python -m scratchlm` the same as the command `scratchlm`."""

import os
import sys

if __name__ == "__main__" and not sys.flags.safe_path:
    # Python looks in the current folder first: who keeps a random.py or a numpy.py there does not mean us to import it.
    sys.path.append(sys.path.pop(0))

from scratchlm import terminal

# The matrices here are small: a second BLAS thread gains nothing, and waits for a busy core a thousand times a second.
# And it adds in another order, so that the last bits of the weights would depend on how many there are: always one.
# NumPy reads this when it is first imported, which is below.
for _name in ("OPENBLAS_NUM", "MKL_NUM", "OMP_NUM", "BLIS_NUM", "VECLIB_MAXIMUM"):
    os.environ[f"{_name}_THREADS"] = "1"


def main() -> int:
    """Run the command line; return its exit status."""
    terminal.on_request_to_end(lambda *_: terminal.end_with("interrupted before it began; nothing was touched"))
    terminal.occupy_closed_descriptors()
    try:
        from scratchlm import cli  # with NumPy, which takes most of the time until it begins
    except Exception as error:  # a library that is broken, or no memory for it
        terminal.end_with(f"cannot begin: {terminal.described(error.__cause__ or error)}")
    terminal.on_request_to_end(terminal.end_at_once)
    status = cli.main()
    terminal.ignore_requests()  # while Python ends: it would not be we who answer, and the status would be another
    return status


if __name__ == "__main__":
    sys.exit(main())
