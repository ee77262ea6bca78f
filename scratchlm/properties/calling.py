"""How a function may be called: found out first, so that its mathematics is judged on arguments that it takes.

In: a kind, and a callable that claims to be one. Out: a `Way` to call it, with its own library's arrays, its own
keyword for the axis, and row by row if it takes vectors only; or the one reason why there is nothing to judge.
"""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlm.properties.battery import Case, Mismatch
from scratchlm.properties.compare import Array, numbers
from scratchlm.properties.kinds import FILTERS, KINDS
from scratchlm.properties.way import DTYPES, REDUCTIONS, Way, alike, attempt, copies
from scratchlm.terminal import described

SHAPES = [(3,), (2, 3), (3, 3), (1, 3), (2, 3, 4)]  # of scores, tried to see how many axes it takes

# How each library converts our arrays. None is imported here: whoever has a function of it has already imported it.
TAKERS: dict[str, Callable[[Any], Callable[[Array], Any]]] = {
    "torch": lambda torch: lambda a: torch.as_tensor(a if min(a.strides, default=0) >= 0 else a.copy()),
    "jax": lambda jax: jax.numpy.asarray,
    "tensorflow": lambda tensorflow: tensorflow.convert_to_tensor,
    "tinygrad": lambda tinygrad: tinygrad.Tensor,
    "mygrad": lambda mygrad: mygrad.tensor,
}


class Unanswered(Exception):
    """There is nothing to judge, for one reason: the function always raises, say, or always returns nan.

    `way` says how to call it, if it answers.
    """

    def __init__(self, what: str, expected: str, actual: Any, way: Way | None = None) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual, self.way = what, expected, actual, way


def find_way(kind: str, function: Callable[..., Any]) -> Way:
    """Return how a function may be called. Errors: Unanswered if there is no way, or no answer worth judging."""
    failures: list[BaseException] = []
    for take in _takers(function):
        for word in _words(kind):
            if way := _tried(Way(kind, function, take, word), failures):
                return _worth_judging(way)
    # A function without an axis complains of that first. Called without one, it shows what else is wrong.
    others = [failure for failure in failures if "unexpected keyword argument" not in described(failure)]
    why = (others or failures)[0]
    if isinstance(why, Mismatch):
        raise Unanswered(why.what, str(why.expected), why.actual)
    raise Unanswered("it raised an exception however it was called", "a result", why)


def _takers(function: Callable[..., Any]) -> Iterator[Callable[[Array], Any]]:
    """Yield ways to convert our arrays: none at first, then each loaded library's, starting with the function's own."""
    yield lambda a: a
    own = str(getattr(function, "__module__", None)).partition(".")[0]
    for name in sorted(TAKERS, key=lambda name: name != own):
        if name in sys.modules:
            yield TAKERS[name](sys.modules[name])


def _words(kind: str) -> tuple[str, ...]:
    """Return the possible keywords for the axis or the reduction; having none comes last."""
    options = KINDS[kind].options
    return ("axis", "dim", "") if "axis" in options else ("reduction", "") if options else ("",)


def _tried(way: Way, failures: list[BaseException]) -> Way | None:
    """Return the way with what a few small arrays reveal, or None if it answers nothing; record the failures."""
    reductions = REDUCTIONS if way.word == "reduction" else ("",)

    def asked(shape: tuple[int, ...], reduction: str, dtype: Any) -> Array | None:
        case = KINDS[way.kind].arguments(scores_of(shape, dtype))
        axis = {"axis": -1} if "axis" in KINDS[way.kind].options else {}
        told = axis | ({"reduction": reduction} if reduction else {})
        answer = attempt(lambda: _in_shape(way.kind, case, numbers(way.plain(*copies(case), **told))))
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
    way = replace(way, depths=depths, kept=dtypes or (np.float32,), dtypes=dtypes or (np.float32,))
    if "reduction" in KINDS[way.kind].options:
        told = tuple(r for r in REDUCTIONS if any(r == reduction for _, reduction in answers))
        way = replace(way, reductions=told or (_reduction_of(way),))
    return replace(way, depths=(*way.depths[:-1],)) if _misled_by_three_axes(way) else way


def _in_shape(kind: str, case: Case, answer: Array) -> Array:
    """Return an answer of the right shape. Errors: Mismatch for any other shape: it does not take such scores."""
    options = KINDS[kind].options
    each = KINDS[kind].ours(*case.values(), **({"reduction": "none"} if "reduction" in options else {}))
    shapes = {np.shape(each)} if "axis" in options or kind.endswith("_backward") else {np.shape(each), ()}
    if answer.shape not in shapes:
        raise Mismatch("the shape", " or ".join(map(str, shapes)), str(answer.shape))
    return answer


def _misled_by_three_axes(way: Way) -> bool:
    """Return whether it mistakes axis 1 for the class axis: that is right for matrices, so it takes only these."""
    if not {2, 3} <= set(way.depths):
        return False
    case = way.cast(KINDS[way.kind].arguments(scores_of((2, 3, 4), np.float64)))
    told = {"reduction": way.reductions[0]} if "reduction" in KINDS[way.kind].options else KINDS[way.kind].options
    deep = attempt(lambda: replace(way, depths=(3,)).answer(*copies(case), **told))
    flat = attempt(lambda: replace(way, depths=(2,)).answer(*copies(case), **told))
    return not alike(deep, flat)


def _reduction_of(way: Way) -> str:
    """Return the reduction of a loss or gradient that has no such option, by comparing a batch with its rows."""
    if way.depths == (1,):
        return "none"
    case = way.cast(KINDS[way.kind].arguments(scores_of((3, 4), np.float64)))
    of_each = replace(way, reductions=("none",))
    batch = attempt(lambda: numbers(of_each.plain(*copies(case))))
    each = attempt(lambda: of_each.of_each_row(tuple(copies(case)), {}))
    if isinstance(batch, BaseException) or isinstance(each, BaseException):
        return "mean"
    if batch.ndim == 1:
        return "none"
    off = {r: np.abs(batch - of_each.together(each, r)).max() for r in ("mean", "sum")}
    return min(off, key=lambda reduction: off[reduction])


def _worth_judging(way: Way) -> Way:
    """Return the way with its first answers. Errors: Unanswered if all are nan, or inf, or the same for any scores."""
    pattern = scores_of((3, 4), way.dtypes[0])
    cases = [KINDS[way.kind].arguments(z) for z in (pattern, -pattern, pattern / 2)]
    cases[1] = {name: np.flip(a) if isinstance(a, np.ndarray) else a for name, a in cases[1].items()}  # g and targets
    options = KINDS[way.kind].options
    answers = attempt(lambda: [numbers(way.answer(*copies(case), **options)) for case in cases])
    if isinstance(answers, BaseException):
        return way  # it does not take every shape; the properties will say so
    for is_none, name in ((np.isnan, "nan"), (np.isinf, "infinite")):
        if all(is_none(answer).any() for answer in answers) and (name == "nan" or way.kind not in FILTERS):
            raise Unanswered(f"its answer is {name} for all scores", "numbers", answers[0], way)
    if all(np.array_equal(answer, answers[0]) for answer in answers):
        raise Unanswered(
            "its answer is the same for every input", "an answer that depends on the input", answers[0], way
        )
    return replace(way, first=tuple(zip(cases, answers, strict=True)))


def scores_of(shape: tuple[int, ...], dtype: Any) -> Array:
    """Return moderate scores, no two neighbouring rows alike."""
    return np.resize(np.array([0.5, -1, 2, 0.25, 1], dtype), shape)
