"""Any array into rows and back: the decorators above the formulas of `functional.py`.

In: a formula, which takes rows (n, V) and returns rows, a column (n, 1), or both. Out: the function that callers see.
It takes scores of any shape, dtype and memory layout, with the classes along any axis, and returns an array that owns
its memory and keeps the dtype. It has the formula's name and docstring, and its `.formula` is the formula itself.
"""

import functools
import inspect
from collections.abc import Callable
from math import prod
from operator import index
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.exceptions import AxisError
from numpy.lib.array_utils import normalize_axis_tuple
from numpy.typing import ArrayLike, DTypeLike

from scratchlm._engine.blocks import COLUMN, ROWS, Formula, in_blocks
from scratchlm._engine.checks import FloatArray, as_array, as_floats, class_ids, reduction_of

Axis = int | tuple[int, ...] | None

# --- what the decorators make ----------------------------------------------------------------------------------------

Result = TypeVar("Result", covariant=True)


class OfRows(Protocol):
    """A function of logits that returns an array of their shape."""

    formula: Formula

    def __call__(self, logits: ArrayLike, axis: Axis = -1) -> FloatArray: ...


class OneNumberARow(Protocol):
    """A function of logits that returns a number for each row."""

    def __call__(self, logits: ArrayLike, axis: Axis = -1, keepdims: bool = False) -> Any: ...


class Backward(Protocol):
    """A derivative: takes the gradient above it, and the logits or their output; returns the gradient."""

    def __call__(self, grad_output: ArrayLike, output: ArrayLike, /, axis: Axis = -1) -> FloatArray: ...


class OfTargets(Protocol[Result]):
    """A loss, its gradient, or both: takes scores, targets, and the reduction of the rows' losses."""

    def __call__(self, scores: ArrayLike, targets: ArrayLike, /, reduction: str = "mean") -> Result: ...


# --- the decorators --------------------------------------------------------------------------------------------------


def of_rows(formula: Formula) -> OfRows:
    """Let a formula from rows to rows take `logits` of any shape, and `axis`."""

    def function(logits: ArrayLike, axis: Axis) -> FloatArray:
        z = as_floats("logits", logits)
        axes = _class_axes(axis, z.shape)
        (rows,) = in_blocks(formula, (ROWS,), [_rows_of(z, axes)])
        return _array_of(rows, z.shape, axes)

    public: OfRows = _public(formula, function, axis=-1)
    return public


def backward(formula: Formula) -> Backward:
    """Let a formula of two blocks of rows take arrays of any shape, and `axis`. The second sets the dtype."""
    above, output = inspect.signature(formula).parameters

    def function(grad_output: ArrayLike, made: ArrayLike, axis: Axis) -> FloatArray:
        g, x = as_floats(above, grad_output), as_floats(output, made)
        if g.shape != x.shape:
            raise ValueError(f"{output} has shape {x.shape}, but {above} has shape {g.shape}")
        axes = _class_axes(axis, x.shape)
        (rows,) = in_blocks(formula, (ROWS,), [_rows_of(g, axes), _rows_of(x, axes)])
        return _array_of(rows, x.shape, axes)

    public: Backward = _public(formula, function, axis=-1)
    return public


def backward_of_one_number(formula: Formula) -> Backward:
    """Like `backward`, but the gradient above has one number per row, in the shape of the forward result."""
    of_two_arrays = backward(formula)

    def function(grad_output: ArrayLike, logits: ArrayLike, axis: Axis) -> FloatArray:
        z, grad = as_floats("logits", logits), as_array("grad_output", grad_output)
        kept, gone = (reduced_shape(z.shape, axis, keepdims) for keepdims in (True, False))
        if grad.shape not in (kept, gone):
            shapes = f"{kept} or {gone}"
            raise ValueError(f"grad_output has shape {grad.shape}; for logits of shape {z.shape} it must be {shapes}")
        return of_two_arrays(np.broadcast_to(grad.reshape(kept), z.shape), z, axis)

    public: Backward = _public(formula, function, axis=-1)
    return public


def one_number_a_row(formula: Formula) -> OneNumberARow:
    """Let a formula from rows to a column take `logits` of any shape, `axis`, and `keepdims`."""

    def function(logits: ArrayLike, axis: Axis, keepdims: bool) -> Any:
        z = as_floats("logits", logits)
        axes = _class_axes(axis, z.shape)
        (column,) = in_blocks(formula, (COLUMN,), [_rows_of(z, axes)])
        return _as_result(column, reduced_shape(z.shape, axes, keepdims), z.dtype)

    public: OneNumberARow = _public(formula, function, axis=-1, keepdims=False)
    return public


def loss(formula: Formula) -> OfTargets[Any]:
    """Let a formula from rows and targets to a column take scores of any shape, targets, and `reduction`."""
    public: OfTargets[Any] = _public(formula, _of_targets(formula, COLUMN), reduction="mean")
    return public


def loss_gradient(formula: Formula) -> OfTargets[FloatArray]:
    """Let a formula from rows and targets to rows take scores of any shape, targets, and `reduction`."""
    public: OfTargets[FloatArray] = _public(formula, _of_targets(formula, ROWS), reduction="mean")
    return public


def loss_and_gradient(formula: Formula) -> OfTargets[tuple[Any, FloatArray]]:
    """Let a formula from rows and targets to a column and rows take scores of any shape, targets, and `reduction`."""
    public: OfTargets[tuple[Any, FloatArray]] = _public(formula, _of_targets(formula, COLUMN, ROWS), reduction="mean")
    return public


