"""How a formula for one row is applied to an array of any shape, dtype and memory layout. No mathematics lives here.

A formula in `functional.py` sees a block: a 2-D array of shape (rows, classes), float32 or float64, C-ordered, and its
own private copy, so it may work in place. Everything a caller can do differently (another axis, several axes, integers,
float16, views, read-only or broadcast memory, masked and infinite entries) is settled here, once.

In: the caller's array. Out: a new array of the same shape and dtype, which shares no memory with it.
"""

from collections.abc import Callable
from math import prod
from operator import index
from typing import Any

import numpy as np
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, DTypeLike, NDArray

Axis = int | tuple[int, ...] | None
FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

REDUCTIONS = ("mean", "sum", "none")


def map_rows(formula: Callable[..., FloatArray], axis: Axis, **arrays: ArrayLike) -> FloatArray:
    """Apply `formula`, rows (n, V) -> rows (n, V), along `axis`; the result has the dtype of the last array."""
    named = as_floats(**arrays)
    shape, dtype = named[-1].shape, named[-1].dtype
    axes = _class_axes(axis, shape)
    blocks = [_as_block(array, axes, dtype) for array in named]
    result = np.empty(shape, dtype)
    rows_of_result = np.moveaxis(result, axes, _last(axes))
    with np.errstate(all="ignore"):  # -inf, inf and nan are ordinary input here; each formula says what they give
        rows_of_result[...] = formula(*blocks).reshape(rows_of_result.shape)
    return result


def reduce_rows(formula: Callable[..., FloatArray], axis: Axis, keepdims: bool, **arrays: ArrayLike) -> Any:
    """Apply `formula`, rows (n, V) -> numbers (n,), along `axis`, which goes away or, with keepdims, becomes 1."""
    (array,) = as_floats(**arrays)
    axes = _class_axes(axis, array.shape)
    shape = reduced_shape(array.shape, axes, keepdims)
    with np.errstate(all="ignore"):
        numbers = formula(_as_block(array, axes, array.dtype))
        return _as_result(numbers, shape, array.dtype)


def loss_rows(
    formula: Callable[..., tuple[FloatArray, ...]], reduction: str, targets: ArrayLike, **arrays: ArrayLike
) -> tuple[Any, ...]:
    """Apply `formula`, rows (n, V) and targets (n,) and the divisor of the mean -> a tuple of losses and gradients.

    Each item of shape (n,) holds losses: it is reduced to their mean or sum, or kept ("none"). Each item of shape
    (n, V) is a gradient: it goes back in the shape of the scores.
    """
    (scores,) = as_floats(**arrays)
    axes = _class_axes(-1, scores.shape)
    ids = _checked_targets(targets, scores.shape)
    if reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {reduction!r}")
    if reduction == "mean" and ids.size == 0:
        raise ValueError('the mean over no rows is not defined; an empty batch needs reduction="sum" or "none"')
    divisor = ids.size if reduction == "mean" else 1
    with np.errstate(all="ignore"):
        items = formula(_as_block(scores, axes, scores.dtype), ids.reshape(-1), divisor)
        return tuple(
            _as_result(item, scores.shape, scores.dtype)
            if item.ndim == 2
            else _as_result(_reduced(item, reduction), ids.shape if reduction == "none" else (), scores.dtype)
            for item in items
        )


def as_floats(**arrays: ArrayLike) -> list[FloatArray]:
    """Return the named arrays in floating point; integers and bools become float64.

    Raises TypeError for anything that is not a real number, ValueError for a single number or for shapes that differ.
    """
    floats: list[FloatArray] = []
    for name, value in arrays.items():
        array = np.asarray(value)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"{name} must hold real numbers, not {array.dtype}")
        if array.ndim == 0:
            raise ValueError(f"{name} must have at least one axis, not be the single number {array[()]!r}")
        native = array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.float64
        floats.append(array.astype(native, copy=False))
        if array.shape != floats[0].shape:
            first = next(iter(arrays))
            raise ValueError(f"{name} has shape {array.shape}, but {first} has shape {floats[0].shape}")
    return floats


