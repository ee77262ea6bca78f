"""A class's own rules: the exercises, their points, the deadline, and the students.

In: `class.toml` beside the submissions, and a roster. Out: the rules, and a student's marks: the numbers in the
gradebook. If only a rule about points changes, nothing is graded again.
"""

import csv
import datetime
import fnmatch
import io
import math
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from scratchlm.terminal import in_one_line, in_words

FULL = 10.0  # points of an exercise, before the class's own rules
KNOWN: dict[str, Any] = {
    "exercises": list, "seed": int, "budget": int, "seconds": (int, float), "stars": bool, "points": dict,
    "weights": dict, "own": str, "deadline": (datetime.datetime, datetime.date), "deduction": (int, float),
}  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """The exercises of a class, and their points.

    `points` gives the points of exercises that are not worth 10, `weights` how often each counts in the total. After
    the `deadline`, every started day costs `deduction` percent of the total. `own` is a folder of your own exercises.
    """

    exercises: tuple[int, ...] = ()
    seed: int = 0
    budget: int = 30
    seconds: float = 3.0
    stars: bool = True
    points: Mapping[int, float] = field(default_factory=dict)
    weights: Mapping[int, float] = field(default_factory=dict)
    own: Path | None = None
    deadline: datetime.datetime | None = None
    deduction: float = 0.0

    def worth(self, number: int) -> float:
        """Return the points of an exercise."""
        return self.points.get(number, FULL)

    def whole(self, numbers: Iterable[int]) -> float:
        """Return the highest total of these exercises, without stars."""
        return sum(self.worth(number) * self.weights.get(number, 1.0) for number in numbers)


def rules_in(path: Path) -> Rules:
    """Return the rules in a class.toml. Errors: OSError if it cannot be read; ValueError for anything but a rule."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"{path}: {in_one_line(error)}") from None
    for name, value in table.items():
        if name not in KNOWN:
            raise ValueError(f"{path}: there is no rule {name!r}; the rules are {', '.join(KNOWN)}")
        if not isinstance(value, KNOWN[name]) or (isinstance(value, bool) and KNOWN[name] is not bool):
            raise ValueError(f"{path}: {name} cannot be {value!r}; for example: {EXAMPLES[name]}")
    rules = Rules(**{name: value for name, value in table.items() if name not in ("points", "weights", "own")})
    return replace(
        rules,
        exercises=_whole_numbers(path, rules.exercises),
        points=_by_number(path, "points", table.get("points", {})),
        weights=_by_number(path, "weights", table.get("weights", {})),
        own=path.parent / table["own"] if "own" in table else None,
        deadline=_moment(rules.deadline) if rules.deadline else None,
    )


EXAMPLES = {
    "exercises": "exercises = [1, 2, 3]", "seed": "seed = 2026", "budget": "budget = 30", "seconds": "seconds = 3",
    "stars": "stars = false", "points": "points = { 1 = 20 }", "weights": "weights = { 1 = 0.5 }",
    "own": 'own = "exercises"', "deadline": "deadline = 2026-12-01T23:59:00", "deduction": "deduction = 10",
}  # fmt: skip


def _whole_numbers(path: Path, numbers: Any) -> tuple[int, ...]:
    if not all(type(number) is int for number in numbers):
        raise ValueError(f"{path}: exercises must be numbers; for example: {EXAMPLES['exercises']}")
    return tuple(dict.fromkeys(numbers))


def _by_number(path: Path, name: str, table: dict[str, Any]) -> dict[int, float]:
    """Return a table whose keys are numbers of exercises. Errors: ValueError."""
    for key, value in table.items():
        if not key.isdecimal() or type(value) not in (int, float) or not 0 <= value < math.inf:
            raise ValueError(f"{path}: {name} cannot hold {key} = {value!r}; for example: {EXAMPLES[name]}")
    return {int(key): float(value) for key, value in table.items()}


def _moment(when: datetime.date) -> datetime.datetime:
    """Return a deadline as a moment: a day ends with its last second; local time, if it names no zone."""
    if not isinstance(when, datetime.datetime):
        when = datetime.datetime.combine(when, datetime.time(23, 59, 59))
    return when.astimezone()


# --- who is in the class ---------------------------------------------------------------------------------------------


class Enrolled(NamedTuple):
    """A row of the roster: a name or a pattern for it, the id, and the time of submission, if known."""

    name: str
    id: str
    handed_in: datetime.datetime | None = None

    def is_called(self, student: str) -> bool:
        """Return whether the row names this student, ignoring case."""
        return fnmatch.fnmatchcase(student.casefold(), self.name.casefold())


def roster_in(path: Path) -> list[Enrolled]:
    """Return the rows of a roster: a table whose columns are called name, id and, if there is one, handed_in.

    The name may be a pattern, as in `doe*`. Errors: OSError if it cannot be read; ValueError for anything else.
    """
    text = path.read_text(encoding="utf-8-sig")
    first = text.partition("\n")[0]
    between = max(",;\t", key=first.count)
    table = csv.DictReader(io.StringIO(text), delimiter=between)
    columns = [name.strip().lower() for name in table.fieldnames or ()]
    table.fieldnames = columns
    if not {"name", "id"} <= set(columns):
        raise ValueError(f"{path}: the first line must name the columns: name,id (and handed_in); it is {first!r}")
    rows = []
    for row in table:
        if name := (row["name"] or "").strip():
            when = (row.get("handed_in") or "").strip()
            try:
                moment = datetime.datetime.fromisoformat(when).astimezone() if when else None
            except ValueError:
                raise ValueError(
                    f"{path}: {name} cannot have handed in {when!r}; for example: 2026-12-01T20:15"
                ) from None
            rows.append(Enrolled(name, (row["id"] or "").strip(), moment))
    return rows


# --- marks -----------------------------------------------------------------------------------------------------------


class Marks(NamedTuple):
    """A student's numbers: points by exercise, points for stars, the deduction for lateness, and the total."""

    exercises: dict[int, float]
    stars: float
    late: float
    total: float


