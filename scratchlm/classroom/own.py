"""A teacher's own exercises: a folder with a stub, a page of properties and a solution for each, without a fork.

In: `ex14_entropy.py`, the stub; `ex14_entropy_page.py`, its properties; `ex14_entropy_solution.py`. Out: exercises like
those of the package. A function of arrays gets some properties automatically: a batch is its rows, any axis works,
float32 stays float32, the input is unchanged, and there are no warnings.
"""

import inspect
import re
import runpy
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm.classroom.exercises import EXERCISES, Exercise, Part, hand_out
from scratchlm.properties import Property
from scratchlm.properties.battery import Case, Implementation, Mismatch, Table, property_of
from scratchlm.properties.compare import near, numbers
from scratchlm.properties.inputs import also, masked_rows, only, rows
from scratchlm.terminal import described

__all__ = ["EPS", "also", "masked_rows", "near", "numbers", "only", "rows", "task"]  # what a page uses

EPS = float(np.finfo(np.float64).eps)
STUB = re.compile(r"ex(\d{1,3})_(\w+)\.py")
OTHERS = ("_page", "_solution")
BATCH, AXIS, FLOAT32 = "a batch is its rows", "any axis", "float32 stays float32"
UNTOUCHED_INPUT, QUIET = "input untouched", "no warnings"
# Rows that are summed in another order differ by some roundings; with 1000 of them, no mistake is as small.
ROUNDINGS = 1000
_page: ContextVar[Table] = ContextVar("_page")


def task(
    function: str, name: str, identity: str, *, why: str, hint: str, cases: st.SearchStrategy[Case]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Enter the check that follows as a property of a function: see the classroom's README for an example."""
    return property_of(function, name, identity, why=why, hint=hint, cases=cases, table=_page.get())


def enter(folder: Path) -> dict[int, Exercise]:
    """Add the exercises of a folder to those that there are, and return them. Errors: as `own_exercises`."""
    found = own_exercises(folder)
    EXERCISES.update(found)
    return found


def own_exercises(folder: Path) -> dict[int, Exercise]:
    """Return the exercises of a folder by number.

    Errors: OSError if it cannot be read; ValueError if an exercise is not whole: the line says what is wrong.
    """
    found: dict[int, Exercise] = {}
    for path in sorted(folder.iterdir()):
        match = STUB.fullmatch(path.name)
        if match and not path.stem.endswith(OTHERS):
            number = int(match[1])
            if number in found or (number in EXERCISES and not isinstance(EXERCISES[number], OwnExercise)):
                raise ValueError(f"{path}: there is an exercise {number} already; take another number")
            found[number] = _own_exercise(number, path)
    if not found:
        raise ValueError(
            f"{folder} contains no exercise; exercise new {folder} {max(EXERCISES) + 1} entropy writes one"
        )
    return found


@dataclass(frozen=True)
class OwnExercise(Exercise):
    """An exercise of a teacher's own, and where its stub lies."""

    place: Path = Path()

    @property
    def stub(self) -> str:
        """Return the text of the file that a student gets a copy of."""
        return self.place.read_text(encoding="utf-8")


def _own_exercise(number: int, stub: Path) -> OwnExercise:
    """Return the exercise of a stub. Errors: ValueError."""
    page = stub.with_name(f"{stub.stem}_page.py")
    if not page.is_file():
        raise ValueError(f"{stub} has no page of properties; write it to {page}")
    head = re.match(rf'"""Exercise {number}: ([^\n"]+)', stub.read_text(encoding="utf-8"))
    if head is None:
        raise ValueError(f'{stub} must begin """Exercise {number}: and say what it is about')
    token = _page.set({})
    try:
        names = runpy.run_path(str(page))
        asked = _page.get()
    except Exception as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(page)]
        where = f", line {lines[-1] if lines else getattr(error, 'lineno', '?')}"
        raise ValueError(f"{page}{where}: {described(error)}") from None
    finally:
        _page.reset(token)
    if not asked:
        raise ValueError(f"{page} has no property; it needs a @task for each")
    given = runpy.run_path(str(stub))
    left_out = frozenset(names.get("EXCEPT", ()))
    parts = []
    for function, properties in asked.items():
        if not callable(given.get(function)):
            raise ValueError(f"{page} asks for {function}, but {stub} has no such function")
        more = [p for p in _by_themselves(given[function], properties) if p.name not in left_out]
        parts.append(Part(function, "own", own=(*properties, *more)))
    hints = tuple(names.get("HINTS", ())) or ("There is no hint for this one.",)
    return OwnExercise(number, head[1].strip(" ."), stub.name, tuple(parts), hints, stub)


# --- what comes by itself --------------------------------------------------------------------------------------------


def _by_themselves(function: Callable[..., Any], properties: list[Property]) -> list[Property]:
    """Return the manners of a function of arrays, on the cases of its own properties."""
    cases = st.one_of([p.cases for p in properties]).filter(lambda case: any(map(_is_rows, case.values())))
    two = st.tuples(cases, cases)
    manners = [_manner(BATCH, "f([row, other row]) = [f(row), f(other row)]", two.map(_pair), _of_rows)]
    if "axis" in inspect.signature(function).parameters:
        manners.append(_manner(AXIS, "f(z.T, axis=0) = f(z, axis=-1)", two.map(_pair), _of_an_axis))
    manners.append(_manner(FLOAT32, "float32 in, float32 out", cases, _keeps_float32))
    manners.append(_manner(UNTOUCHED_INPUT, "f(z) leaves z as it was", cases, _leaves_its_input))
    manners.append(_manner(QUIET, "no overflow, no division by 0, no log of 0 on the way", cases, _is_quiet))
    return manners


