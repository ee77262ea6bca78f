"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

In: a folder with a folder for each student. Out: in another folder, a report for each student as text and as JSON, and
`gradebook.csv`; with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import contextlib
import csv
import functools
import hashlib
import json
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scratchlm.checkpoint import beside
from scratchlm.classroom.apart import done_apart
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.grader import POINTS, UNTOUCHED, Line, Report, check
from scratchlm.classroom.paper import as_text, shown
from scratchlm.classroom.sandbox import Unable, source_of
from scratchlm.terminal import in_one_line, in_words

UNGRADED = "could not be graded"
NO_STUDENTS = ("__MACOSX", "__pycache__")
Graded = tuple[dict[str, Any], str]  # the result, and the report as text


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
) -> Generator[tuple[str, float | None, str], None, None]:
    """Grade every student, several at a time; give name, points (None if it could not be done) and a note, one by one.

    What was graded in the same way, from the same files, is not graded again. Errors: OSError if out is not to be
    written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, Any]] = {}
    left = {}
    for student in students:
        left[student] = _fingerprint(student, effort)  # before the files are read: who hands in meanwhile is not missed
        before = _kept(out / f"{student.name}.json", left[student])
        if before is not None:
            del left[student]
            kept[student.name] = before
            yield student.name, before["points"], "(as graded before)"
    with contextlib.closing(done_apart(functools.partial(_graded, effort=effort), left, workers)) as graded:
        for student, outcome in graded:
            result = kept[student.name] = _written(student, outcome, out, left[student])
            yield student.name, result["points"], UNGRADED if result["points"] is None else ""
    if gradescope:
        for name, result in kept.items():
            if result["points"] is not None:
                _write_gradescope(out / "gradescope" / name, result)
    _write_csv(out / "gradebook.csv", [kept[student.name] for student in students], effort.numbers)


def _graded(student: Path, effort: Effort) -> Graded:
    """Grade one student; return the result, and the report as text.

    What is wrong with the files becomes part of it. Errors: whatever is no fault of the student's, Unable above all.
    """
    reports, troubles = [], []
    for number in effort.numbers:
        path = student / EXERCISES[number].file
        if trouble := _trouble_with(path):
            troubles.append(in_one_line(f"exercise {number}: {path.name} {trouble}"))
        else:
            reports.append(
                check(EXERCISES[number], path, seed=effort.seed, budget=effort.budget, seconds=effort.seconds)
            )
    points = round(sum(report.points for report in reports), 2)
    result = {
        "student": student.name,
        "seed": effort.seed,
        "budget": effort.budget,
        "seconds": effort.seconds,
        "points": points,
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
        "tests": [_as_test(report, line) for report in reports for line in report.lines],
    }
    head = f"{in_one_line(student.name)}: {points:g} points"
    return result, "\n\n".join([head, *map(as_text, reports), *troubles]) + "\n"


def _trouble_with(path: Path) -> str:
    """Return what is wrong with what a student handed in, "" if nothing is. Errors: OSError if it cannot be read."""
    try:
        if path.is_symlink():
            return f"{UNGRADED}: it is a link, and was not followed"
        source_of(path)
    except FileNotFoundError:
        expected = {exercise.file for exercise in EXERCISES.values()}
        others = sorted(other.name for other in path.parent.glob("*.py") if other.name not in expected)
        there = f" (the folder holds {', '.join(others[:3])})" if others else ""
        return f"was not handed in{there}"
    except ValueError as error:
        return f"{UNGRADED}: {error}"
    return ""


def _written(student: Path, outcome: Graded | Unable, out: Path, fingerprint: str) -> dict[str, Any]:
    """Write the report of a student, and return the result; if there is none, return one that says why."""
    try:
        if isinstance(outcome, Unable):
            raise outcome
        result, text = outcome
        result = {"student": student.name, "fingerprint": fingerprint, **result}
        _write(out / f"{student.name}.txt", text)
        _write(out / f"{student.name}.json", json.dumps(result, indent=1))
        return result
    except OSError as error:
        trouble = f"{UNGRADED}: {in_one_line(in_words(error))}"
        return {"student": student.name, "points": None, "exercises": [], "troubles": [trouble], "tests": []}


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
    text = in_one_line(text, 10_000)
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text
