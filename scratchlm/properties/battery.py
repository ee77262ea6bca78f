"""What a property is, and what becomes of it: `Property`, the table `PROPERTIES`, `examine`, and its `Verdict`."""

import inspect
import random
import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hypothesis
import numpy as np
from hypothesis import strategies as st

from scratchlm._engine.checks import whole
from scratchlm.terminal import described

Case = dict[str, Any]


@dataclass(frozen=True)
class Property:
    """An identity: how it is written on the board, why it matters, what to look for if it fails, and the check itself.

    `cases` draws arguments by name; `check(f, **case)` returns, or raises an exception that says what is wrong.
    `always` are cases that are tried whatever the seed, since chance might miss them.
    """

    name: str
    identity: str
    why: str
    hint: str
    cases: st.SearchStrategy[Case]
    check: Callable[..., None]
    tier: str = "identities"
    always: tuple[Case, ...] = ()


@dataclass(frozen=True)
class Verdict:
    """What became of a property: passed, or the smallest case on which it failed, as Python, and what was wrong.

    `raised` tells if it failed by an exception, and not by a wrong result.
    """

    kind: str
    property: Property
    passed: bool
    counterexample: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    raised: bool = False


class Mismatch(AssertionError):
    """The implementation gave another answer than the identity demands."""

    def __init__(self, what: str, expected: Any, actual: Any) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual = what, expected, actual


NOWHERE = Path(__file__) / "nothing"  # below a file: Hypothesis can keep nothing there, and does without

Table = dict[str, list[Property]]
PROPERTIES: Table = {}
Implementation = Callable[..., Any]


