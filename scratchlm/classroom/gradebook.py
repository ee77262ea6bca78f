"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

In: a folder with a folder for each student. Out: in another folder, a report for each student as text and as JSON, and
`gradebook.csv`; with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import csv
import functools
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.checkpoint import beside
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.frames import printable
from scratchlm.classroom.grader import POINTS, UNTOUCHED, Line, Report, check
from scratchlm.classroom.paper import as_text, shown
from scratchlm.classroom.sandbox import OPEN, source_of
from scratchlm.classroom.wall import die_with

ENDS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNGRADED = "could not be graded"
NO_STUDENTS = ("__MACOSX", "__pycache__")


@dataclass(frozen=True)
class Effort:
    """What is graded, and how: the numbers of the exercises, the seed, cases for a property, the limit for a call."""

    numbers: list[int]
    seed: int
    budget: int
    seconds: float


def students_in(folder: Path, out: Path) -> tuple[list[Path], list[Path]]:
    """Return the folders of the students, sorted by name, and what else is there. Errors: OSError; ValueError if none.

    A link, a hidden folder, a folder that archives leave behind, and `out` are no student's.
    """
    found: list[Path] = []
    others: list[Path] = []
    for path in sorted(folder.iterdir()):
        hidden = path.name.startswith(".") or path.name in NO_STUDENTS or path.resolve() == out.resolve()
        (found if path.is_dir() and not path.is_symlink() and not hidden else others).append(path)
    if not found:
        raise ValueError(
            f"{folder} holds no folder of a student; {folder}/anna/{EXERCISES[1].file} would be one's file"
        )
    return found, others


def grade(
    students: list[Path], out: Path, effort: Effort, *, gradescope: bool, workers: int
) -> Iterator[tuple[str, float | None, str]]:
    """Grade every student, several at a time; give name, points (None if it could not be done) and a note, one by one.

    What was graded in the same way, from the same files, is not graded again. Errors: OSError if out is not to be
    written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, Any]] = {}
    left = []
    for student in students:
        before = _kept(out / f"{student.name}.json", _fingerprint(student, effort))
        if before is None:
            left.append(student)
        else:
            kept[student.name] = before
            yield student.name, before["points"], "(as graded before)"
    again: list[Path] = []
    for student, result in _pooled(left, out, effort, workers):
        if isinstance(result, BrokenProcessPool):  # one of those who were being graded ended the process; but who?
            again.append(student)
        else:
            kept[student.name] = _result(student, result)
            yield student.name, kept[student.name]["points"], "" if isinstance(result, dict) else UNGRADED
    for student in again:
        ((_, result),) = _pooled([student], out, effort, 1)
        kept[student.name] = _result(student, result)
        yield student.name, kept[student.name]["points"], "" if isinstance(result, dict) else UNGRADED
    if gradescope:
        for name, result in kept.items():
            _write_gradescope(out / "gradescope" / name, result)
    _write_csv(out / "gradebook.csv", [kept[student.name] for student in students], effort.numbers)


def _pooled(students: list[Path], out: Path, effort: Effort, workers: int) -> Iterator[tuple[Path, Any]]:
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


def _result(student: Path, result: Any) -> dict[str, Any]:
    """Return a student's result, or one that says why there is none."""
    if isinstance(result, dict):
        return result
    trouble = f"{UNGRADED}: {printable(result)}"
    return {"student": student.name, "points": None, "exercises": [], "troubles": [trouble], "tests": []}


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