def reduced_shape(shape: tuple[int, ...], axis: Axis, keepdims: bool) -> tuple[int, ...]:
    """Return the shape that is left when the class axes go away, or become 1."""
    axes = _class_axes(axis, shape)
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _class_axes(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes as a tuple of indices from the left; a class axis with nothing on it is a ValueError."""
    try:
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (index(axis),)
        axes = normalize_axis_tuple(tuple(axes), len(shape))
    except TypeError:
        raise TypeError(f"axis must be an int, a tuple of ints or None, not {axis!r}") from None
    if prod(shape[i] for i in axes) == 0:
        raise ValueError(f"there is no class to choose from: shape {shape} is empty along axis {axis}")
    return axes


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def _as_block(array: FloatArray, axes: tuple[int, ...], dtype: DTypeLike) -> FloatArray:
    """Copy the array to a block (rows, classes) in which a formula may work: float16 is computed in float32."""
    work = np.float32 if dtype == np.float16 else dtype
    classes = prod(array.shape[i] for i in axes)
    rows: FloatArray = np.array(np.moveaxis(array, axes, _last(axes)), dtype=work, order="C")
    return rows.reshape(array.size // classes, classes)


def _as_result(numbers: FloatArray, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Copy numbers, rounded once, to an array that owns its memory; a single number becomes a NumPy scalar."""
    result = np.empty(shape, dtype)
    result[...] = numbers.reshape(shape)
    return result if shape else result[()]


def _reduced(losses: FloatArray, reduction: str) -> FloatArray:
    """Sum in float64 or better, so that the mean of many float32 losses is as exact as one of them."""
    if reduction == "none":
        return losses
    total: FloatArray = in_double(losses).sum(keepdims=True)
    return total / losses.size if reduction == "mean" else total


def _checked_targets(targets: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the class ids; a TypeError or ValueError names the first bad one and where it stands."""
    ids = np.asarray(targets)
    if isinstance(targets, list) and not targets:
        ids = ids.astype(np.intp)  # NumPy takes [] for floats
    if ids.dtype.kind not in "iu":
        raise TypeError(f"targets must be integer class ids, not {ids.dtype}")
    if ids.shape != shape[:-1]:
        raise ValueError(f"targets must have shape {shape[:-1]}, one class id a row, not {ids.shape}")
    bad = (ids < 0) | (ids >= shape[-1])
    if bad.any():
        where = tuple(int(i) for i in np.argwhere(bad)[0])
        place = f"targets[{', '.join(map(str, where))}]" if where else "targets"
        raise ValueError(f"{place} is {ids[where]}, but there are classes 0 to {shape[-1] - 1} only")
    return ids.astype(np.intp)


_GROUP = 32


def in_double(numbers: FloatArray) -> FloatArray:
    """Return numbers in float64 or better. A row's own numbers are few, and kept wide they add no rounding."""
    return numbers.astype(np.result_type(numbers.dtype, np.float64), copy=False)


def row_sums(block: FloatArray) -> FloatArray:
    """Return the sum of each row of a block, (n, V) -> (n,): of float32 in float64, of float64 in groups of 32.

    Adding groups of 32, then groups of those sums, and so on, lets a number pass through few additions: a thousand
    equal entries cannot all be rounded the same way, one after the other. Each row's sum depends on that row only, and
    on short rows this is faster than `block.sum(axis=-1)`.
    """
    if block.dtype == np.float32:
        wide: FloatArray = np.einsum("nk->n", block, dtype=np.float64)
        return wide
    while block.shape[1] > _GROUP:
        n, classes = block.shape
        groups, left_over = divmod(classes, _GROUP)
        sums = np.empty((n, groups + (left_over > 0)), block.dtype)
        np.einsum("ngk->ng", block[:, : classes - left_over].reshape(n, groups, _GROUP), out=sums[:, :groups])
        if left_over:
            np.einsum("nk->n", block[:, classes - left_over :], out=sums[:, groups])
        block = sums
    total: FloatArray = np.einsum("nk->n", block)
    return total
