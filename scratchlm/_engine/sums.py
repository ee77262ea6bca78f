"""The words that the formulas are written in: sums that lose nothing, the favourite, and one class of each row.

In: a block of rows (n, V) in float32 or float64, and a class id for each row, (n,). Out: a column (n, 1), so that
NumPy sets it against the rows by itself. What a row gives depends on that row alone, to the last bit.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchlm._engine.checks import FloatArray, IntArray

SHORT, MANY = 64, 256  # classes, rows: so many rows, if so short, are laid side by side to look for their favourites
GROUP = 32  # entries of float64 that are added to each other before their sums are


def pick(block: FloatArray, k: IntArray) -> FloatArray:
    """Return the column block[i, k[i]].

    >>> pick(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])).tolist()
    [[1.0], [4.0]]
    """
    return block.take(_places(block, k))[:, None]


def put(block: FloatArray, k: IntArray, value: FloatArray | float) -> FloatArray:
    """Write a column, or one number, to block[i, k[i]], and return the block: the same one, so let it be your own.

    >>> put(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1]), 0).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    block.put(_places(block, k), value)
    return block


def _places(block: FloatArray, k: IntArray) -> NDArray[np.intp]:
    """Return where block[i, k[i]] lies when all rows stand in a line: NumPy finds it there several times as fast."""
    starts: NDArray[np.intp] = _starts(*block.shape) + k
    return starts


@functools.lru_cache(maxsize=4)  # a formula asks several times for the same places
def _starts(n: int, classes: int) -> NDArray[np.intp]:
    return np.arange(0, n * classes, classes)


def favourite(block: FloatArray) -> NDArray[np.intp]:
    """Return the id of each row's largest entry, (n,), the first among equals; any id for a row with nan.

    Along short rows argmax is slow. So many of them are laid side by side, and each entry that is as large as the
    largest of its row bids its distance from the end: the highest bid is that of the first.
    """
    classes = block.shape[1]
    if classes > SHORT or len(block) < MANY:
        return np.asarray(block.argmax(axis=-1))
    columns = np.ascontiguousarray(block.T)
    bids = (columns == columns.max(axis=0)).view(np.uint8)
    bids *= np.arange(classes, 0, -1, dtype=np.uint8)[:, None]
    first: NDArray[np.intp] = classes - np.maximum(bids.max(axis=0), 1).astype(np.intp)
    return first


def extent(block: FloatArray) -> tuple[float, float]:
    """Return the lowest and the highest entry of all rows; nan if there is one."""
    return np.minimum.reduce(block, axis=None), np.maximum.reduce(block, axis=None)


def row_sum(block: FloatArray) -> FloatArray:
    """Return the sum of each row as a column, in the dtype of the block.

    float32 is summed in float64 and rounded once. float64 has nothing wider, so it is summed in groups of 32, then
    groups of those sums, and so on: a thousand equal numbers added one after the other would all be rounded the same
    way. (`einsum` takes the shortest steps along a row of all that NumPy has.)

    >>> row_sum(np.full((1, 3), 0.1, np.float32))
    array([[0.3]], dtype=float32)
    """
    if block.itemsize == 4:
        return np.asarray(np.einsum("nk->n", block, dtype=np.float64)[:, None], np.float32)
    sums = _sums_of_groups(block)
    while sums.shape[1] > 1:
        sums = _sums_of_groups(sums)
    return sums


def _sums_of_groups(block: FloatArray) -> FloatArray:
    """Return the sums of 32 neighbours each, (n, V) -> (n, V / 32, rounded up)."""
    n, classes = block.shape
    groups, left_over = divmod(classes, GROUP)
    sums = np.empty((n, groups + (left_over > 0)), block.dtype)
    if groups:
        np.einsum("ngk->ng", block[:, : classes - left_over].reshape(n, groups, GROUP), out=sums[:, :groups])
    if left_over:
        np.einsum("nk->n", block[:, classes - left_over :], out=sums[:, groups])
    return sums


def double(numbers: FloatArray) -> Any:
    """Return numbers in float64. A row's own numbers are few, and kept wide they add no rounding."""
    return np.asarray(numbers, np.float64)
