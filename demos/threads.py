"""As many threads for us as for the others, told to all of them before NumPy is imported: the benchmark's first import.

--threads=N says how many; without it there are as many as this process may use cores.
"""

import os
import sys

_told = [word.partition("=")[2] for word in sys.argv if word.startswith("--threads=")]
_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
if _told and not (_told[-1].isdecimal() and int(_told[-1])):
    sys.exit(f"benchmark: --threads must be a whole number of at least 1, not {_told[-1]!r}")
THREADS = int(_told[-1]) if _told else _cores
for _name in ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "SCRATCHLM_THREADS"):
    os.environ[_name] = str(THREADS)