def _graded(student: Path, out: Path, effort: Effort) -> dict[str, Any]:
    """Grade one student, keep the report, and return it; whatever is wrong with the files becomes part of it."""
    reports, troubles = [], []
    for number in effort.numbers:
        exercise = EXERCISES[number]
        path = student / exercise.file
        try:
            if path.is_symlink():
                raise ValueError("it is a link, and was not followed")
            reports.append(check(exercise, path, seed=effort.seed, budget=effort.budget, seconds=effort.seconds))
        except FileNotFoundError:
            others = sorted(p.name for p in student.glob("*.py") if p.name not in {e.file for e in EXERCISES.values()})
            there = f" (the folder holds {', '.join(others[:3])})" if others else ""
            troubles.append(printable(f"exercise {number}: {exercise.file} was not handed in{there}"))
        except Exception as error:  # one broken submission must not stop the others
            troubles.append(printable(f"exercise {number}: {exercise.file} {UNGRADED}: {error}"))
    points = round(sum(report.points for report in reports), 2)
    result = {
        "student": student.name,
        "fingerprint": _fingerprint(student, effort),
        "seed": effort.seed,
        "budget": effort.budget,
        "seconds": effort.seconds,
        "points": points,
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
        "tests": [_as_test(report, line) for report in reports for line in report.lines],
    }
    text = "\n\n".join([f"{printable(student.name)}: {points:g} points", *map(as_text, reports), *troubles]) + "\n"
    _write(out / f"{student.name}.txt", text)
    _write(out / f"{student.name}.json", json.dumps(result, indent=1))
    return result


def _as_test(report: Report, line: Line) -> dict[str, Any]:
    """Return a property as a test in Gradescope's results.json has it."""
    why = "\n".join([*([report.trouble] if report.trouble else []), *shown(line)[1:]])
    return {
        "name": f"exercise {report.exercise}, {line.function}: {line.name}" + (" ☆" if line.starred else ""),
        "score": round(line.points, 4),
        "max_score": 0 if line.starred else round(line.possible, 4),
        "status": "passed" if line.points else "failed",
        "output": "not attempted" if line.mark == UNTOUCHED and not why else why,
    }


def _write_gradescope(folder: Path, result: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    known = {"score": result["points"] or 0, "output": "\n".join(result["troubles"]), "tests": result["tests"]}
    _write(folder / "results.json", json.dumps(known, indent=1))


@functools.cache
def _examination() -> bytes:
    """Return what changes when the exercises, the battery or the grader change: a result of before counts no more."""
    package = Path(__file__).parents[1]
    files = [*sorted((package / "classroom").rglob("*.py")), *sorted((package / "properties").rglob("*.py"))]
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).digest()


def _fingerprint(student: Path, effort: Effort) -> str:
    """Return what changes when anything changes that the grade depends on."""
    text = hashlib.sha256(_examination() + repr(effort).encode())
    for number in effort.numbers:
        path = student / EXERCISES[number].file
        try:
            source = b"a link" if path.is_symlink() else source_of(path)
        except (OSError, ValueError) as error:
            source = type(error).__name__.encode()
        text.update(hashlib.sha256(source).digest())
    return text.hexdigest()


def _kept(path: Path, fingerprint: str) -> dict[str, Any] | None:
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        return result if result["fingerprint"] == fingerprint else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(path: Path, text: str) -> None:
    with beside(path) as written:
        written.write_text(text, encoding="utf-8", errors="replace")
        os.replace(written, path)


def _write_csv(path: Path, results: list[dict[str, Any]], numbers: list[int]) -> None:
    with beside(path) as written:
        with open(written, "w", newline="", encoding="utf-8", errors="replace") as file:
            sheet = csv.writer(file)
            sheet.writerow(["student", *(f"exercise {n} (of {POINTS:g})" for n in numbers), "total", "troubles"])
            for result in results:
                points = {e["exercise"]: e["points"] for e in result["exercises"]}
                row = ["" if result["points"] is None else f"{points.get(n, 0):g}" for n in numbers]
                total = "" if result["points"] is None else f"{result['points']:g}"
                sheet.writerow([_cell(result["student"]), *row, total, _cell("; ".join(result["troubles"]))])
        os.replace(written, path)


def _cell(text: str) -> str:
    """Return a text in one line that no spreadsheet takes for a formula."""
    text = printable(text, 10_000)
    return "'" + text if text[:1] in ("=", "+", "-", "@", "\ufffd") else text