HINTS_OF = {
    BATCH: "Sum, or take the maximum, along the last axis: axis=-1, and keepdims=True where the shapes must fit again.",
    AXIS: "Pass the axis to every sum and maximum: axis=axis.",
    FLOAT32: "np.float64 constants and np.zeros turn float32 into float64; np.zeros_like and .astype(z.dtype) do not.",
    UNTOUCHED_INPUT: "z -= ... and z[...] = ... write into the caller's array. Make a new one.",
    QUIET: "Which number on the way is 0 or too large? Replace it before the step that warns.",
}


def _manner(name: str, identity: str, cases: Any, check: Callable[..., None]) -> Property:
    why = "Callers pass batches in any dtype, and keep using their arrays afterwards."
    return Property(name, identity, why, HINTS_OF[name], cases, lambda f, **case: check(f, case), "manners")


def _is_rows(value: Any) -> bool:
    return isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.ndim > 0


def _pair(both: tuple[Case, Case]) -> Case:
    """Return two cases as one with a first axis of 2; one of them twice, if they do not fit together."""
    one, other = both
    fits = all(np.shape(a) == np.shape(other[name]) for name, a in one.items() if name in other) and list(one) == list(
        other
    )
    same = fits and all(a == other[name] for name, a in one.items() if not isinstance(a, np.ndarray))
    other = other if same else one
    return {name: np.stack([a, other[name]]) if isinstance(a, np.ndarray) else a for name, a in one.items()}


def _row(case: Case, index: int) -> Iterator[Any]:
    return (a[index].copy() if isinstance(a, np.ndarray) else a for a in case.values())


def _close(actual: Any, expected: Any, what: str) -> None:
    expected = numbers(expected)
    eps = ROUNDINGS * float(np.finfo(expected.dtype).eps)
    near(actual, expected, what, rtol=eps, atol=eps)


def _of_rows(f: Implementation, case: Case) -> None:
    alone = np.stack([numbers(f(*_row(case, index))) for index in range(2)])
    _close(f(*_copied(case)), alone, "the rows in a batch, and alone")


def _of_an_axis(f: Implementation, case: Case) -> None:
    last = numbers(f(*_copied(case), axis=-1))
    moved = {name: np.moveaxis(a, -1, 0) if isinstance(a, np.ndarray) else a for name, a in case.items()}
    first = numbers(f(*_copied(moved), axis=0))
    entry_by_entry = first.ndim == max(a.ndim for a in moved.values() if isinstance(a, np.ndarray))
    _close(np.moveaxis(first, 0, -1) if entry_by_entry else first, last, "along axis 0, of the transpose")


def _keeps_float32(f: Implementation, case: Case) -> None:
    small = {name: a.astype(np.float32) if _is_rows(a) else a for name, a in case.items()}
    result = numbers(f(*_copied(small)))
    if result.dtype != np.float32:
        raise Mismatch("the dtype", "float32", str(result.dtype))


def _leaves_its_input(f: Implementation, case: Case) -> None:
    given = _copied(case)
    f(*given)
    for name, before, after in zip(case, case.values(), given, strict=True):
        if isinstance(before, np.ndarray) and before.tobytes() != after.tobytes():
            raise Mismatch(f"{name} was changed", before, after)


def _is_quiet(f: Implementation, case: Case) -> None:
    with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
        warnings.simplefilter("always")
        f(*_copied(case))
    if caught:
        raise Mismatch("it warns", "no warning", str(caught[0].message))


def _copied(case: Case) -> list[Any]:
    return [a.copy() if isinstance(a, np.ndarray) else a for a in case.values()]


# --- a new one -------------------------------------------------------------------------------------------------------

TEMPLATES = Path(__file__).parent / "templates"


def new_exercise(folder: Path, number: int, name: str) -> list[tuple[Path, bool]]:
    """Write a stub, a page and a solution that pass as they are; return their places, and whether each was made.

    Errors: ValueError for a number that is taken, or a name that no function can have; OSError if it cannot be written.
    """
    if number in EXERCISES and not isinstance(EXERCISES[number], OwnExercise):
        raise ValueError(f"there is an exercise {number} already; the next free number is {max(EXERCISES) + 1}")
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot be the name of a function; use small letters, digits and _, as in entropy")
    folder.mkdir(parents=True, exist_ok=True)
    made = []
    for kind in ("", *OTHERS):
        text = Template((TEMPLATES / f"stub{kind}.txt").read_text(encoding="utf-8"))
        place = folder / f"ex{number:02}_{name}{kind}.py"
        made.append((place, hand_out(text.substitute(number=number, name=name), place)))
    return made


def solution_of(exercise: OwnExercise) -> Path:
    """Return where the solution of an exercise lies."""
    return exercise.place.with_name(f"{exercise.place.stem}_solution.py")
