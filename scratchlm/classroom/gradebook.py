"""A whole class: every submission graded, each by itself, and the results kept so that an interruption loses nothing.

In: a folder with a folder for each student. Out: in another folder, a report for each student as text and as JSON, and
`gradebook.csv`; with `gradescope`, the `results.json` that Gradescope reads as well.
"""

import csv
import hashlib
import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Any

from scratchlm.checkpoint import beside
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.grader import POINTS, UNTOUCHED, Report, check
from scratchlm.classroom.paper import as_text
from scratchlm.classroom.sandbox import OPEN


def students_in(folder: Path) -> list[Path]:
    """Return the folders of the students, in alphabetical order. Errors: OSError; ValueError if there are none."""
    found = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink() and path.name[0] != ".")
    if not found:
        raise ValueError(f"{folder} holds no folder of a student")
    return found


def grade(
    students: list[Path],
    out: Path,
    numbers: list[int],
    *,
    seed: int,
    budget: int,
    seconds: float,
    gradescope: bool,
    workers: int,
) -> Iterator[tuple[str, float, bool]]:
    """Grade every student, several at a time; give name, points and whether it was graded before, one by one.

    What was graded with the same seed, from the same files, is not graded again. Errors: OSError if out is not to be
    written to.
    """
    out.mkdir(parents=True, exist_ok=True)
    kept: dict[str, dict[str, Any]] = {}
    left = []
    for student in students:
        before = _kept(out / f"{student.name}.json", _fingerprint(student, numbers, seed, budget))
        if before is None:
            left.append(student)
        else:
            kept[student.name] = before
            yield student.name, before["points"], True
    pool = ProcessPoolExecutor(workers, initializer=_begin)
    try:
        futures = {pool.submit(_graded, s, out, numbers, seed, budget, seconds, gradescope): s for s in left}
        for future in as_completed(futures):
            student = futures[future]
            try:
                kept[student.name] = future.result()
            except Exception as error:  # one student must not stop the others
                trouble = f"could not be graded: {type(error).__name__} {error}"
                kept[student.name] = {"student": student.name, "points": 0.0, "exercises": [], "troubles": [trouble]}
            yield student.name, kept[student.name]["points"], False
    except BaseException:  # interrupted: nobody goes on behind our back
        for process in multiprocessing.active_children():
            os.kill(process.pid or 0, signal.SIGINT)
        raise
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    _write_csv(out / "gradebook.csv", [kept[student.name] for student in students], numbers)


def _begin() -> None:
    """Prepare a process of the pool to be ended, by Ctrl-C or because another of the pool was."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(*_: object) -> None:
    """End a process of the pool at once, and the submission that it was running."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # once is enough
    for submission in list(OPEN):
        submission.__exit__()
    os._exit(2)


def _graded(
    student: Path, out: Path, numbers: list[int], seed: int, budget: int, seconds: float, gradescope: bool
) -> dict[str, Any]:
    """Grade one student, keep the report, and return it; whatever is wrong with the files becomes part of it."""
    reports, troubles = [], []
    for number in numbers:
        exercise = EXERCISES[number]
        path = student / exercise.file
        if path.is_symlink():
            troubles.append(f"exercise {number}: {exercise.file} is a link, and was not followed")
            continue
        try:
            reports.append(check(exercise, path, seed=seed, budget=budget, seconds=seconds))
        except FileNotFoundError:
            troubles.append(f"exercise {number}: {exercise.file} was not handed in")
        except Exception as error:  # one broken submission must not stop the others
            troubles.append(f"exercise {number}: {exercise.file} could not be graded: {error}")
    result = {
        "student": student.name,
        "fingerprint": _fingerprint(student, numbers, seed, budget),
        "points": round(sum(report.points for report in reports), 2),
        "exercises": [report.to_json() for report in reports],
        "troubles": troubles,
    }
    text = "\n\n".join([f"{student.name}: {result['points']:g} points", *map(as_text, reports), *troubles]) + "\n"
    _write(out / f"{student.name}.txt", text)
    if gradescope:
        _write(out / f"{student.name}.results.json", json.dumps(as_gradescope(reports, troubles), indent=1))
    _write(out / f"{student.name}.json", json.dumps(result, indent=1))
    return result


def as_gradescope(reports: list[Report], troubles: list[str]) -> dict[str, Any]:
    """Return reports as Gradescope's results.json has them: a test for each property, with score and output."""
    tests = [
        {
            "name": f"exercise {report.exercise}, {line.function}: {line.name}" + (" ☆" if line.starred else ""),
            "score": round(line.points, 4),
            "max_score": 0 if line.starred else round(line.possible, 4),
            "status": "passed" if line.points else "failed",
            "output": "not attempted" if line.mark == UNTOUCHED else line.message,
        }
        for report in reports
        for line in report.lines
    ]
    return {"score": round(sum(r.points for r in reports), 2), "output": "\n".join(troubles), "tests": tests}


def _fingerprint(student: Path, numbers: list[int], seed: int, budget: int) -> str:
    """Return what changes when anything changes that the grade depends on."""
    text = hashlib.sha256(f"{numbers} {seed} {budget}".encode())
    for number in numbers:
        path = student / EXERCISES[number].file
        text.update(path.read_bytes() if path.is_file() else b"-")
        text.update(b"|")
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
                row = [points.get(n, 0) for n in numbers]
                sheet.writerow([_cell(result["student"]), *row, result["points"], "; ".join(result["troubles"])])
        os.replace(written, path)


def _cell(text: str) -> str:
    """Return a text that no spreadsheet takes for a formula."""
    return "'" + text if text[:1] in ("=", "+", "-", "@") else text
