"""A formula applied to one block of rows after another, in threads: faster, and the same to the last bit.

In: a formula, and rows (n, V). Out: the formula's results for all rows.

- A block is small enough to stay in the processor's cache, so only a formula's first step waits for memory.
- Threads share the blocks, since NumPy releases Python's lock while it computes. SCRATCHLM_THREADS sets the number of
  threads; the default is the number of cores that this process may use.
- A formula computes in float32 or float64. float16 has too few digits: it is computed in float32 and rounded once.
"""

import functools
import os
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from scratchlm._engine.checks import FloatArray, IntArray

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

Formula = Callable[..., Any]  # takes blocks of rows (n, V), and the ids of those rows, if there are any
COLUMN, ROWS = "a number a row", "rows"  # what a formula returns: (n, 1) in float64, or (n, V) in the rows' dtype

# The allocator of Linux (glibc) returns freed memory to the system and requests it again at the next call, until it has
# seen nearly 32 MB freed at once. From then on it keeps memory for reuse. So we free that much here. It is never
# touched and costs nothing; without it, a training step of 1,024 contexts takes 1.5 times as long.
np.empty(2**25 - 2**16, np.uint8)

BLOCK = 2**18  # entries: larger blocks do not fit into the cache; with smaller ones threads wait for Python's lock


def in_blocks(
    formula: Formula, kinds: tuple[str, ...], rows: list[FloatArray], ids: IntArray | None = None, divisor: int = 1
) -> list[FloatArray]:
    """Return the formula's results for all rows: one array for each of its `kinds`, ROWS or COLUMN.

    All arrays of rows have the same shape (n, V). The formula is called with blocks of them, and with the ids of those
    rows, if there are any. The ROWS it returns are divided by the divisor, the N of a mean.
    """
    (n, classes), dtype = rows[-1].shape, rows[-1].dtype
    if 0 < n * classes <= BLOCK:
        found = _called(formula, rows, ids)
        return [
            _finished(array, dtype, divisor) if kind == ROWS else array
            for array, kind in zip(found, kinds, strict=True)
        ]

    results = [np.empty((n, classes), dtype) if kind == ROWS else np.empty((n, 1)) for kind in kinds]
    threads = max(1, min(thread_count(), n))
    size = max(1, min(BLOCK // classes, -(-n // threads)))
    starts = deque(range(0, n, size))

    def work_off() -> None:
        with np.errstate(all="ignore"):  # each thread has its own error settings
            while starts:
                try:
                    part = slice(start := starts.popleft(), start + size)
                except IndexError:  # another thread was faster
                    return
                found = _called(formula, [array[part] for array in rows], None if ids is None else ids[part])
                for result, array, kind in zip(results, found, kinds, strict=True):
                    if kind == ROWS and divisor > 1:
                        np.divide(array, divisor, out=result[part])
                    else:
                        result[part] = array

    _share(work_off, threads, starts)
    return results


def _called(formula: Formula, rows: list[FloatArray], ids: IntArray | None) -> tuple[FloatArray, ...]:
    """Call the formula on a contiguous copy or view of the block, and return its results as a tuple."""
    work = np.float64 if rows[-1].itemsize == 8 else np.float32
    block = [np.ascontiguousarray(array, work).view() for array in rows]
    found = formula(*block) if ids is None else formula(*block, ids)
    return found if isinstance(found, tuple) else (found,)


def _finished(found: FloatArray, dtype: "np.dtype[Any]", divisor: int) -> FloatArray:
    """Return rows in this dtype and in memory of their own, divided by the divisor."""
    if not found.flags.owndata:  # a formula may return its argument
        found = found.copy()
    if divisor > 1:
        found /= divisor
    return found if found.dtype == dtype else found.astype(dtype)


def thread_count() -> int:
    """Return how many threads share the work: SCRATCHLM_THREADS, or the number of cores this process may use.

    Errors: ValueError if SCRATCHLM_THREADS is not a whole number above 0.
    """
    told = os.environ.get("SCRATCHLM_THREADS", "")
    if not told:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not told.isdecimal() or int(told) == 0:
        raise ValueError(f"SCRATCHLM_THREADS must be a whole number of at least 1, not {told!r}")
    return int(told)


@functools.cache
def _helpers(count: int) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # only when needed: it takes a third as long as NumPy

    return ThreadPoolExecutor(count, "scratchlm-rows")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not survive a fork


def _share(work_off: Callable[[], None], threads: int, starts: "deque[int]") -> None:
    """Work through the blocks in this thread and some helpers; when this returns or raises, all have stopped."""
    futures = _asked(work_off, threads - 1)
    try:
        work_off()
    finally:
        starts.clear()  # in case this thread was interrupted
        for future in futures:
            if not future.cancel():
                future.result()


def _asked(work_off: Callable[[], None], helpers: int) -> "list[Future[None]]":
    """Start the helpers; if the system starts no more threads, there are fewer of them, or none."""
    futures: list[Future[None]] = []
    try:
        for _ in range(helpers):
            futures.append(_helpers(helpers).submit(work_off))
    except RuntimeError:
        _helpers.cache_clear()  # it would keep the submitted work and never do it
    return futures
