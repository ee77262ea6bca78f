"""Name the mistake: compare a failing function with every known wrong implementation of its kind.

In: a function, and how it may be called. Out: one sentence to its author, if on every probe it computes the same as a
known mistake, to a few roundings, infinities and nans included. Otherwise nothing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from scratchlm.properties.battery import Case
from scratchlm.properties.compare import Array
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.mistakes import MISTAKES, Mistake, pairs
from scratchlm.properties.way import DTYPES, Way, attempt

INF = np.inf
GAPS = [40, 37, 34.5, 28, 24, 21, 18.5, 16, 14, 11.5, 4, -70]  # probabilities around each usual epsilon, and far below

# These tell mistakes apart. Ordinary rows come first: most comparisons end there.
SCORES: list[Any] = [
    [[0.5, -1.25, 2], [1, 0.123, -0.75]],
    [[1, 2, 3], [4, 0, -2], [-1, 3, 2]],
    [[3, 1, 2, 0, -1]],
    [3, 1, 2, 0, -1],
    [2, 2, 1, 2],
    [[1, 1, 1, 1, 1]],
    [[[0.5, -1, 2], [1, 0, -3]], [[1, 1, 2], [0, 2, 0.5]]],
    [[0, 1, 2], [1000, 1001, 999], [-1000, -999, -1001]],
    [[50, 49, 0]],
    [[-50, -51, -60]],
    [[400, 399, 0]],
    [[-400, -401, -399]],
    [[95, 94, -95]],
    [[800, 799, -700]],
    [[1000, -1000, 1000]],
    [[-1000, -1001, -1002]],
    [[0, 110, 3]],
    [[60, 0, 1]],
    [[0, 1000, 2]],
    [[9000, 0, 8999]],
    [[100, 100, 100, 0]],
    [GAPS],
    [[(5 * k) % 13 - 6 for k in range(12)]],
    [[-INF, 0.5, 1, 2]],
    [[0, -INF, -3, -INF], [1, 2, -INF, 3]],
    [[2.0**25, 2.0**25, -(2.0**25)]],
    [[2.0**60, 2.0**60, -(2.0**60)]],
]
SETTINGS: dict[str, list[Any]] = {
    "temperature": [2.0, 0.5, 4.0],
    "k": [1, 2, 3, 4],
    "p": [0.05, 0.25, 0.5, 0.75, 0.9, 1.0],
}
Probe = tuple[Case, dict[str, Any]]  # arguments, and options by keyword
Answered = tuple[Probe, Array | None]


def diagnose(way: Way) -> str:
    """Return the sentence for the mistake that this function makes, or "" if it makes no known one."""
    found = named(way)
    return found.sentence if found else ""


def named(way: Way, known: Iterable[Mistake] | None = None) -> Mistake | None:
    """Return the known mistake that this function makes: one slip, or two in one formula."""
    return first_that_answers_alike(way, answers_to_probes(way), known)


def answers_to_probes(way: Way) -> list[Answered]:
    """Return every probe that tells the mistakes of a kind apart, with the function's answer."""
    return [(probe, outcome(way, probe)) for probe in probes(way)]


def first_that_answers_alike(way: Way, seen: list[Answered], known: Iterable[Mistake] | None = None) -> Mistake | None:
    """Return the first mistake that answers every probe as the function did, or None if the function is right."""
    if _agrees(replace(way, function=KINDS[way.kind].ours), seen):
        return None
    if known is None:
        known = [*MISTAKES.get(way.kind, []), *pairs(way.kind)]
    return next((mistake for mistake in known if _agrees(replace(way, function=mistake.function), seen)), None)


def probes(way: Way) -> Iterator[Probe]:
    """Yield the probes that tell the mistakes of a kind apart."""
    kind = KINDS[way.kind]
    for dtype in DTYPES:
        if dtype not in way.dtypes:
            continue
        for scores in SCORES:
            for case in _cases(way.kind, np.array(scores, dtype)):
                if "reduction" in kind.options:
                    yield from ((case, {"reduction": reduction}) for reduction in ("none", "mean", "sum"))
                else:
                    yield case, kind.options
    if "axis" in kind.options and way.word and way.takes(2):
        z = np.array(SCORES[0], way.dtypes[0])
        case = kind.arguments(np.ascontiguousarray(z.T))
        yield {name: np.swapaxes(a, 0, -1) if a.ndim == z.ndim else a for name, a in case.items()}, {"axis": 0}


def _cases(kind: str, z: Array) -> Iterator[Case]:
    """Yield arguments for these scores: with every setting, and with each class of a long row as the target."""
    case = KINDS[kind].arguments(z)
    for name in SETTINGS.keys() & case.keys():
        most = z.shape[-1] if name == "k" else np.inf
        yield from (case | {name: value} for value in SETTINGS[name] if value <= most)
        return
    if "targets" in case and not np.isfinite(z).all():
        case |= {"targets": z.argmax(axis=-1)}  # no answer is right for a masked target
    yield case
    if "targets" in case and z.shape == (1, len(GAPS)):
        every = KINDS[kind].arguments(np.repeat(z, len(GAPS), axis=0))
        yield every | {"targets": np.arange(len(GAPS))}


def outcome(way: Way, probe: Probe) -> Array | None:
    """Return the answer to a probe: numbers, or None for an exception or anything that is not an array of numbers."""
    case, options = probe
    given = [value.copy() if isinstance(value, np.ndarray) else value for value in case.values()]
    ask = way.plain if options.get("axis", -1) != -1 else way.answer
    with np.errstate(all="ignore"):
        answer = attempt(lambda: np.asarray(ask(*given, **options)).astype(np.float64))
    return None if isinstance(answer, BaseException) else answer


def _agrees(known: Way, seen: list[Answered]) -> bool:
    """Return whether one of our functions answers every probe as the examined one did."""
    ours = "axis" if "axis" in KINDS[known.kind].options else "reduction"
    own = replace(known, take=lambda a: a, word=ours if KINDS[known.kind].options else "")
    return all(same(outcome(own, probe), answer, probe) for probe, answer in seen)


def same(a: Array | None, b: Array | None, probe: Probe) -> bool:
    """Return whether two outcomes agree to a few roundings, of the numbers themselves and as magnified by exp."""
    if a is None or b is None:
        return a is b
    if a.shape != b.shape:
        return False
    case, _ = probe
    floats = [value for value in case.values() if isinstance(value, np.ndarray) and value.dtype.kind == "f"]
    eps = float(max(np.finfo(value.dtype).eps for value in floats))
    size = max(float(np.abs(value[np.isfinite(value)]).max(initial=0)) for value in floats)
    largest = float(np.abs(b[np.isfinite(b)]).max(initial=0))
    # A difference of large scores is off by their last digit; from 0.01 upwards, that digit identifies a mistake.
    atol = 16 * eps * (1 + min(largest, size, 1000)) + min(4 * eps * size, 0.01)
    with np.errstate(invalid="ignore"):
        close = np.isfinite(b) & (np.abs(a - b) <= atol + (64 + 2 * min(size, 1000)) * eps * np.abs(b))
    return bool(np.all(close | (a == b) | (np.isnan(a) & np.isnan(b))))
