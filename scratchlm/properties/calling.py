"""How a function may be called: found out before it is judged, so that mathematics is judged on what it takes.

In: a kind, and a callable that claims to be one. Out: a `Way`, by which a property may hand it any rows: as arrays of
the function's own library, with its word for the axis, and row by row if it takes vectors only.
"""

import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
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
SHAPES = [(3,), (2, 3), (3, 3), (1, 3), (2, 3, 4)]  # of scores: what is tried to see how many axes it takes

# How a library makes an array of ours its own. None is imported: who has a function of it has imported it already.
TAKERS: dict[str, Callable[[Any], Callable[[Array], Any]]] = {
    "torch": lambda torch: lambda a: torch.as_tensor(a if min(a.strides, default=0) >= 0 else a.copy()),
    "jax": lambda jax: jax.numpy.asarray,
    "tensorflow": lambda tensorflow: tensorflow.convert_to_tensor,
    "tinygrad": lambda tinygrad: tinygrad.Tensor,
    "mygrad": lambda mygrad: mygrad.tensor,
}


class Unanswered(Exception):
    """There is nothing to judge, for one reason: the function always raises, say, or always answers nan.

    `way` is how it may be called, if it answers.
    """

    def __init__(self, what: str, expected: str, actual: Any, way: "Way | None" = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual, self.way = what, expected, actual, way


@dataclass(frozen=True)
class Way:
    """A function, and how it may be called.

    `way(*arguments, axis=-1)`, or `reduction=...`, hands it any rows in a form that it takes; nan is no answer, and an
    infinity is none for finite scores. `way.plain` calls it once, in its own words, and takes every answer.
    """

    kind: str
    function: Callable[..., Any]
    take: Callable[[Array], Any] = field(default=lambda a: a)
    word: str = ""  # by which it is told the axis or the reduction; "" if it cannot be told
    depths: tuple[int, ...] = (1, 2, 3)  # how many axes the scores may have
    dtypes: tuple[Any, ...] = DTYPES  # those that it keeps
    reductions: tuple[str, ...] = REDUCTIONS  # those that it can be told, or the one that it has
    first: tuple[tuple[Case, Any], ...] = ()  # what it was asked first, and its answers

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Return its answer for any rows. Errors: what it raises; Mismatch for nan, and inf for finite numbers."""
        answer = self.answer(*arguments, **options)
        array = numbers(answer)
        finite = all(np.isfinite(a).all() for a in arguments if isinstance(a, np.ndarray))
        if np.isnan(array).any() or (finite and np.isinf(array).any() and self.kind not in FILTERS):
            what = "nan is no answer" if np.isnan(array).any() else "of finite numbers it makes an infinity"
            raise Mismatch(what, KINDS[self.kind].ours(*arguments, **options), answer)
        return answer

    def answer(self, *arguments: Any, **options: Any) -> Any:
        """Return its answer for any rows, whatever it is. Errors: what it raises."""
        lead, wanted = _leading(arguments), options.get("reduction")
        if self.depths == (1,) or wanted not in (None, *self.reductions):
            each = self._of_each_row(arguments, {"reduction": self.reductions[0]} if wanted else options)
            return each if wanted in (None, "none") else self._together(each, str(wanted))
        if self.takes(len(lead) + 1):
            return self.plain(*arguments, **options)
        new = (math.prod(lead),) if 2 in self.depths else (1, math.prod(lead))
        answer = self.plain(*(_moved(a, lead, new) for a in arguments), **options)
        return _moved(np.asarray(answer), new, lead)

    def plain(self, *arguments: Any, **options: Any) -> Any:
        """Call it once, in its own words. Errors: what it raises; TypeError if it cannot be told an option."""
        told = {}
        for name, value in options.items():
            if self.word:
                told[self.word] = value
            elif value != (-1 if name == "axis" else self.reductions[0]):
                raise TypeError(f"it takes no {name}")
        return _read(self.function(*(self.take(a) if isinstance(a, np.ndarray) else a for a in arguments), **told))

    def takes(self, depth: int) -> bool:
        """Return whether it takes scores with so many axes; of more than three, all are alike."""
        return min(depth, max(NAMES)) in self.depths

    def cast(self, case: Case) -> Case:
        """Return a case whose floats are of a dtype that it keeps."""

        def kept(value: Any) -> Any:
            other = isinstance(value, np.ndarray) and value.dtype.type in set(DTYPES) - set(self.dtypes)
            return value.astype(self.dtypes[0]) if other else value

        return {name: kept(value) for name, value in case.items()}

    def forgotten(self) -> Mismatch | None:
        """Return what is wrong if it gives other answers when the first questions come again, the last one first."""
        for case, before in reversed(self.first):
            now = attempt(partial(self.answer, *_copies(case), **KINDS[self.kind].options))
            if not _alike(now, before):
                return Mismatch("it does not give the same answer again", before, now)
        return None

    def _of_each_row(self, arguments: tuple[Any, ...], options: dict[str, Any]) -> Array:
        """Return its answers for rows that come one by one."""
        lead = _leading(arguments)
        one = () if 1 in self.depths else (1,) if 2 in self.depths else (1, 1)
        answers = []
        for index in np.ndindex(lead):
            row = [np.asarray(a[index]) if _leads(a, lead) else a for a in arguments]
            answer = np.asarray(self.plain(*(_moved(a, (), one) for a in row), **options))
            answers.append(_moved(answer, one, ()))
        stacked = np.stack(answers)
        return stacked.reshape(lead + stacked.shape[1:])

    def _together(self, each: Array, reduction: str) -> Any:
        """Return what becomes of the losses of rows, or of their gradients, when they are summed or averaged."""
        rows = math.prod(each.shape[:-1]) if self.kind.endswith("_backward") else each.size
        total = each if self.kind.endswith("_backward") else each.sum()
        return total / total.dtype.type(rows if reduction == "mean" else 1)


def find_way(kind: str, function: Callable[..., Any]) -> Way:
    """Return how a function may be called. Errors: Unanswered if there is no way, or no answer worth a judgement."""
    failures: list[BaseException] = []
    for take in _takers(function):
        for word in _words(kind):
            if way := _tried(Way(kind, function, take, word), failures):
                return _worth_judging(way)
    why = failures[0]
    if isinstance(why, Mismatch):
        raise Unanswered(why.what, str(why.expected), why.actual)
    raise Unanswered("it raised an exception, however it was called", "a result", why)


def _takers(function: Callable[..., Any]) -> Iterator[Callable[[Array], Any]]:
    """Give what makes an argument of an array: nothing at first, then each library that is loaded, its own first."""
    yield lambda a: a
    own = str(getattr(function, "__module__", None)).partition(".")[0]
    for name in sorted(TAKERS, key=lambda name: name != own):
        if name in sys.modules:
            yield TAKERS[name](sys.modules[name])


def _words(kind: str) -> tuple[str, ...]:
    """Return the words by which it may be told the axis or the reduction; none comes last."""
    options = KINDS[kind].options
    return ("axis", "dim", "") if "axis" in options else ("reduction", "") if options else ("",)


def _tried(way: Way, failures: list[BaseException]) -> Way | None:
    """Return the way with what is found out on a few small arrays, None if nothing is answered; failures are kept."""
    reductions = REDUCTIONS if way.word == "reduction" else ("",)

    def asked(shape: tuple[int, ...], reduction: str, dtype: Any) -> Array | None:
        case = KINDS[way.kind].arguments(scores_of(shape, dtype))
        axis = {"axis": -1} if "axis" in KINDS[way.kind].options else {}
        told = axis | ({"reduction": reduction} if reduction else {})
        answer = attempt(lambda: numbers(way.plain(*_copies(case), **told)))
        if isinstance(answer, BaseException):
            failures.append(answer)
            return None
        return answer

    def kept(dtype: Any, answer: Array | None) -> bool:
        return answer is not None and answer.dtype.itemsize >= np.dtype(dtype).itemsize

    for dtype in DTYPES:
        answers = {(s, r): a for s in SHAPES for r in reductions if (a := asked(s, r, dtype)) is not None}
        if answers:
            break
    else:
        return None
    (shape, reduction), answer = next(iter(answers.items()))
    dtypes = tuple(d for d in DTYPES if kept(d, answer if d == dtype else asked(shape, reduction, d)))
    depths = tuple(sorted({len(shape) for shape, _ in answers}))
    way = replace(way, depths=depths, dtypes=dtypes or (np.float32,))
    if "reduction" in KINDS[way.kind].options:
        told = tuple(r for r in REDUCTIONS if any(r == reduction for _, reduction in answers))
        way = replace(way, reductions=told or (_reduction_of(way),))
    return replace(way, depths=(*way.depths[:-1],)) if _misled_by_three_axes(way) else way


def _misled_by_three_axes(way: Way) -> bool:
    """Tell whether it takes axis 1 for that of the classes, as is right for matrices: then it takes these only."""
    if not {2, 3} <= set(way.depths):
        return False
    case = way.cast(KINDS[way.kind].arguments(scores_of((2, 3, 4), np.float64)))
    told = {"reduction": way.reductions[0]} if "reduction" in KINDS[way.kind].options else KINDS[way.kind].options
    deep = attempt(lambda: replace(way, depths=(3,)).answer(*_copies(case), **told))
    flat = attempt(lambda: replace(way, depths=(2,)).answer(*_copies(case), **told))
    return not _alike(deep, flat)


def _reduction_of(way: Way) -> str:
    """Return what a loss that takes no reduction makes of a batch, or a gradient, compared with its rows one by one."""
    if way.depths == (1,):
        return "none"
    case = way.cast(KINDS[way.kind].arguments(scores_of((3, 4), np.float64)))
    of_each = replace(way, reductions=("none",))
    batch = attempt(lambda: numbers(of_each.plain(*_copies(case))))
    each = attempt(lambda: of_each._of_each_row(tuple(_copies(case)), {}))
    if isinstance(batch, BaseException) or isinstance(each, BaseException):
        return "mean"
    if batch.ndim == 1:
        return "none"
    off = {r: np.abs(batch - of_each._together(each, r)).max() for r in ("mean", "sum")}
    return min(off, key=lambda reduction: off[reduction])


def _worth_judging(way: Way) -> Way:
    """Return the way with its first answers. Errors: Unanswered if all are nan, or inf, or the same for any scores."""
    pattern = scores_of((3, 4), way.dtypes[0])
    cases = [KINDS[way.kind].arguments(z) for z in (pattern, -pattern, pattern / 2)]
    cases[1] = {name: np.flip(a) if isinstance(a, np.ndarray) else a for name, a in cases[1].items()}  # g, targets, too
    options = KINDS[way.kind].options
    answers = attempt(lambda: [numbers(way.answer(*_copies(case), **options)) for case in cases])
    if isinstance(answers, BaseException):
        return way  # it does not take every shape: the properties tell
    for is_none, name in ((np.isnan, "nan"), (np.isinf, "infinite")):
        if all(is_none(answer).any() for answer in answers) and (name == "nan" or way.kind not in FILTERS):
            raise Unanswered(f"its answer is {name}, whatever the scores are", "numbers", answers[0], way)
    alike = all(np.array_equal(answer, answers[0]) for answer in answers)
    if alike:
        raise Unanswered(
            "its answer is the same, whatever it is asked", "an answer that depends on it", answers[0], way
        )
    return replace(way, first=tuple(zip(cases, answers, strict=True)))


def attempt(ask: Callable[[], T]) -> T | BaseException:
    """Return an answer, or what was raised instead: sys.exit, too, is the function's own doing."""
    try:
        return ask()
    except KeyboardInterrupt:
        raise
    except BaseException as failure:
        return failure


def _alike(a: Any, b: Any) -> bool:
    """Tell whether two answers are the same but for roundings, and none of them was raised."""
    if isinstance(a, BaseException) or isinstance(b, BaseException) or np.shape(a) != np.shape(b):
        return False
    return bool(np.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True))


def scores_of(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return moderate scores, with another row wherever one looks."""
    return np.resize(np.array([0.5, -1, 2, 0.25, 1], dtype), shape)


def _copies(case: Case) -> list[Any]:
    return [value.copy() if isinstance(value, np.ndarray) else value for value in case.values()]


def _read(result: Any) -> Any:
    """Return a library's array as one of NumPy's, by whatever way it offers; anything else as it is."""
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
    """Return an array with other axes before the classes, and the same rows; anything else as it is."""
    return a.reshape(new + a.shape[len(lead) :]) if _leads(a, lead) else a
