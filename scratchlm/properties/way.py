"""How a function is called: a property may pass it any rows, and a `Way` brings them into a form that it takes.

In: rows, and options by keyword. Out: the answer for the original rows. `calling.py` has found out what it takes: its
library's arrays, its keyword for the axis, vectors, matrices or more, and which dtypes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

import numpy as np

from scratchlm.properties.battery import Case, Mismatch
from scratchlm.properties.compare import Array, numbers
from scratchlm.properties.kinds import FILTERS, KINDS

T = TypeVar("T")
DTYPES = (np.float64, np.float32)
REDUCTIONS = ("none", "sum", "mean")
NAMES = {1: "vectors", 2: "matrices", 3: "arrays of three axes"}


@dataclass(frozen=True)
class Way:
    """A function, and how it may be called.

    `way(*arguments, axis=-1)`, or `reduction=...`, passes it any rows in a form that it takes. It rejects nan, and inf
    for finite scores. `way.plain` calls the function once, with its own keyword, and accepts every answer.
    """

    kind: str
    function: Callable[..., Any]
    take: Callable[[Array], Any] = field(default=lambda a: a)
    word: str = ""  # its keyword for the axis or the reduction; "" if it has none
    depths: tuple[int, ...] = (1, 2, 3)  # how many axes the scores may have
    kept: tuple[Any, ...] = DTYPES  # the dtypes that it keeps
    dtypes: tuple[Any, ...] = DTYPES  # the dtypes that it is judged in
    reductions: tuple[str, ...] = REDUCTIONS  # those that it offers, or the only one that it computes
    first: tuple[tuple[Case, Any], ...] = ()  # the first questions, and its answers

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return its answer for any rows. Errors: what it raises; Mismatch for nan, or inf for finite numbers."""
        given = [a.copy() if isinstance(a, np.ndarray) else a for a in arguments]  # it may write into them
        answer = self.answer(*given, **options)
        array = numbers(answer)
        finite = all(np.isfinite(a).all() for a in arguments if isinstance(a, np.ndarray))
        if np.isnan(array).any() or (finite and np.isinf(array).any() and self.kind not in FILTERS):
            what = (
                "the answer is nan" if np.isnan(array).any() else "the answer is infinite, though all scores are finite"
            )
            raise Mismatch(what, KINDS[self.kind].ours(*arguments, **options), answer)
        return answer

    def answer(self, *arguments: Any, **options: Any) -> Any:
        """Return its answer for any rows, whatever it is. Errors: what it raises."""
        lead, wanted = _leading(arguments), options.get("reduction")
        if self.depths == (1,) or wanted not in (None, *self.reductions):
            each = self.of_each_row(arguments, {"reduction": self.reductions[0]} if wanted else options)
            return each if wanted in (None, "none") else self.together(each, str(wanted))
        if self.takes(len(lead) + 1):
            return self.plain(*arguments, **options)
        new = (math.prod(lead),) if 2 in self.depths else (1, math.prod(lead))
        answer = self.plain(*(_moved(a, lead, new) for a in arguments), **options)
        return _moved(np.asarray(answer), new, lead)

    def plain(self, *arguments: Any, **options: Any) -> Any:
        """Call it once, with its own keyword. Errors: what it raises; TypeError for an option that it does not take."""
        told = {}
        for name, value in options.items():
            if self.word:
                told[self.word] = value
            elif value != (-1 if name == "axis" else self.reductions[0]):
                raise TypeError(f"it takes no {name}")
        return _read(self.function(*(self.take(a) if isinstance(a, np.ndarray) else a for a in arguments), **told))

    def takes(self, depth: int) -> bool:
        """Return whether it takes scores with this many axes; any number above three counts as three."""
        return min(depth, max(NAMES)) in self.depths

    def cast(self, case: Case) -> Case:
        """Return the case with its floats in a dtype that the function is judged in."""

        def right(value: Any) -> Any:
            other = isinstance(value, np.ndarray) and value.dtype.type in set(DTYPES) - set(self.dtypes)
            return value.astype(self.dtypes[0]) if other else value

        return {name: right(value) for name, value in case.items()}

    def forgotten(self) -> Mismatch | None:
        """Return what is wrong if its answers change when the first questions are repeated, the last one first."""
        for case, before in reversed(self.first):
            now = attempt(partial(self.answer, *copies(case), **KINDS[self.kind].options))
            if not alike(now, before):
                return Mismatch("it gives a different answer when asked again", before, now)
        return None

    def of_each_row(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Array:
        """Return its answers for the rows, passed one by one."""
        lead = _leading(arguments)
        one = () if 1 in self.depths else (1,) if 2 in self.depths else (1, 1)
        answers = []
        for index in np.ndindex(lead):
            row = [np.asarray(a[index]) if _leads(a, lead) else a for a in arguments]
            answer = np.asarray(self.plain(*(_moved(a, (), one) for a in row), **options))
            answers.append(_moved(answer, one, ()))
        stacked = np.stack(answers)
        return stacked.reshape(lead + stacked.shape[1:])

    def together(self, each: Array, reduction: str) -> Any:
        """Return the sum or the mean of the losses of rows, or the gradient of that sum or mean."""
        rows = math.prod(each.shape[:-1]) if self.kind.endswith("_backward") else each.size
        total = each if self.kind.endswith("_backward") else each.sum()
        return total / total.dtype.type(rows if reduction == "mean" else 1)


def attempt(ask: Callable[[], T]) -> T | BaseException:
    """Return an answer, or what was raised instead: even sys.exit is the function's own doing."""
    try:
        return ask()
    except KeyboardInterrupt:
        raise
    except BaseException as failure:
        return failure


def alike(a: Any, b: Any) -> bool:
    """Return whether two answers are the same up to rounding, and neither was raised."""
    if isinstance(a, BaseException) or isinstance(b, BaseException) or np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))


def copies(case: Case) -> list[Any]:
    return [value.copy() if isinstance(value, np.ndarray) else value for value in case.values()]


def _read(result: Any) -> Any:
    """Return a library's array as a NumPy array, in whatever way it offers; anything else unchanged."""
    if not isinstance(result, np.ndarray | np.generic):
        for step in ("detach", "cpu", "numpy"):
            result = method() if callable(method := getattr(result, step, None)) else result
    return result


def _leading(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """Return the axes before the classes."""
    scores = max((a for a in arguments if isinstance(a, np.ndarray)), key=np.ndim)
    return tuple(scores.shape[:-1])


def _leads(a: Any, lead: tuple[int, ...]) -> bool:
    return isinstance(a, np.ndarray) and a.shape[: len(lead)] == lead


def _moved(a: Any, lead: tuple[int, ...], new: tuple[int, ...]) -> Any:
    """Return an array with other axes before the classes, and the same rows; anything else unchanged."""
    return a.reshape(new + a.shape[len(lead) :]) if _leads(a, lead) else a