def _public(formula: Formula, function: Callable[..., Any], **options: Any) -> Any:
    """Return the function with the formula's name and arguments, plus options with these defaults."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    names = list(inspect.signature(formula).parameters)
    parameters = [inspect.Parameter(name, kind) for name in names]
    parameters += [inspect.Parameter(name, kind, default=default) for name, default in options.items()]
    signature, defaults = inspect.Signature(parameters), tuple(options.values())

    @functools.wraps(formula)
    def public(*arguments: Any, **named: Any) -> Any:
        if named or len(arguments) != len(names):
            bound = signature.bind(*arguments, **named)
            bound.apply_defaults()
            arguments = bound.args
        else:
            arguments += defaults
        with np.errstate(all="ignore"):  # -inf, inf and nan are ordinary input, with documented results
            return function(*arguments)

    public.__signature__ = signature  # type: ignore[attr-defined]
    public.formula = formula  # type: ignore[attr-defined]
    return public


def _of_targets(formula: Formula, *kinds: str) -> Callable[..., Any]:
    """Return a function of scores, targets and reduction that applies the formula to the rows of scores.

    The losses, a COLUMN, are reduced; the gradients, ROWS, are divided by the N of a mean.
    """
    name = next(iter(inspect.signature(formula).parameters))

    def function(scores: ArrayLike, targets: ArrayLike, reduction: str) -> Any:
        z = as_floats(name, scores)
        axes = _class_axes(-1, z.shape)
        ids = class_ids(targets, z.shape)
        n = _divisor(reduction, ids.size)
        results: list[Any] = in_blocks(formula, kinds, [_rows_of(z, axes)], ids.reshape(-1), n)
        for i, kind in enumerate(kinds):
            if kind == ROWS:
                results[i] = _shaped(results[i], z.shape)
            elif reduction == "none":
                results[i] = _as_result(results[i], ids.shape, z.dtype)
            else:  # summed in float64, so that the mean of many float32 losses is as exact as one of them
                results[i] = z.dtype.type(results[i].sum(dtype=np.float64) / n)
        return tuple(results) if len(kinds) > 1 else results[0]

    return function


def _divisor(reduction: str, rows: int) -> int:
    """Return N for a mean over N rows, and 1 for a sum or no reduction."""
    if reduction_of(reduction) != "mean":
        return 1
    if rows == 0:
        raise ValueError('the mean over no rows is not defined; an empty batch needs reduction="sum" or "none"')
    return rows


# --- axes and rows ---------------------------------------------------------------------------------------------------


def reduced_shape(shape: tuple[int, ...], axis: Axis, keepdims: bool) -> tuple[int, ...]:
    """Return the shape after the class axes have been removed, or have become 1."""
    axes = _class_axes(axis, shape)
    if keepdims:
        return tuple(1 if i in axes else n for i, n in enumerate(shape))
    return tuple(n for i, n in enumerate(shape) if i not in axes)


def _class_axes(axis: Axis, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the axes as a tuple of indices from the left; raise ValueError if there are none, or one is empty."""
    if isinstance(axis, int) and axis == -1 and shape[-1]:  # nearly always
        return (len(shape) - 1,)
    try:
        axes = range(len(shape)) if axis is None else axis if isinstance(axis, tuple) else (index(axis),)
        axes = normalize_axis_tuple(tuple(axes), len(shape))
    except TypeError:
        raise TypeError(f"axis must be an int, a tuple of ints or None, not {axis!r}") from None
    except (ValueError, OverflowError):
        axes = ()
    if not axes:
        raise AxisError(f"axis {axis!r} does not fit shape {shape}: it must name existing axes, each once")
    if prod(shape[i] for i in axes) == 0:
        raise ValueError(f"there is no class to choose from: shape {shape} is empty along axis {axis}")
    return axes


def _rows_of(array: FloatArray, axes: tuple[int, ...]) -> FloatArray:
    """Return the array as rows (n, V), with the class axes last: a view if the memory layout allows one."""
    if axes == (1,) and array.ndim == 2:
        return array
    moved = np.moveaxis(array, axes, _last(axes)) if axes != (array.ndim - 1,) else array
    return moved.reshape(prod(moved.shape[: -len(axes)]), prod(moved.shape[-len(axes) :]))


def _array_of(rows: FloatArray, shape: tuple[int, ...], axes: tuple[int, ...]) -> FloatArray:
    """Return rows (n, V) as an array of this shape, with the class axes where they were."""
    if axes == (len(shape) - 1,):
        return _shaped(rows, shape)
    others = [n for i, n in enumerate(shape) if i not in axes]
    moved = rows.reshape([*others, *(shape[i] for i in axes)])
    return np.ascontiguousarray(np.moveaxis(moved, _last(axes), axes))


def _shaped(rows: FloatArray, shape: tuple[int, ...]) -> FloatArray:
    """Reshape rows, which are ours, in place, so that the result owns its memory."""
    if rows.shape != shape:
        rows.resize(shape, refcheck=False)
    return rows


def _last(axes: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(range(-len(axes), 0))


def _as_result(column: FloatArray, shape: tuple[int, ...], dtype: DTypeLike) -> Any:
    """Return a column, rounded once, as an array that owns its memory; a single number becomes a NumPy scalar."""
    result = np.empty(shape, dtype)
    result[...] = column.reshape(shape)
    return result if shape else result[()]
