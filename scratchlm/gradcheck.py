"""The independent witness: a derivative measured by nudging, to compare with one worked out by hand.

In: any function from an array to a number, and a point. Out: its gradient there, found without any of our algebra.
Use float64: in float32 a nudge of 0.001 leaves four digits of a difference, and a wrong factor can hide in the rest.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchlm._engine.checks import as_reals


def numerical_gradient(function: Callable[[NDArray[np.float64]], Any], x: ArrayLike) -> NDArray[np.float64]:
    """Return the gradient of function at x by central differences of fourth order.

    Formula: f'(x) = (8 [f(x + h) - f(x - h)] - [f(x + 2h) - f(x - 2h)]) / 12h + O(h^4), one entry of x at a time.
    Shapes: x (...) -> (...), float64; function takes an array of that shape and returns one number.

    The step h = eps^(1/5) = 0.00074, times |x| where that is above 1, balances two errors: h^4 from the formula and
    eps / h from rounding, both near 3e-13 for functions and inputs around 1. It is rounded to a power of 2, so that
    x + h is exact. The plain formula [f(x + h) - f(x - h)] / 2h would reach 4e-11 at best.
    Errors: TypeError if x is not real; ValueError if it is not finite, or function does not return one finite number.
    Source: Abramowitz & Stegun 1964, 25.3.6.

    >>> numerical_gradient(lambda x: (x**3).sum(), [1.0, 2.0]).round(9)
    array([ 3., 12.])
    """
    nudged = _reals("x", x)
    if not np.isfinite(nudged).all():
        raise ValueError(f"x must contain only finite numbers, not {nudged[~np.isfinite(nudged)][0]}")
    gradient = np.empty_like(nudged)

    def value_at(index: tuple[int, ...], entry: float) -> float:
        nudged[index] = entry
        value = np.asarray(function(nudged.copy()))
        if value.size != 1 or value.dtype.kind not in "fiub" or not np.isfinite(value).all():
            found = repr(value.item()) if value.size == 1 else f"an array of shape {value.shape}"
            raise ValueError(f"function must return one finite number; at x{list(index)} = {entry} it returned {found}")
        return float(value.reshape(()))

    for index in np.ndindex(nudged.shape):
        center = float(nudged[index])
        h = 2.0 ** round(math.log2(np.finfo(np.float64).eps ** 0.2 * max(1.0, abs(center))))
        near = value_at(index, center + h) - value_at(index, center - h)
        far = value_at(index, center + 2 * h) - value_at(index, center - 2 * h)
        gradient[index] = (8 * near - far) / (12 * h)
        nudged[index] = center
    return gradient


def max_relative_error(analytic: ArrayLike, numeric: ArrayLike) -> float:
    """Return the largest relative difference between two gradients, entry by entry.

    Formula: max_k |a_k - b_k| / max(|a_k|, |b_k|, 0.0001 max_j |b_j|).
    Shapes: analytic, numeric (...) of the same shape -> float; 0 is perfect, 2 is the opposite sign, nan counts as inf.

    Central differences are exact to about 1e-12 of the largest entry, whatever the size of the others. So an entry over
    ten thousand times smaller than the largest is compared on the scale of 0.0001 of the largest, where 1e-12 becomes
    1e-8.
    Errors: TypeError if they are not real; ValueError if the shapes differ.

    >>> round(max_relative_error([1.0, 2.0], [1.0, 2.002]), 6)
    0.000999
    """
    a, b = _reals("analytic", analytic), _reals("numeric", numeric)
    if a.shape != b.shape:
        raise ValueError(f"analytic has shape {a.shape}, but numeric has shape {b.shape}")
    if a.size == 0 or np.array_equal(a, b):
        return 0.0
    size = np.maximum(np.maximum(abs(a), abs(b)), 1e-4 * abs(b).max())
    with np.errstate(invalid="ignore", over="ignore"):
        error = abs(a - b) / np.where(size == 0, 1, size)
    return float(np.where(np.isnan(error), np.inf, error).max())


def _reals(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of the value in float64; raise TypeError or ValueError if it is not an array of real numbers."""
    return as_reals(name, value).astype(np.float64)
