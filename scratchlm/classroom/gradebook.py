"""A whole class: every submission graded by itself, and the results saved so that an interruption loses nothing.

In: the students, and a folder. Out: in that folder, a report for each student as text and as JSON, and `gradebook.csv`;
with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Generator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from scratchlm.classroom.answers import is_answered
from scratchlm.classroom.apart import done_apart
from scratchlm.classroom.exercises import EXERCISES, Exercise
from scratchlm.classroom.found import Found, found_in
from scratchlm.classroom.grader import check, checked
from scratchlm.classroom.marks import Report
from scratchlm.classroom.own import enter
from scratchlm.classroom.paper import as_text
from scratchlm.classroom.rules import Enrolled, Rules
from scratchlm.classroom.sandbox import Submission, Unable
from scratchlm.classroom.sheets import UNGRADED, Book, as_test, not_handed_in, ungraded
from scratchlm.classroom.students import Student
from scratchlm.files import try_to_write
from scratchlm.terminal import in_one_line

PLAIN = Rules()  # ten points for each exercise, and no deadline
UNREAD = "not all of it could be read"
NOT_READ, FAILED = " could not be read: ", " failed: "  # the two ways in which a file goes wrong


@dataclass(frozen=True)
class Effort:
    """What is graded, and how: the numbers of the exercises, the seed, cases for a property, the limit for a call.

    `own` is a folder of a teacher's own exercises.
    """

    numbers: list[int]
    seed: int
    budget: int
    seconds: float
    own: Path | None = None

    def exercises(self) -> list[Exercise]:
        """Return the exercises, in a process that may have begun anew."""
        if self.own:
            enter(self.own)
        return [EXERCISES[number] for number in self.numbers]


def check_one(path: Path, effort: Effort) -> Report:
    """Return what becomes of the one exercise in a file or folder. Errors: as `check`."""
    (exercise,) = effort.exercises()
    return check(exercise, path, seed=effort.seed, budget=effort.budget, seconds=effort.seconds)


def grade(
    students: list[Student],
    out: Path,
    effort: Effort,
    *,
    rules: Rules = PLAIN,
    roster: list[Enrolled] | None = None,
    gradescope: bool = False,
    workers: int = 1,
) -> Generator[tuple[str, float | None, str], None, None]:
    """Grade every student, several at a time; give label, total (None if it could not be done) and a note, one by one.

    What was graded in the same way, from the same files, is not graded again; what it is worth may have changed.
    Errors: OSError if out is not to be written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    book = Book(out, effort.numbers, rules, roster)
    try_to_write(book.path)  # fail now, not after an hour of grading
    left = {}
    for student in students:
        left[student], changed = _looked_at(student, effort)  # before it is read: who hands in meanwhile is not missed
        book.enter(student, changed)
        before = _kept(out / f"{student.label}.json", left[student])
        if before is not None:
            del left[student]
            total = book.write(student, before)
            yield student.label, total, f"(as graded before) {_note(before)}".rstrip()
    with contextlib.closing(done_apart(functools.partial(graded, effort=effort), left, workers)) as outcomes:
        for student, outcome in outcomes:
            result = _result(student, outcome, left[student])
            total = book.write(student, result, anew=True)
            yield student.label, total, _note(book.results[student.label])
    book.close()
    if gradescope:
        book.write_gradescope()


def _note(result: dict[str, Any]) -> str:
    if result["points"] is None:
        return UNGRADED
    return UNREAD if result["unread"] else ""


