"""Check a callable against properties: `examine` anyone's function, or judge a student's, property by property.

In: a kind, and a callable that claims to be one. Out: a verdict for every property, with the smallest counterexample
that Hypothesis finds, and the name of the mistake, if it is a known one.
"""

import random
import warnings
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from scratchlm._engine.checks import whole
from scratchlm.properties.battery import PROPERTIES, TIERS, Case, Mismatch, Property, Verdict, as_python, shown
from scratchlm.properties.calling import Unanswered, find_way
from scratchlm.properties.diagnosis import diagnose
from scratchlm.properties.inputs import large_rows
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.report import Report
from scratchlm.properties.way import Way
from scratchlm.terminal import described

NOWHERE = Path(__file__) / "nothing"  # below a file: Hypothesis can store nothing there, and does without

# Checked before the first property and after the last. If one fails, it is the only verdict.
ANSWERS = Property(
    "it answers",
    "f(z) is an array of numbers that depends on the scores",
    why="A function that gives no answer, or always the same one, cannot be judged any further.",
    hint="It receives NumPy arrays by position, and axis or reduction by keyword if it has one. If yours takes "
    "something else, wrap it: lambda z, axis=-1: np.asarray(yours(z, axis)).",
    cases=st.nothing(),
    check=lambda f: None,
)
AGAIN = replace(
    ANSWERS,
    name="the same again",
    identity="f(z) = f(z), whatever was called in between",
    why="A result that depends on chance, or on how often f was called, is not a function of z.",
    hint="Look for a global variable, a counter, a cache, a random number, or uninitialised memory.",
)


def examine(
    kind: str,
    implementation: Callable[..., Any],
    *,
    tier: str | None = None,
    names: Collection[str] | None = None,
    dtype: str | None = None,
    budget: int = 100,
    seed: int = 0,
    shrink: bool = True,
) -> Report:
    """Return a verdict on every property of a kind, or only those of one tier or those named, for any callable.

    `budget` is the number of cases for each property; the same seed gives the same cases. With shrink=False the first
    counterexample is reported instead of the smallest. `dtype` is float32 or float64, to judge it in that one only.
    The callable receives arrays by position, and `axis` or `reduction` by keyword. It is judged on what it takes, in
    the dtype that it returns. Whatever it raises or returns becomes a verdict.
    Errors: ValueError for a kind, a tier, a name or a dtype that does not exist, or a budget below 1; TypeError for an
    implementation that cannot be called, and for a budget, a seed or names of a wrong type.

    >>> from scratchlm import functional, naive, properties
    >>> all(verdict.passed for verdict in properties.examine("softmax", functional.softmax, budget=5))
    True
    >>> report = properties.examine("softmax", lambda z, axis=-1: np.exp(z) / np.exp(z).sum(), budget=5)
    >>> [verdict.property.name for verdict in report if not verdict.passed][0]
    'a distribution'
    """
    asked = chosen(kind, implementation, tier, names)
    if dtype not in (None, "float32", "float64"):
        raise ValueError(f"dtype must be float32 or float64, not {dtype!r}")
    budget, seed = whole("budget", budget, least=1), whole("seed", seed, least=0)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        verdicts = _examined_as_a_whole(kind, asked, implementation, dtype, budget, seed, shrink)
    return Report(kind, tuple(verdicts))


def chosen(
    kind: str, implementation: Callable[..., Any], tier: str | None, names: Collection[str] | None
) -> list[Property]:
    """Return the requested properties of a kind. Errors: as for `examine`."""
    if not isinstance(kind, str) or kind not in PROPERTIES:
        raise ValueError(f"kind must be one of {', '.join(PROPERTIES)}, not {kind!r}")
    if tier not in (None, *TIERS):
        raise ValueError(f"tier must be one of {', '.join(TIERS)}, not {tier!r}")
    if not callable(implementation):
        raise TypeError(f"implementation must be a function, not {implementation!r}")
    if isinstance(names, str) or not isinstance(names, Collection | None):
        raise TypeError(f"names must be a list of names of properties, not {names!r}")
    known = [p.name for p in PROPERTIES[kind]]
    if unknown := [str(name) for name in names or () if name not in known]:
        raise ValueError(f"{kind} has no property {', '.join(unknown)}")
    return [p for p in PROPERTIES[kind] if tier in (None, p.tier) and (names is None or p.name in names)]