def property_of(
    kind: str,
    name: str,
    identity: str,
    *,
    why: str,
    hint: str,
    cases: st.SearchStrategy[Case],
    tier: str = "identities",
    always: tuple[Case, ...] = (),
    table: Table = PROPERTIES,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter the check that follows into a table, under its kind."""

    def enter(check: Callable[..., None]) -> Callable[..., None]:
        table.setdefault(kind, []).append(Property(name, identity, why, hint, cases, check, tier, always))
        return check

    return enter


def examine(
    kind: str,
    implementation: Callable[..., Any],
    *,
    tier: str | None = None,
    names: Collection[str] | None = None,
    budget: int = 100,
    seed: int = 0,
    shrink: bool = True,
) -> list[Verdict]:
    """Return a verdict on every property of a kind, or of one tier, or of those named, for any callable.

    `budget` is the number of cases for each property; the same seed gives the same cases. With shrink=False the first
    counterexample will do, instead of the smallest. The callable is given arrays by position, and `axis` or `reduction`
    by keyword. It can raise, or return, what it likes: that becomes a verdict.
    Errors: ValueError for a kind, a tier or a name that does not exist, or a budget below 1; TypeError for an
    implementation that cannot be called, and for a budget, a seed or names of a wrong type.

    >>> from scratchlm import functional, naive, properties
    >>> all(verdict.passed for verdict in properties.examine("softmax", functional.softmax, budget=5))
    True
    >>> failed = [v for v in properties.examine("log_softmax", naive.log_softmax, budget=5) if not v.passed]
    >>> failed[0].property.name
    'any level'
    """
    if not isinstance(kind, str) or kind not in PROPERTIES:
        raise ValueError(f"kind must be one of {', '.join(PROPERTIES)}, not {kind!r}")
    if tier not in (None, "identities", "accuracy"):
        raise ValueError(f"tier must be identities or accuracy, not {tier!r}")
    if not callable(implementation):
        raise TypeError(f"implementation must be a function, not {implementation!r}")
    budget, seed = whole("budget", budget, least=1), whole("seed", seed, least=0)
    if isinstance(names, str) or not isinstance(names, Collection | None):
        raise TypeError(f"names must be a list of names of properties, not {names!r}")
    known = [p.name for p in PROPERTIES[kind]]
    if unknown := [str(name) for name in names or () if name not in known]:
        raise ValueError(f"{kind} has no property {', '.join(unknown)}")
    chosen = [p for p in PROPERTIES[kind] if tier in (None, p.tier) and (names is None or p.name in names)]
    return judged(kind, chosen, implementation, budget=budget, seed=seed, shrink=shrink)


def judged(
    kind: str,
    properties: Sequence[Property],
    implementation: Callable[..., Any],
    *,
    budget: int = 100,
    seed: int = 0,
    shrink: bool = True,
) -> list[Verdict]:
    """Return a verdict on each of these properties, which need not stand in PROPERTIES; `examine` says how."""
    f = _adapted(implementation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        hypothesis.configuration.set_hypothesis_home_dir(NOWHERE)
        try:
            return [_examined(kind, p, f, budget, seed, shrink) for p in properties]
        finally:
            hypothesis.configuration.set_hypothesis_home_dir(None)


def _examined(kind: str, p: Property, f: Callable[..., Any], budget: int, seed: int, shrink: bool) -> Verdict:
    settings = hypothesis.settings(
        max_examples=budget,
        database=None,
        deadline=None,
        phases=[hypothesis.Phase.generate, hypothesis.Phase.shrink][: 1 + bool(shrink)],
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        case = hypothesis.find(
            p.cases, lambda case: _failure(p, f, case) is not None, settings=settings, random=random.Random(seed)
        )
    except hypothesis.errors.NoSuchExample:
        failing = [case for case in p.always if _failure(p, f, case) is not None]
        if not failing:
            return Verdict(kind, p, passed=True)
        case = failing[0]
    except hypothesis.errors.Flaky:
        return Verdict(kind, p, passed=False, message="it gives different answers for the same input")
    failure = _failure(p, f, case)
    text = as_python(case)
    if isinstance(failure, Mismatch):
        return Verdict(kind, p, False, text, _shown(failure.expected), _shown(failure.actual), failure.what)
    if failure is None:
        return Verdict(kind, p, False, text, message="it gives different answers for the same input")
    raised = described(failure)
    return Verdict(
        kind,
        p,
        False,
        text,
        "a result",
        raised,
        "it raised an exception, or returned what cannot be compared",
        raised=True,
    )


def _failure(p: Property, f: Callable[..., Any], case: Case) -> BaseException | None:
    """Return what goes wrong with a case, if anything. The case is copied: f may write into what it is given."""
    copy = {name: value.copy() if isinstance(value, np.ndarray) else value for name, value in case.items()}
    try:
        with np.errstate(all="ignore"):
            p.check(f, **copy)
    except KeyboardInterrupt:
        raise
    except BaseException as failure:  # whatever it is, sys.exit included, it is the implementation's own doing
        return failure
    return None


def _adapted(implementation: Callable[..., Any]) -> Callable[..., Any]:
    """Return f(*arrays, **options), without an option that f does not have, if it only asks for the default."""
    try:
        parameters = inspect.signature(implementation).parameters
    except KeyboardInterrupt:
        raise
    except BaseException:  # written in C, without a signature; or by somebody who raises when asked for it
        return implementation
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return implementation
    defaults = {"axis": -1, "reduction": "mean"}

    def f(*arrays: Any, **options: Any) -> Any:
        return implementation(
            *arrays, **{name: o for name, o in options.items() if name in parameters or o != defaults[name]}
        )

    return f


def as_python(case: Case) -> str:
    """Return a case as lines of Python.

    >>> print(as_python({"logits": np.float32([0, np.inf]), "axis": -1}))
    logits = np.array([0.0, np.inf], dtype=np.float32)
    axis = -1
    """
    return "\n".join(f"{name} = {_python(value)}" for name, value in case.items())


def _python(value: Any) -> str:
    if not isinstance(value, np.ndarray):
        return repr(value)

    def nested(part: Any) -> str:
        if np.ndim(part):
            return f"[{', '.join(nested(item) for item in part)}]"
        return str(part) if np.isfinite(part) else f"{'-' if part < 0 else ''}np.{'nan' if np.isnan(part) else 'inf'}"

    return f"np.array({nested(value)}, dtype=np.{value.dtype.name})"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        array = np.asarray(value)
    except Exception as error:  # a stranger's object that was an array when it was compared
        return described(error)
    plain = array + 0.0 if array.dtype.kind == "f" else array  # -0 looks like a riddle
    return np.array2string(plain, floatmode="unique", threshold=20)
