"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

In: the students, and a folder. Out: in that folder, a report for each student as text and as JSON, and `gradebook.csv`;
with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import contextlib
import functools
import hashlib
import json
import stat
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.classroom.apart import done_apart
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.grader import check
from scratchlm.classroom.paper import as_text
from scratchlm.classroom.sandbox import Unable, source_of
from scratchlm.classroom.sheets import as_test, write_gradebook, write_gradescope, write_report
from scratchlm.classroom.students import Student
from scratchlm.files import try_to_write
from scratchlm.terminal import in_one_line, in_words

UNGRADED = "could not be graded"
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
            yield student.label, before["points"], "(as graded before)"
    with contextlib.closing(done_apart(functools.partial(_graded, effort=effort), left, workers)) as graded:
        for student, outcome in graded:
            result = kept[student.label] = _written(student, outcome, out, left[student])
            yield student.label, result["points"], UNGRADED if result["points"] is None else ""
    write_gradebook(book, {student.label: kept[student.label] for student in students}, effort.numbers)
    if gradescope:
        for label, result in kept.items():
            write_gradescope(out / "gradescope" / label, result)


def _graded(student: Student, effort: Effort) -> Graded:
    """Grade one student; return the result, and the paragraphs of the report.

    What is wrong with the files becomes part of it. Errors: whatever is no fault of the student's, Unable above all.
    """
    reports, troubles = [], student.remarks
    for number in effort.numbers:
        path = student.folder / EXERCISES[number].file
        if trouble := _trouble_with(path):
            troubles.append(in_one_line(f"exercise {number}: {path.name} {trouble}"))
        else:
            reports.append(
                check(EXERCISES[number], path, seed=effort.seed, budget=effort.budget, seconds=effort.seconds)
            )
    points = round(sum(report.points for report in reports), 2)
    result = {
        "student": student.folder.name,
        "seed": effort.seed,
        "budget": effort.budget,
        "seconds": effort.seconds,
        "points": points,
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
        "tests": [as_test(report, line) for report in reports for line in report.lines],
    }
    return result, [f"{student.label}: {points:g} points", *map(as_text, reports), *troubles]


def _trouble_with(path: Path) -> str:
    """Return what is wrong with what a student handed in, "" if nothing is. Errors: OSError if it cannot be read."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            return f"{UNGRADED}: it is a link, and was not followed"
        if not stat.S_ISREG(mode):
            return f"{UNGRADED}: it is not a file"
        source_of(path)
    except FileNotFoundError:
        if not path.parent.exists():  # a share that is gone, say
            raise
        expected = {exercise.file for exercise in EXERCISES.values()}
        names = [other.name for other in path.parent.glob("*")]  # a folder, a notebook, ex01_softmax.py.txt
        others = sorted(name for name in names if name not in expected and not name.startswith("."))
        there = f" (the folder holds {', '.join(others[:3])})" if others else ""
        return f"was not handed in{there}"
    except ValueError as error:
        return f"{UNGRADED}: {error}"
    return ""


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
        name = student.folder.name
        result = {"student": name, "points": None, "exercises": [], "troubles": troubles, "tests": []}
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
    text = hashlib.sha256(_examination() + repr((student.folder.name, effort)).encode())
    for number in effort.numbers:
        path = student.folder / EXERCISES[number].file
        try:
            source = b"a link" if path.is_symlink() else source_of(path)
        except (OSError, ValueError) as error:
            source = type(error).__name__.encode()
        text.update(hashlib.sha256(source).digest())
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
