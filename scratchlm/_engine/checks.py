"""The arguments a caller may pass, each check written once: an error says what is wrong, what is right, and the value.

In: the name of an argument, and its value. Out: the value, in the form the code works with.
"""

import math
from operator import index
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

REDUCTIONS = ("mean", "sum", "none")

# --- arrays ----------------------------------------------------------------------------------------------------------


def as_array(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return the value as an array; raise ValueError if its rows have different lengths."""
    try:
        return np.asarray(value)
    except ValueError:
        raise ValueError(f"{name} must be one array, but its rows have different lengths") from None


def as_reals(name: str, value: ArrayLike) -> NDArray[Any]:
    """Return the value as an array of real numbers of any dtype. Errors: TypeError for others, ValueError if ragged."""
    array = as_array(name, value)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} must contain real numbers, not {array.dtype}")
    return array


FLOATS = {np.dtype(dtype) for dtype in (np.float16, np.float32, np.float64)}


def as_floats(name: str, value: ArrayLike) -> FloatArray:
    """Return the value as an array of float16, 32 or 64; integers and bools become float64.

    Errors: TypeError for anything that is not a real number, and for longdouble; ValueError for a single number.
    """
    array = as_reals(name, value)
    if array.dtype not in FLOATS:
        if array.dtype.char == "g":
            raise TypeError(f"{name} must be float16, float32 or float64, not longdouble ({array.dtype})")
        array = array.astype(array.dtype.newbyteorder("=") if array.dtype.kind == "f" else np.float64)
    if not array.ndim:
        raise ValueError(f"{name} must have at least one axis; it is the single number {array[()]!r}")
    return array


# --- ids -------------------------------------------------------------------------------------------------------------


def as_ids(name: str, value: ArrayLike, what: str = "token ids") -> IntArray:
    """Return ids as an array; raise TypeError if they are not integers."""
    ids = as_array(name, value)
    if isinstance(value, list) and not value:
        return ids.astype(np.intp)  # NumPy reads [] as floats
    if ids.dtype.kind not in "iu":
        raise TypeError(f"{name} must be integer {what}, not {ids.dtype}")
    return ids  # of any integer dtype, until they are known to be in range


def class_id(name: str, value: int, classes: int) -> int:
    """Return one class id; raise TypeError if it is not an integer, IndexError if there is no such class."""
    try:
        y = index(value)
    except TypeError:
        raise TypeError(f"{name} must be integer class ids, not {value!r}") from None
    if not 0 <= y < classes:
        raise IndexError(f"{name} contains {y}; valid ids are 0 to {classes - 1}")
    return y


def ids_below(name: str, ids: IntArray, size: int) -> NDArray[np.intp]:
    """Return the ids if all lie in 0 ... size - 1; else raise ValueError with the first bad id and its index."""
    whole = ids.astype(np.intp, copy=False)  # a small dtype would overflow in arithmetic with ids
    if ids.size and whole.view(np.uintp).max() >= size:  # read as unsigned, a negative id is huge
        where = tuple(int(i) for i in np.argwhere((ids < 0) | (ids >= size))[0])
        place = f"{name}[{', '.join(map(str, where))}]" if where else name
        raise ValueError(f"{place} is {ids[where]}; valid ids are 0 to {size - 1}")
    return whole


def class_ids(targets: ArrayLike, shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the targets for scores of this shape: one integer class id per row.

    Errors: TypeError for anything but integers; ValueError for a wrong shape or an id that is not a class.
    """
    ids = as_ids("targets", targets, "class ids")
    if ids.shape != shape[:-1]:
        raise ValueError(f"targets must have shape {shape[:-1]}, one class id per row, not {ids.shape}")
    return ids_below("targets", ids, shape[-1])


def rows_of_ids(name: str, value: ArrayLike, width: tuple[int, ...], size: int) -> NDArray[np.intp]:
    """Return token ids of shape (N, *width), all in 0 ... size - 1. Errors: TypeError or ValueError that says why."""
    ids = as_ids(name, value)
    if ids.ndim != 1 + len(width) or ids.shape[1:] != width:
        raise ValueError(f"{name} must have shape (N,{''.join(f' {n}' for n in width)}), not {ids.shape}")
    return ids_below(name, ids, size)


# --- settings --------------------------------------------------------------------------------------------------------


def real(name: str, value: float) -> float:
    """Return a setting as a float; raise TypeError if it is not a number."""
    try:
        return math.ldexp(value, 0)  # float(value), but rejecting strings
    except OverflowError:  # an integer too large for a float
        return math.inf if value > 0 else -math.inf
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a real number, not {value!r}") from None


def above_0(name: str, value: float) -> float:
    """Return a setting that is finite and above 0. Errors: TypeError or ValueError."""
    number = real(name, value)
    if not 0 < number < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, not {value}")
    return number


def share(name: str, value: float) -> float:
    """Return a setting that is above 0 and at most 1. Errors: TypeError or ValueError."""
    number = real(name, value)
    if not 0 < number <= 1:
        raise ValueError(f"{name} must be above 0 and at most 1, not {value}")
    return number


def in_range(name: str, value: float, low: float, high: float) -> float:
    """Return a setting that is at least `low` and below `high`. Errors: TypeError or ValueError."""
    number = real(name, value)
    if not low <= number < high:
        raise ValueError(f"{name} must be at least {low} and below {high}, not {value}")
    return number


def whole(name: str, value: int, least: int, below: int = 2**63) -> int:
    """Return a setting as an int; raise TypeError if it is not a whole number, ValueError if it is out of range."""
    try:
        number = index(value)
    except TypeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if not least <= number < below:
        highest = f"2**{below.bit_length() - 1}" if below >= 2**31 else below
        limit = f"at least {least}" if number < least else f"below {highest}"
        raise ValueError(f"{name} must be {limit}, not {value}")
    return number


def size(name: str, value: int) -> int:
    """Return the length of an axis, at least 1 and below 2**31. Errors: TypeError or ValueError."""
    if isinstance(value, bool):
        raise TypeError(f"{name} must be a whole number, not {value!r}")
    return whole(name, value, least=1, below=2**31)


def generator(rng: np.random.Generator | int, name: str = "rng") -> np.random.Generator:
    """Return a generator, or a new one with this seed; raise TypeError or ValueError for anything else."""
    wanted = "a whole number of at least 0" if name == "seed" else "a generator, or a whole number of at least 0"
    try:
        return np.random.default_rng(rng)
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name} must be {wanted}, not {rng!r}") from None


def reduction_of(name: str) -> str:
    """Return the name of a reduction; raise ValueError, listing the names, if there is no such reduction."""
    if not isinstance(name, str) or name not in REDUCTIONS:
        raise ValueError(f"reduction must be one of {', '.join(REDUCTIONS)}, not {name!r}")
    return name