def marks_of(reports: list[dict[str, Any]], numbers: list[int], rules: Rules, handed_in: float | None) -> Marks:
    """Return the marks for graded reports; `handed_in` is the time of the last file that counts, in seconds."""
    required = {report["exercise"]: report["required"] for report in reports}
    stars = {report["exercise"]: report["stars"] for report in reports}
    points = {number: required.get(number, 0.0) * rules.worth(number) / FULL for number in numbers}
    extra = sum(stars.get(n, 0.0) * rules.worth(n) / FULL * rules.weights.get(n, 1.0) for n in numbers) * rules.stars
    whole = sum(points[number] * rules.weights.get(number, 1.0) for number in numbers) + extra
    late = whole * min(1.0, days_late(rules, handed_in) * rules.deduction / 100)
    rounded = {number: round(value, 2) for number, value in points.items()}
    return Marks(rounded, round(extra, 2), round(late, 2), round(whole - late, 2))


def days_late(rules: Rules, handed_in: float | None) -> int:
    """Return how many days had started between the deadline and the submission.

    >>> rules = Rules(deadline=datetime.datetime.fromtimestamp(1_000_000).astimezone())
    >>> days_late(rules, 1_000_000), days_late(rules, 1_000_001), days_late(rules, 1_000_001 + 86_400)
    (0, 1, 2)
    """
    if rules.deadline is None or handed_in is None:
        return 0
    return max(0, math.ceil((handed_in - rules.deadline.timestamp()) / 86_400))


def read(path: Path, what: Any) -> Any:
    """Return the result of reading a file with a function. Errors: ValueError in one line, even if unreadable."""
    try:
        return what(path)
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: {in_words(error)}") from None
