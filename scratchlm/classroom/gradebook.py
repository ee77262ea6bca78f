"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

In: the students, and a folder. Out: in that folder, a report for each student as text and as JSON, and `gradebook.csv`;
with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import contextlib
import functools
import hashlib
import json
import multiprocessing
import os
import signal
import stat
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.checkpoint import beside
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.grader import check
from scratchlm.classroom.paper import as_text
from scratchlm.classroom.sandbox import OPEN, source_of
from scratchlm.classroom.sheets import as_test, write_gradebook, write_gradescope, write_report
from scratchlm.classroom.students import Student
from scratchlm.classroom.wall import die_with
from scratchlm.terminal import in_one_line

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNGRADED = "could not be graded"


@dataclass(frozen=True)
class Effort:
    """What is graded, and how: the numbers of the exercises, the seed, cases for a property, the limit for a call."""

    numbers: list[int]
    seed: int
    budget: int
    seconds: float


def grade(
    students: list[Student], out: Path, effort: Effort, *, gradescope: bool, workers: int
) -> Iterator[tuple[str, float | None, str]]:
    """Grade every student, several at a time; give label, points (None if it could not be done) and a note, one by one.

    What was graded in the same way, from the same files, is not graded again. Errors: OSError if out is not to be
    written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    book = out / "gradebook.csv"
    with beside(book):  # can it be written? Who waits for an hour should know before
        pass
    kept: dict[str, dict[str, Any]] = {}
    left = []
    for student in students:
        before = _kept(out / f"{student.label}.json", _fingerprint(student, effort))
        if before is None:
            left.append(student)
        else:
            kept[student.label] = before
            yield student.label, before["points"], "(as graded before)"
    again: list[Student] = []
    for student, result in _pooled(left, out, effort, min(workers, max(len(left), 1))):
        if isinstance(result, BrokenProcessPool):  # one of those who were being graded ended the process; but who?
            again.append(student)
        else:
            kept[student.label] = _result(student, result)
            yield student.label, kept[student.label]["points"], "" if isinstance(result, dict) else UNGRADED
    for student in again:
        ((_, result),) = _pooled([student], out, effort, 1)
        kept[student.label] = _result(student, result)
        yield student.label, kept[student.label]["points"], "" if isinstance(result, dict) else UNGRADED
    write_gradebook(book, {student.label: kept[student.label] for student in students}, effort.numbers)
    for label, result in kept.items():
        if result["points"] is None:  # a report of before would no longer be true
            with contextlib.suppress(OSError):  # perhaps it was this that could not be written
                write_report(out, label, result, [f"{label}: {UNGRADED}", *result["troubles"]])
        if gradescope:
            write_gradescope(out / "gradescope" / label, result)


def _pooled(students: list[Student], out: Path, effort: Effort, workers: int) -> Iterator[tuple[Student, Any]]:
    """Grade students in a pool of processes; give each with its result, or with the exception that it came to."""
    pool = ProcessPoolExecutor(workers, initializer=_begin)
    try:
        futures = {pool.submit(_graded, student, out, effort): student for student in students}
        for future in as_completed(futures):
            yield futures[future], future.exception() or future.result()
    except BaseException:  # interrupted: nobody goes on behind our back
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGINT)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _result(student: Student, result: Any) -> dict[str, Any]:
    """Return a student's result, or one that says why there is none."""
    if isinstance(result, dict):
        return result
    troubles = [*student.remarks, f"{UNGRADED}: {in_one_line(result)}"]
    return {"student": student.folder.name, "points": None, "exercises": [], "troubles": troubles, "tests": []}


def _begin() -> None:
    """Prepare a process of the pool to be ended: by Ctrl-C, because another of the pool was, or with its parent."""
    for number in ENDS:
        signal.signal(number, _end)
    die_with(os.getppid(), signal.SIGTERM)


def _end(*_: object) -> None:
    """End a process of the pool at once, and the submission that it was running."""
    for number in ENDS:
        signal.signal(number, signal.SIG_IGN)  # once is enough
    for submission in list(OPEN):
        submission.__exit__()
    os._exit(2)


def _graded(student: Student, out: Path, effort: Effort) -> dict[str, Any]:
    """Grade one student, keep the report, and return it; whatever is wrong with the files becomes part of it.

    Errors: OSError if a file is there and cannot be read, which costs no points.
    """
    fingerprint = _fingerprint(student, effort)  # of what is there now: it may be handed in anew meanwhile
    reports, troubles = [], student.remarks
    for number in effort.numbers:
        exercise = EXERCISES[number]
        try:
            if path := _handed_in(student, exercise.file):
                reports.append(check(exercise, path, seed=effort.seed, budget=effort.budget, seconds=effort.seconds))
            else:
                troubles.append(in_one_line(f"exercise {number}: {exercise.file} was not handed in{_others(student)}"))
        except OSError:
            raise
        except Exception as error:  # one broken submission must not stop the others
            troubles.append(in_one_line(f"exercise {number}: {exercise.file} {UNGRADED}: {error}"))
    points = round(sum(report.points for report in reports), 2)
    result = {
        "student": student.folder.name,
        "fingerprint": fingerprint,
        "seed": effort.seed,
        "budget": effort.budget,
        "seconds": effort.seconds,
        "points": points,
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
        "tests": [as_test(report, line) for report in reports for line in report.lines],
    }
    head = f"{student.label}: {points:g} points"
    write_report(out, student.label, result, [head, *map(as_text, reports), *troubles])
    return result


def _handed_in(student: Student, name: str) -> Path | None:
    """Return the path of a student's file, if there is one. Errors: OSError if it cannot be reached; ValueError."""
    path = student.folder / name
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISLNK(mode):
        raise ValueError("it is a link, and was not followed")
    if not stat.S_ISREG(mode):
        raise ValueError("it is not a file")
    return path


def _others(student: Student) -> str:
    """Return what else lies in a student's folder that might have been meant."""
    known = {exercise.file for exercise in EXERCISES.values()}
    others = sorted(path.name for path in student.folder.glob("*.py") if path.name not in known)
    return f" (the folder holds {', '.join(others[:3])})" if others else ""


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
        try:
            path = _handed_in(student, EXERCISES[number].file)
            text.update(hashlib.sha256(source_of(path)).digest() if path else b"nothing")
        except (OSError, ValueError) as error:
            text.update(type(error).__name__.encode())
    return text.hexdigest()


def _kept(path: Path, fingerprint: str) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
