"""The vocabulary of the formulas: sums that lose nothing, the favourite, and one class of each row.

In: a block of rows (n, V) in float32 or float64, and a class id for each row, (n,). Out: a column (n, 1), which
NumPy broadcasts against the rows. The result for a row depends on that row alone, to the last bit.
"""

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchlm._engine.checks import FloatArray, IntArray

SHORT, MANY = 64, 256  # classes, rows: MANY rows, if SHORT, are laid side by side to find their favourites
GROUP = 32  # float64 entries that are added up before the sums of groups are


def pick(block: FloatArray, k: IntArray) -> FloatArray:
    """Return the column block[i, k[i]].

    >>> pick(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1])).tolist()
    [[1.0], [4.0]]
    """
    return block.take(_places(block, k))[:, None]


def put(block: FloatArray, k: IntArray, value: FloatArray | float) -> FloatArray:
    """Write a column, or one number, to block[i, k[i]], in place, and return the block: it must be your own.

    >>> put(np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([0, 1]), 0).tolist()
    [[0.0, 2.0], [3.0, 0.0]]
    """
    block.put(_places(block, k), value)
    return block


def _places(block: FloatArray, k: IntArray) -> NDArray[np.intp]:
    """Return the flat indices of block[i, k[i]], which NumPy looks up several times as fast."""
    starts: NDArray[np.intp] = _starts(*block.shape) + k
    return starts


@functools.lru_cache(maxsize=4)  # a formula needs the same places several times
def _starts(n: int, classes: int) -> NDArray[np.intp]:
    return np.arange(0, n * classes, classes)


def favourite(block: FloatArray) -> NDArray[np.intp]:
    """Return the id of each row's largest entry, (n,), the first among equals; any id for a row with a nan.

    argmax is slow along short rows. So many short rows are laid side by side, and each entry that equals the maximum of
    its row bids its distance from the end: the first makes the highest bid.
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
    """Return the lowest and the highest entry of all rows, both nan if any entry is."""
    return np.minimum.reduce(block, axis=None), np.maximum.reduce(block, axis=None)


def row_sum(block: FloatArray) -> FloatArray:
    """Return the sum of each row as a column, in the dtype of the block.

    float32 is summed in float64 and rounded once. Nothing is wider than float64, so it is summed in groups of 32,
    then groups of those sums, and so on: a thousand equal numbers added one after another would all be rounded the same
    way. (Of all sums in NumPy, `einsum` takes the shortest steps along a row.)

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
    """Return the sum of every 32 neighbours, (n, V) -> (n, V / 32, rounded up)."""
    n, classes = block.shape
    groups, left_over = divmod(classes, GROUP)
    sums = np.empty((n, groups + (left_over > 0)), block.dtype)
    if groups:
        np.einsum("ngk->ng", block[:, : classes - left_over].reshape(n, groups, GROUP), out=sums[:, :groups])
    if left_over:
        np.einsum("nk->n", block[:, classes - left_over :], out=sums[:, groups])
    return sums


def double(numbers: FloatArray) -> Any:
    """Return numbers in float64. A row has few numbers of its own, and kept wide they add no rounding error."""
    return np.asarray(numbers, np.float64)