def graded(student: Student, effort: Effort) -> dict[str, Any]:
    """Grade one student; return the result.

    What is wrong with the files becomes part of it. Errors: whatever is no fault of the student's, Unable above all.
    """
    found = found_in(student.places)
    exercises = effort.exercises()
    answered = [exercise for exercise in exercises if is_answered(exercise, found.sources)]
    reports: list[Report] = []
    if answered:
        with Submission(found, effort.seconds) as submission:
            reports = [checked(exercise, submission, seed=effort.seed, budget=effort.budget) for exercise in answered]
    missing = [exercise.number for exercise in exercises if exercise not in answered]
    general = [*student.remarks, *found.unread, *_not_handed_in(missing, found), *_not_attempted(reports)]
    told = list(dict.fromkeys([*general, *chain(*map(_troubles_of, reports))]))
    troubles = [text for text in told if not any(text in other for other in told if other != text)]  # said once
    points = round(sum(report.points for report in reports), 2)
    result = {
        "student": student.name,
        "seed": effort.seed,
        "budget": effort.budget,
        "seconds": effort.seconds,
        "points": points,
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
        "unread": bool(found.unread) or any(NOT_READ in trouble for trouble in troubles),
        "tests": [
            *(as_test(report, line) for report in reports for line in report.lines),
            *(not_handed_in(EXERCISES[number]) for number in missing),
        ],
    }
    return {**result, "report": "\n\n".join([*map(as_text, reports), *general])}


def _not_handed_in(numbers: list[int], found: Found) -> list[str]:
    """Return what there is to say of exercises that nothing was handed in for."""
    if not numbers:
        return []
    named = [f"{number} ({EXERCISES[number].file})" for number in numbers[:3]]
    which = f"exercise{'s' * (len(numbers) > 1)} {', '.join(named)}{' ...' * (len(numbers) > 3)}"
    there = ", ".join(in_one_line(name, 60) for name in (found.others or found.names)[:3])
    if not found.names:
        what = (
            f"the folder contains {there}, which is not code; hand in .py, .ipynb or .zip" if there else "it is empty"
        )
        return [f"{which} not handed in: {what}"]
    return [f"{which} not handed in (there is {there})"]


def _not_attempted(reports: list[Report]) -> list[str]:
    """Return what there is to say of exercises that came back as they were handed out."""
    numbers = [str(report.exercise) for report in reports if not report.attempted and not report.trouble]
    return [f"exercise{'s' * (len(numbers) > 1)} {', '.join(numbers)} not attempted: as handed out"] if numbers else []


def _troubles_of(report: Report) -> list[str]:
    """Return what was lost to the form of what was handed in, rather than to its mathematics."""
    of_file = [text for text in report.troubles if NOT_READ in text or FAILED in text]
    missing = [text for text in (report.trouble, *report.troubles) if text and text not in of_file]
    unread = [text for text in of_file if not report.passed or NOT_READ in text]
    return [*(f"exercise {report.exercise}: {text}" for text in missing), *unread]


def _result(student: Student, outcome: dict[str, Any] | Unable, fingerprint: str) -> dict[str, Any]:
    """Return the result of a student; if there is none, one that says why."""
    if isinstance(outcome, Unable):
        return ungraded(student, outcome)
    return {**outcome, "fingerprint": fingerprint}


@functools.cache
def _examination() -> bytes:
    """Return what changes when the exercises, the battery or the grader change: a result of before counts no more."""
    package = Path(__file__).parents[1]
    files = [*sorted((package / "classroom").rglob("*.py")), *sorted((package / "properties").rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()


def _looked_at(student: Student, effort: Effort) -> tuple[str, float | None]:
    """Return what changes when anything changes that the grade depends on; and when the last file was changed."""
    text = hashlib.sha256(_examination() + repr((student.name, effort)).encode())
    for path in sorted(effort.own.glob("*.py")) if effort.own else ():
        text.update(path.read_bytes())
    changed = None
    try:
        found = found_in(student.places)
        found.sources.sort(key=lambda source: source.changed)
        text.update(repr(([source[:2] for source in found.sources], found.unread, found.others)).encode())
        changed = max((source.changed for source in found.sources), default=None)
    except (OSError, MemoryError) as error:
        text.update(type(error).__name__.encode())
    return text.hexdigest(), changed


def _kept(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the result of before, if it is of the same files, and nobody has edited it until it is none any more."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        numbers = [
            number for part in result["exercises"] for number in (part["exercise"], part["required"], part["stars"])
        ]
        whole = all(isinstance(number, int | float) for number in [result["points"], *numbers])
        whole = (
            whole
            and isinstance(result["tests"], list)
            and isinstance(result["report"], str)
            and all(isinstance(t, str) for t in result["troubles"])
        )
        return result if whole and result["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
