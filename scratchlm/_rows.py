"""How a formula for rows is applied to an array of any shape, dtype, memory layout and size. No mathematics lives here.

A formula in `functional.py` sees a block: some rows (n, V) in float32 or float64, memory of the same shape to work in,
and an array of the same shape to write into. Everything a caller can do differently (another axis, several axes,
integers, float16, views, masked and infinite entries) is settled here, once; and so is speed:

- A block is small enough to stay near the processor, so only a formula's first step waits for memory. A large result is
  memory that is new to the process, and slow when first touched: there a formula works in old memory, and writes once.
- Blocks are shared out among threads: NumPy lets go of Python's lock while it computes. SCRATCHLM_THREADS says how many
  there are; without it, as many as this process may use cores.
- In short rows a step along the row costs more than it computes. Sums are taken by `einsum`, which has the shortest
  step; the largest entries are looked for with the rows side by side, class after class, in all rows at once.

In: the caller's array. Out: a new array of the same shape and dtype, which shares no memory with it. What a row gives
depends on that row alone, to the last bit: not on its neighbours, and not on the number of threads.
"""

import functools
import math
import os
import threading
from collections import deque
from collections.abc import Callable
from math import prod
from operator import index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.exceptions import AxisError
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, DTypeLike, NDArray

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

Axis = int | tuple[int, ...] | None
FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

REDUCTIONS = ("mean", "sum", "none")

BLOCK = 2**22  # bytes. Smaller ones would fit a second-level cache, but threads would wait for Python's lock
NEW = 2**25  # bytes: from here on malloc takes new memory from the system each time
SMALL = 2**18  # entries: below, waking up another thread takes longer than the work
SHORT, MANY = 64, 256  # classes, rows: if rows are at most so long, and so many, they are laid side by side for argmax
LONG = 512  # classes: from here on a sum of float32 may begin in float32
STEPS = 1024  # entries that NumPy may copy ahead where a column is combined with a block; by itself it copies too many


def map_rows(formula: Callable[..., None], axis: Axis, **arrays: ArrayLike) -> FloatArray:
    """Apply `formula`, which works in its last argument but one and writes into its last, along `axis`.

    The result has the last array's dtype.
    """
    named = as_floats(**arrays)
    axes = _class_axes(axis, named[-1].shape)
    moved, rows = _classes_last(named, axes)
    result = np.empty(moved[-1].shape, moved[-1].dtype)
    _in_blocks(formula, rows, result.reshape(rows[-1].shape))
    return result if moved is named else np.ascontiguousarray(np.moveaxis(result, _last(axes), axes))


def reduce_rows(formula: Callable[..., FloatArray], axis: Axis, keepdims: bool, **arrays: ArrayLike) -> Any:
    """Apply `formula`, which returns a number a row, along `axis`, which goes away or, with keepdims, becomes 1."""
    (array,) = named = as_floats(**arrays)
    axes = _class_axes(axis, array.shape)
    _, rows = _classes_last(named, axes)
    return _as_result(_in_blocks(formula, rows), reduced_shape(array.shape, axes, keepdims), array.dtype)


def loss_rows(
    formula: Callable[..., FloatArray], reduction: str, targets: ArrayLike, *, gradient: bool, **arrays: ArrayLike
) -> tuple[Any, FloatArray]:
    """Apply `formula` to the divisor of the mean, rows (n, V), targets (n,), memory (n, V), and the gradient or None.

    It returns losses (n,), which are reduced to their mean or sum, or kept ("none"). If a gradient is asked for, it is
    what the formula wrote into its last argument; else an empty array stands in its place.
    """
    (scores,) = as_floats(**arrays)
    _, rows = _classes_last([scores], _class_axes(-1, scores.shape))
    ids = checked_targets(targets, scores.shape)
    if not isinstance(reduction, str) or reduction not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {reduction!r}")
    if reduction == "mean" and ids.size == 0:
        raise ValueError('the mean over no rows is not defined; an empty batch needs reduction="sum" or "none"')
    divisor = ids.size if reduction == "mean" else 1
    grad = np.empty(scores.shape if gradient else 0, scores.dtype)
    for_block = functools.partial(formula, divisor)
    losses = _in_blocks(for_block, rows, grad.reshape(rows[0].shape) if gradient else None, ids.reshape(-1))
    if reduction == "none":
        return _as_result(losses, ids.shape, scores.dtype), grad
    with np.errstate(all="ignore"):
        mean = losses.sum() / divisor  # in float64, so that the mean of many float32 losses is as exact as one of them
        return scores.dtype.type(mean), grad


