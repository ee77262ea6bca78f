"""How a result is compared with what an identity demands, and how far off a textbook formula may be."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scratchlm.properties.battery import Mismatch

Array = NDArray[Any]


def numbers(result: Any, what: str = "the result") -> Array:
    """Return the result as an array of real floating-point numbers; anything else is a mismatch."""
    if isinstance(result, tuple) and any(np.ndim(part) for part in result):
        raise Mismatch(f"{what} is a tuple of arrays", "an array of floats", f"a tuple of {len(result)}")
    try:
        array = np.asarray(result)
    except Exception as error:
        raise Mismatch(f"{what} is not an array", "an array of floats", repr(error)) from None
    if array.dtype.kind != "f":
        raise Mismatch(
            f"{what} is not an array of floats", "an array of floats", f"{type(result).__name__}: {result!r:.80}"
        )
    return array


def near(actual: Any, expected: Any, what: str, *, rtol: Any = 0.0, atol: Any = 0.0) -> None:
    """Demand |actual - expected| <= atol + rtol |expected|, entry by entry; infinities may be equal, nans never."""
    a, b = numbers(actual).astype(np.float64), np.asarray(expected, np.float64)
    if a.shape != b.shape:
        raise Mismatch(f"{what}: the shape", str(b.shape), str(a.shape))
    close = np.abs(a - b) <= np.asarray(atol) + np.asarray(rtol) * np.abs(b)
    if not ((a == b) | (close & np.isfinite(a) & np.isfinite(b))).all():
        raise Mismatch(what, expected, actual)


def demand(condition: Any, what: str, expected: Any, actual: Any) -> None:
    if not np.all(condition):
        raise Mismatch(what, expected, actual)


def roundings(z: Array, n: float = 8) -> float:
    """Return n roundings in z's dtype, plus the cost of a rounded z - max z to a textbook exp: the row's spread."""
    finite = z[np.isfinite(z)]
    spread = float(finite.max() - finite.min()) if finite.size else 0.0
    return float(np.finfo(z.dtype).eps) * float(n + 2 * spread + z.shape[-1])


def log_roundings(z: Array) -> float:
    """Return 8 roundings of numbers as large as the entries of z: the possible error of a logarithm of that size."""
    return 8 * float(np.finfo(z.dtype).eps) * (1 + float(np.abs(z[np.isfinite(z)]).max(initial=0)) + math.log(z.size))


def lse(z: Array) -> Array:
    """Return logsumexp along the last axis, pair by pair with NumPy's logaddexp: an independent witness."""
    total: Array = np.logaddexp.reduce(z.astype(np.float64), axis=-1)
    return total


def onehot(targets: Array, classes: int) -> Array:
    return np.asarray(np.arange(classes) == targets[..., None], dtype=np.float64)
