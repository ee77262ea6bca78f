"""The outcome of judging: a line with a mark for each property, and a report with the lines of an exercise.

In: nothing. Out: plain values. The grader fills them, a report prints them (`paper.py`), a gradebook adds them up
(`sheets.py`).
"""

from dataclasses import asdict, dataclass, field
from typing import Any

POINTS, BONUS = 10.0, 2.0  # for all required properties of an exercise together, and for all starred ones together
HOLDS, FAILS, UNTOUCHED = "✓", "✗", "–"


@dataclass(frozen=True)
class Line:
    """The outcome of a property: its mark, its points and the comments on it.

    `message` says what was compared. `note` is for everything else: that nothing was written yet, that the process was
    lost, or why a mark does not count. `diagnosis` names the mistake, if it is a known one. `raised` is the exception
    that made the property fail, if any. If `forgiven`, another line has already paid for the failure.
    """

    function: str
    name: str
    identity: str
    mark: str
    starred: bool
    possible: float
    counterexample: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    hint: str = ""
    note: str = ""
    diagnosis: str = ""
    counts: bool = True
    raised: str = ""
    forgiven: bool = False

    @property
    def points(self) -> float:
        """Return the points that the line earned."""
        return self.possible if self.forgiven or (self.mark == HOLDS and self.counts) else 0.0


@dataclass(frozen=True)
class Report:
    """The outcome of an exercise: its lines, the submission's printed output and the points.

    `trouble` says why there is nothing to judge, if so. `remarks` say which of several files was used. `troubles` list
    what is missing and what went wrong while the file ran.
    """

    exercise: int
    title: str
    file: str
    lines: list[Line] = field(default_factory=list)
    printed: str = ""
    trouble: str = ""
    remarks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    @property
    def required_points(self) -> float:
        """Return the points for the required properties, to the hundredth."""
        return round(sum(line.points for line in self.lines if not line.starred), 2)

    @property
    def star_points(self) -> float:
        """Return the points for stars, to the hundredth."""
        return round(sum(line.points for line in self.lines if line.starred), 2)

    @property
    def points(self) -> float:
        """Return the points, including those for stars."""
        return round(self.required_points + self.star_points, 2)

    @property
    def passed(self) -> bool:
        """Return whether all required properties hold."""
        return all(line.mark == HOLDS for line in self.lines if not line.starred)

    @property
    def attempted(self) -> bool:
        """Return whether the student attempted anything."""
        return bool(self.trouble) or any(line.mark != UNTOUCHED for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return the report as plain values."""
        numbers = {"points": self.points, "required": self.required_points, "stars": self.star_points}
        return {**asdict(self), **numbers, "passed": self.passed}
