"""What a property is and how it turned out: `Property`, the table `PROPERTIES`, and `Verdict`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm.terminal import described

Case = dict[str, Any]
TIERS = {
    "identities": "the mathematics: what is true of every correct implementation, including the textbook's",
    "manners": "how it treats its arguments: any shape, axis and layout, same dtype, nothing changed, no warnings",
    "accuracy": "the error against 60-digit results, in units in the last place",
}


@dataclass(frozen=True)
class Property:
    """An identity: how to write it on the board, why it matters, what to look for if it fails, and the check itself.

    `cases` draws arguments by name; `check(f, **case)` returns, or raises an exception that says what is wrong.
    `always` lists cases that are tried whatever the seed, because chance might miss them. `dtype` is set if the
    property concerns only that one.
    """

    name: str
    identity: str
    why: str
    hint: str
    cases: st.SearchStrategy[Case]
    check: Callable[..., None]
    tier: str = "identities"
    always: tuple[Case, ...] = ()
    dtype: Any = None


@dataclass(frozen=True)
class Verdict:
    """The outcome of a property: passed, or the smallest failing case, as Python, and what was wrong.

    `raised` says whether it failed with an exception rather than a wrong result. `diagnosis` names the mistake, if it
    is a known one.
    """

    kind: str
    property: Property
    passed: bool
    counterexample: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    raised: bool = False
    diagnosis: str = ""


class Mismatch(AssertionError):
    """The implementation's answer is not what the identity demands."""

    def __init__(self, what: str, expected: Any, actual: Any) -> None:
        super().__init__(what)
        self.what, self.expected, self.actual = what, expected, actual


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
    dtype: Any = None,
    table: Table = PROPERTIES,
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter the decorated check into a table, under its kind."""

    def enter(check: Callable[..., None]) -> Callable[..., None]:
        table.setdefault(kind, []).append(Property(name, identity, why, hint, cases, check, tier, always, dtype))
        return check

    return enter


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


def shown(value: Any) -> str:
    if isinstance(value, str):
        return value
    try:
        array = np.asarray(value)
    except Exception as error:  # a foreign object that was an array when it was compared
        return described(error)
    plain = array + 0.0 if array.dtype.kind == "f" else array  # -0 would only puzzle the reader
    return np.array2string(plain, floatmode="unique", threshold=20)