def _examined_as_a_whole(
    kind: str,
    properties: list[Property],
    f: Callable[..., Any],
    dtype: str | None,
    budget: int,
    seed: int,
    shrink: bool,
) -> list[Verdict]:
    try:
        way = find_way(kind, f)
    except Unanswered as nothing:
        return [unanswered(kind, nothing)]
    if dtype:
        way = replace(way, dtypes=(np.dtype(dtype).type,))
    verdicts = judged(kind, properties, way, budget=budget, seed=seed, shrink=shrink)
    if wrong := way.forgotten():
        return [_of_a_mismatch(kind, AGAIN, wrong)]
    if all(v.passed or v.property.tier == "accuracy" for v in verdicts):
        return verdicts
    diagnosis = diagnose(way)
    return [v if v.passed else replace(v, diagnosis=diagnosis) for v in verdicts]


def unanswered(kind: str, nothing: Unanswered) -> Verdict:
    """Return the only verdict on a function with nothing to judge."""
    raised = isinstance(nothing.actual, BaseException)
    actual = described(nothing.actual) if raised else shown(nothing.actual)
    diagnosis = diagnose(nothing.way) if nothing.way else ""
    return Verdict(kind, ANSWERS, False, "", nothing.expected, actual, nothing.what, raised, diagnosis)


def judged(
    kind: str,
    properties: Sequence[Property],
    f: Callable[..., Any],
    *,
    budget: int = 100,
    seed: int = 0,
    shrink: bool = True,
) -> list[Verdict]:
    """Return a verdict on each of these properties, which need not be in PROPERTIES, for a callable or its `Way`."""
    if kind in KINDS and not isinstance(f, Way):
        try:
            f = find_way(kind, f)
        except Unanswered as nothing:
            return [unanswered(kind, nothing)]
    dtypes = f.dtypes if isinstance(f, Way) else ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hypothesis.configuration.set_hypothesis_home_dir(NOWHERE)
        try:
            return [
                _examined(kind, p, f, budget, seed, shrink) for p in properties if p.dtype is None or p.dtype in dtypes
            ]
        finally:
            hypothesis.configuration.set_hypothesis_home_dir(None)


def _examined(kind: str, p: Property, f: Callable[..., Any], budget: int, seed: int, shrink: bool) -> Verdict:
    try:
        case = _failing_case(p, f, budget, seed, shrink)
    except hypothesis.errors.Flaky:
        return Verdict(kind, p, passed=False, message="it gives different answers for the same input")
    if case is None:
        return Verdict(kind, p, passed=True)
    failure = _failure(p, f, case)
    if isinstance(failure, Mismatch):
        return _of_a_mismatch(kind, p, failure, as_python(case))
    if failure is None:
        return Verdict(kind, p, False, as_python(case), message="it gives different answers for the same input")
    what = "it raised an exception, or returned something that cannot be compared"
    return Verdict(kind, p, False, as_python(case), "a result", described(failure), what, raised=True)


def _failing_case(p: Property, f: Callable[..., Any], budget: int, seed: int, shrink: bool) -> Case | None:
    """Return a case on which a property fails: a small one, a large one, or one that is always tried."""
    cast = f.cast if isinstance(f, Way) else lambda case: case
    settings = hypothesis.settings(
        max_examples=budget,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink][: 1 + bool(shrink)],
        suppress_health_check=list(hypothesis.HealthCheck),
    )

    def find(count: int) -> Case:
        return hypothesis.find(
            p.cases.map(cast),
            lambda case: _failure(p, f, case) is not None,
            settings=hypothesis.settings(settings, max_examples=count),
            random=random.Random(seed),
        )

    with suppress(hypothesis.errors.NoSuchExample):
        return find(budget)
    with large_rows(), suppress(hypothesis.errors.NoSuchExample):
        return find(1)
    return next((case for case in map(cast, p.always) if _failure(p, f, case) is not None), None)


def _of_a_mismatch(kind: str, p: Property, wrong: Mismatch, counterexample: str = "") -> Verdict:
    return Verdict(kind, p, False, counterexample, shown(wrong.expected), shown(wrong.actual), wrong.what)


def _failure(p: Property, f: Callable[..., Any], case: Case) -> BaseException | None:
    """Return what goes wrong with a case, if anything. The case is copied: f may write into its arguments."""
    copy = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    try:
        with np.errstate(all="ignore"):
            p.check(f, **copy)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # whatever it is, even sys.exit, is the implementation's own doing
        return failure
    return None
