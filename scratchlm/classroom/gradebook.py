"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

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
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.found import Found, found_in
from scratchlm.classroom.grader import Report, checked
from scratchlm.classroom.paper import as_text
from scratchlm.classroom.sandbox import Submission, Unable
from scratchlm.classroom.sheets import as_test, write_gradebook, write_gradescope, write_report
from scratchlm.classroom.students import Student
from scratchlm.files import try_to_write
from scratchlm.terminal import in_one_line, in_words

UNGRADED, UNREAD = "could not be graded", "not all of it could be read"
NOT_READ, FAILED = " could not be read: ", " failed: "  # how a file is said to have gone wrong
Graded = tuple[dict[str, Any], list[str]]  # the result, and the paragraphs of the report


@dataclass(frozen=True)
class Effort:
    """What is graded, and how: the numbers of the exercises, the seed, cases for a property, the limit for a call."""

    numbers: list[int]
    seed: int
    budget: int
    seconds: float


def grade(
    students: list[Student], out: Path, effort: Effort, *, gradescope: bool, workers: int
) -> Generator[tuple[str, float | None, str], None, None]:
    """Grade every student, several at a time; give label, points (None if it could not be done) and a note, one by one.

    What was graded in the same way, from the same files, is not graded again. Errors: OSError if out is not to be
    written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    book = out / "gradebook.csv"
    try_to_write(book)  # who waits for an hour should know before
    kept: dict[str, dict[str, Any]] = {}
    left = {}
    for student in students:
        left[student] = _fingerprint(student, effort)  # before the files are read: who hands in meanwhile is not missed
        before = _kept(out / f"{student.label}.json", left[student])
        if before is not None:
            del left[student]
            kept[student.label] = before
            yield student.label, before["points"], f"(as graded before) {_note(before)}".rstrip()
    with contextlib.closing(done_apart(functools.partial(_graded, effort=effort), left, workers)) as graded:
        for student, outcome in graded:
            result = kept[student.label] = _written(student, outcome, out, left[student])
            yield student.label, result["points"], _note(result)
    write_gradebook(book, {student.label: kept[student.label] for student in students}, effort.numbers)
    if gradescope:
        for label, result in kept.items():
            write_gradescope(out / "gradescope" / label, result)


def _note(result: dict[str, Any]) -> str:
    if result["points"] is None:
        return UNGRADED
    return UNREAD if result["unread"] else ""


def _graded(student: Student, effort: Effort) -> Graded:
    """Grade one student; return the result, and the paragraphs of the report.

    What is wrong with the files becomes part of it. Errors: whatever is no fault of the student's, Unable above all.
    """
    found = found_in(student.places)
    answered = [EXERCISES[number] for number in effort.numbers if is_answered(EXERCISES[number], found.sources)]
    reports: list[Report] = []
    if answered:
        with Submission(found, effort.seconds) as submission:
            reports = [checked(exercise, submission, seed=effort.seed, budget=effort.budget) for exercise in answered]
    missing = [number for number in effort.numbers if EXERCISES[number] not in answered]
    told = [*student.remarks, *found.unread, *_not_handed_in(missing, found), *chain(*map(_troubles_of, reports))]
    troubles = list(dict.fromkeys(told))
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
        "tests": [as_test(report, line) for report in reports for line in report.lines],
    }
    return result, [f"{student.label}: {points:g} points", *map(as_text, reports), *troubles]


def _not_handed_in(numbers: list[int], found: Found) -> list[str]:
    """Return what there is to say of exercises that nothing was handed in for."""
    if not numbers:
        return []
    named = [f"{number} ({EXERCISES[number].file})" for number in numbers[:3]]
    which = f"exercise{'s' * (len(numbers) > 1)} {', '.join(named)}{' ...' * (len(numbers) > 3)}"
    there = ", ".join(in_one_line(name, 60) for name in (found.others or found.names)[:3])
    if not found.names:
        what = f"the folder holds {there}, which is no code: hand in .py, .ipynb or .zip" if there else "it is empty"
        return [f"{which} not handed in: {what}"]
    return [f"{which} not handed in (there is {there})"]


def _troubles_of(report: Report) -> list[str]:
    """Return what was lost to the form of what was handed in, rather than to its mathematics."""
    of_file = [text for text in report.troubles if NOT_READ in text or FAILED in text]
    missing = [text for text in (report.trouble, *report.troubles) if text and text not in of_file]
    unread = [text for text in of_file if not report.passed or NOT_READ in text]
    return [*(f"exercise {report.exercise}: {text}" for text in missing), *unread]


def _written(student: Student, outcome: Graded | Unable, out: Path, fingerprint: str) -> dict[str, Any]:
    """Write the report of a student, and return the result; if there is none, return one that says why."""
    try:
        if isinstance(outcome, Unable):
            raise outcome
        result, paragraphs = outcome
        result["fingerprint"] = fingerprint
        write_report(out, student.label, result, paragraphs)
    except OSError as error:
        troubles = [*student.remarks, f"{UNGRADED}: {in_one_line(in_words(error))}"]
        name = student.name
        result = {"student": name, "points": None, "exercises": [], "troubles": troubles, "tests": [], "unread": True}
        with contextlib.suppress(OSError):  # a report of before is no longer true; but perhaps none can be written
            write_report(out, student.label, result, [f"{student.label}: {UNGRADED}", *troubles])
    return result


@functools.cache
def _examination() -> bytes:
    """Return what changes when the exercises, the battery or the grader change: a result of before counts no more."""
    package = Path(__file__).parents[1]
    files = [*sorted((package / "classroom").rglob("*.py")), *sorted((package / "properties").rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()


def _fingerprint(student: Student, effort: Effort) -> str:
    """Return what changes when anything changes that the grade depends on."""
    text = hashlib.sha256(_examination() + repr((student.name, effort)).encode())
    try:
        found = found_in(student.places)
        found.sources.sort(key=lambda source: source.changed)
        text.update(repr(([source[:2] for source in found.sources], found.unread, found.others)).encode())
    except (OSError, MemoryError) as error:
        text.update(type(error).__name__.encode())
    return text.hexdigest()


def _kept(path: Path, fingerprint: str) -> dict[str, Any] | None:
    """Return the result of before, if it is of the same files, and nobody has edited it until it is none any more."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        numbers = [number for part in result["exercises"] for number in (part["exercise"], part["points"])]
        whole = all(isinstance(number, int | float) for number in [result["points"], *numbers])
        whole = whole and isinstance(result["tests"], list) and all(isinstance(t, str) for t in result["troubles"])
        return result if whole and result["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