def losses_and_gradient(
    formula: Callable[..., FloatArray], divisor: int, logits: FloatArray, ids: IntArray, grad: FloatArray
) -> FloatArray:
    """Apply `formula`, as loss_rows does, to rows (n, V); it writes into `grad`, and the losses (n,) are returned."""
    return _in_blocks(functools.partial(formula, divisor), [logits], grad, ids)


# --- blocks and threads ----------------------------------------------------------------------------------------------


def _in_blocks(
    formula: Callable[..., Any], rows: list[FloatArray], result: FloatArray | None = None, ids: IntArray | None = None
) -> FloatArray:
    """Call the formula for block after block, and return the numbers (n,) that it gave, if it gave any.

    `rows` and `result` have the shape (n, V). The formula is given rows, their ids if there are any, memory (n, V) to
    work in, which may be the result itself, and the result, or None.
    """
    n, classes = rows[0].shape
    work = rows[-1].dtype if rows[-1].itemsize > 2 else np.dtype(np.float32)  # float16 has too few digits to work in
    numbers = np.empty(n, work if work.itemsize > 8 else np.float64)
    if n * classes <= SMALL:
        if n:
            with np.errstate(all="ignore"):
                _one_block(formula, rows, result, ids, numbers, work, new=False)
        return numbers
    threads = min(thread_count(), n)
    new = result is not None and result.nbytes > NEW
    size = max(1, min(BLOCK // (classes * work.itemsize), -(-n // threads)))
    starts = deque(range(0, n, size))

    def work_off() -> None:
        with np.errstate(all="ignore"):  # -inf, inf and nan are ordinary input; each formula says what they give
            np.setbufsize(STEPS)  # until the end of this `with`
            while starts:
                try:
                    part = slice(start := starts.popleft(), start + size)
                except IndexError:  # another thread was faster
                    return
                _one_block(
                    formula,
                    [array[part] for array in rows],
                    None if result is None else result[part],
                    None if ids is None else ids[part],
                    numbers[part],
                    work,
                    new=new,
                )

    _share(work_off, threads, starts)
    return numbers


def _one_block(
    formula: Callable[..., Any],
    rows: list[FloatArray],
    result: FloatArray | None,
    ids: IntArray | None,
    numbers: FloatArray,
    work: "np.dtype[Any]",
    *,
    new: bool,
) -> None:
    """Call the formula for one block; what it gives goes into numbers, what it writes into result."""
    blocks = [_block(array, place, work) for place, array in enumerate(rows, start=1)]
    direct = result is not None and result.dtype == work
    memory = result if direct and not new else _scratch(0, rows[0].shape, work)
    written = None if result is None else result if direct else memory
    found = formula(*blocks, memory, written) if ids is None else formula(*blocks, ids, memory, written)
    if found is not None:
        numbers[...] = found
    if result is not None and not direct:
        result[...] = memory


def _block(rows: FloatArray, place: int, dtype: "np.dtype[Any]") -> FloatArray:
    """Return the rows as a formula can read them fast: as they are, or copied to scratch memory."""
    if rows.dtype == dtype and rows.flags.c_contiguous and rows.flags.aligned:
        return rows
    copy = _scratch(place, rows.shape, dtype)
    copy[...] = rows
    return copy


_desk = threading.local()


def _scratch(place: int, shape: tuple[int, ...], dtype: "np.dtype[Any]") -> FloatArray:
    """Return memory of this thread, used again and again: memory that is new to a process is slow."""
    size = prod(shape) * dtype.itemsize
    memory: NDArray[np.uint8] | None = getattr(_desk, f"place{place}", None)
    if memory is None or memory.size < size:
        memory = np.empty(max(size, BLOCK), np.uint8)
        if size <= 4 * BLOCK:  # a giant's is not kept
            setattr(_desk, f"place{place}", memory)
    return memory[:size].view(dtype).reshape(shape)


def thread_count() -> int:
    """Return how many threads share the work: SCRATCHLM_THREADS, or as many as this process may use cores.

    Errors: ValueError if SCRATCHLM_THREADS is no whole number above 0.
    """
    told = os.environ.get("SCRATCHLM_THREADS", "")
    if not told:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if not told.isdecimal() or int(told) == 0:
        raise ValueError(f"SCRATCHLM_THREADS must be a whole number of at least 1, not {told!r}")
    return int(told)


@functools.cache
def _helpers(count: int) -> "ThreadPoolExecutor":
    from concurrent.futures import ThreadPoolExecutor  # not before it is needed: it takes as long as a third of NumPy

    return ThreadPoolExecutor(count, "scratchlm-rows")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.cache_clear)  # threads do not survive a fork


def _share(work_off: Callable[[], None], threads: int, starts: "deque[int]") -> None:
    """Let this thread and some helpers work off the blocks; when it returns, or raises, all have stopped."""
    futures = [_helpers(threads - 1).submit(work_off) for _ in range(threads - 1)] if threads > 1 else []
    try:
        work_off()
    finally:
        starts.clear()  # if this thread was interrupted
        for future in futures:
            if not future.cancel():
                future.result()


# --- arrays, axes and targets -----------------------------------------------------------------------------------------


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return the value as an array; a ValueError names one whose rows have different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be one array, but its rows have different lengths") from None


def as_floats(**arrays: ArrayLike) -> list[FloatArray]:
    """Return the named arrays in floating point; integers and bools become float64.

    Raises TypeError for anything that is not a real number, ValueError for a single number or for shapes that differ.
    """
    floats: list[FloatArray] = []
    for name, value in arrays.items():
        array = as_array(name, value)
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
    """Return the axes as a tuple of indices from the left; no axis, or one with nothing on it, is a ValueError."""
    if isinstance(axis, int) and axis == -1 and shape[-1]:
        return (len(shape) - 1,)
    try:
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (index(axis),)
        axes = normalize_axis_tuple(tuple(axes), len(shape))
    except TypeError:
        raise TypeError(f"axis must be an int, a tuple of ints or None, not {axis!r}") from None
    except (ValueError, OverflowError):
        axes = ()
    if not axes:
        raise AxisError(f"axis {axis!r} does not fit shape {shape}: it must name axes that are there, and none twice")
    if prod(shape[i] for i in axes) == 0:
        raise ValueError(f"there is no class to choose from: shape {shape} is empty along axis {axis}")
    return axes


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def _classes_last(arrays: list[FloatArray], axes: tuple[int, ...]) -> tuple[list[FloatArray], list[FloatArray]]:
    """Return the arrays with the class axes at the end, and these as rows (n, V): views, where memory allows."""
    shape = arrays[0].shape
    if axes != tuple(range(len(shape) - len(axes), len(shape))):
        arrays = [np.moveaxis(array, axes, _last(axes)) for array in arrays]
        shape = arrays[0].shape
    rows = prod(shape[: -len(axes)]), prod(shape[-len(axes) :])
    return arrays, [array if array.shape == rows else array.reshape(rows) for array in arrays]


def _as_result(numbers: FloatArray, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Copy numbers, rounded once, to an array that owns its memory; a single number becomes a NumPy scalar."""
    result = np.empty(shape, dtype)
    with np.errstate(all="ignore"):  # a number too small, or too large, for the dtype becomes 0, or inf
        result[...] = numbers.reshape(shape)
    return result if shape else result[()]


def checked_targets(targets: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the class ids; a TypeError or ValueError names the first bad one and where it stands."""
    ids = as_array("targets", targets)
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


# --- settings --------------------------------------------------------------------------------------------------------


def real(name: str, value: float) -> float:
    """Return a setting as a float; a TypeError names one that is no number."""
    try:
        return math.ldexp(value, 0)  # float(value), but not of a string
    except OverflowError:  # an integer too large for a float
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, not {value!r}") from None


def whole(name: str, value: int, least: int, below: int = 2**63) -> int:
    """Return a setting as an int; a TypeError names one that is no whole number, a ValueError one out of range."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if not least <= number < below:
        limit = f"at least {least}" if number < least else f"below {below}"
        raise ValueError(f"{name} must be {limit}, not {value}")
    return number


def seeded(seed: int) -> np.random.Generator:
    """Return a generator with this seed; a TypeError or ValueError names what is no seed."""
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise type(error)(f"seed must be a whole number of at least 0, not {seed!r}") from None


# --- the largest entry, and sums -------------------------------------------------------------------------------------


def top_classes(block: FloatArray) -> NDArray[np.intp]:
    """Return the class of the largest entry of each row, (n, V) -> (n,), as argmax does; any class for a row with nan.

    Along short rows argmax is slow. So many of them are laid side by side, and each entry that is as large as the
    largest of its row bids its distance from the end: the highest bid is that of the first.
    """
    classes = block.shape[1]
    if classes > SHORT or len(block) < MANY:
        first: NDArray[np.intp] = block.argmax(axis=-1)
        return first
    columns = np.ascontiguousarray(block.T)
    bids = (columns == columns.max(axis=0)).view(np.uint8)
    bids *= np.arange(classes, 0, -1, dtype=np.uint8)[:, None]
    first = classes - np.maximum(bids.max(axis=0), 1).astype(np.intp)
    return first  # noqa: RET504 (a name for the type checker)


def places(block: FloatArray, ids: IntArray) -> NDArray[np.intp]:
    """Return where in block.reshape(-1) the entries [i, ids[i]] are: there NumPy finds them several times as fast."""
    return np.arange(0, block.size, block.shape[1]) + ids


def in_double(numbers: FloatArray) -> FloatArray:
    """Return numbers in float64 or better. A row's own numbers are few, and kept wide they add no rounding."""
    return numbers if numbers.itemsize >= 8 else numbers.astype(np.float64)


def row_sums(block: FloatArray) -> FloatArray:
    """Return the sum of each row of a block, (n, V) -> (n,), in float64.

    Numbers of float32 have room enough in float64, and may be added in any order. Those of float64 must pass through
    few additions, or a thousand equal ones would all be rounded the same way, one after the other.
    """
    return np.einsum("nk->n", block, dtype=np.float64) if block.dtype == np.float32 else _by_groups(block)


def exp_sums(block: FloatArray) -> FloatArray:
    """Return row_sums of numbers that are not negative; of long rows in float32, the first 32 meet in float32.

    Where nothing cancels, five roundings on the way cost 2.5 ulps at worst, and save half of the time of a sum.
    """
    return _by_groups(in_double(_sums_of_groups(block))) if block.shape[1] > LONG else row_sums(block)


def sums_apart(e: FloatArray, apart: IntArray | None) -> tuple[FloatArray, FloatArray]:
    """Return exp_sums of rows e without and with class apart[i], which becomes 0; without `apart`, the two are one."""
    if apart is None:
        total = exp_sums(e)
        return total, total
    at = places(e, apart)
    own = e.take(at)
    e.reshape(-1)[at] = 0
    others = exp_sums(e)
    return others, others + own


def _by_groups(block: FloatArray) -> FloatArray:
    """Add groups of 32 classes, then groups of those sums, and so on."""
    while block.shape[1] > 1:
        block = _sums_of_groups(block)
    return block[:, 0]


def _sums_of_groups(block: FloatArray) -> FloatArray:
    """Return the sums of 32 neighbours each, (n, V) -> (n, V / 32, rounded up)."""
    n, classes = block.shape
    groups, left_over = divmod(classes, 32)
    sums = np.empty((n, groups + (left_over > 0)), block.dtype)
    if groups:
        np.einsum("ngk->ng", block[:, : classes - left_over].reshape(n, groups, 32), out=sums[:, :groups])
    if left_over:
        np.einsum("nk->n", block[:, classes - left_over :], out=sums[:, groups])
    return sums
