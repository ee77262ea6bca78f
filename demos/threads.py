"""The same number of threads for every contestant, set before NumPy is imported: the benchmark's first import.

--threads N sets the number; the default is the number of cores that this process may use.
"""

from scratchlm.pages.console import Parser

import argparse
import os

cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count(text: str) -> int:
    """Read a number of threads."""
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1 to 1,000, not {text!r}")
    return int(text)


parser = Parser(add_help=False, allow_abbrev=False)
parser.add_argument(
    "--threads", type=count, default=cores, metavar="N", help="threads for each side (default: the number of cores)"
)
THREADS: int = parser.parse_known_args()[0].threads
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "SCRATCHLM_THREADS"):
    os.environ[_name] = str(THREADS)
