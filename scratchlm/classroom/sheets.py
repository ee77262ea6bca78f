"""What grading leaves behind: a report for each student, Gradescope's results, and the gradebook, each written whole.

In: results of students. Out: files, in which nothing that a student wrote commands a terminal or a spreadsheet.
"""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from scratchlm.classroom.grader import POINTS, UNTOUCHED, Line, Report
from scratchlm.classroom.paper import shown
from scratchlm.files import write_whole
from scratchlm.terminal import escaped, in_one_line

# What makes a formula, where a cell may begin: also after a semicolon, which separates them in much of Europe.
FORMULA = re.compile(r"""(^|[\s,;:|"'\u200c\u200d])(?=[=+\-@＝＋－＠])""")


def write_report(out: Path, label: str, result: dict[str, Any], paragraphs: list[str]) -> None:
    """Write a student's report as text, and as JSON. Errors: OSError."""
    _write(out / f"{label}.txt", "\n\n".join(paragraphs) + "\n")
    _write(out / f"{label}.json", json.dumps(result, indent=1))


def write_gradescope(folder: Path, result: dict[str, Any]) -> None:
    """Write the results.json that Gradescope reads, or none for who could not be graded. Errors: OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if result["points"] is None:  # Gradescope says itself that there is no result; one of ours would be a 0
        (folder / "results.json").unlink(missing_ok=True)
        return
    known = {"score": result["points"], "output": "\n".join(result["troubles"]), "tests": result["tests"]}
    _write(folder / "results.json", json.dumps(known, indent=1))


def as_test(report: Report, line: Line) -> dict[str, Any]:
    """Return a property as a test in Gradescope's results.json has it."""
    why = "\n".join([*([report.trouble] if report.trouble else []), *shown(line)[1:]])
    return {
        "name": f"exercise {report.exercise}, {line.function}: {line.name}" + (" ☆" if line.starred else ""),
        "score": round(line.points, 4),
        "max_score": 0 if line.starred else round(line.possible, 4),
        "status": "passed" if line.points else "failed",
        "output": "not attempted" if line.mark == UNTOUCHED and not why else escaped(why, keep="\n"),
    }


def write_gradebook(path: Path, results: dict[str, dict[str, Any]], numbers: list[int]) -> None:
    """Write a row for each label, with a column for each exercise. Errors: OSError."""
    text = io.StringIO(newline="")
    sheet = csv.writer(text)
    sheet.writerow(["student", *(f"exercise {n} (of {POINTS:g})" for n in numbers), "total", "troubles"])
    for label, result in results.items():
        points = {e["exercise"]: e["points"] for e in result["exercises"]}
        row = ["" if result["points"] is None else f"{points.get(n, 0):g}" for n in numbers]
        total = "" if result["points"] is None else f"{result['points']:g}"
        sheet.writerow([cell(label), *row, total, cell("; ".join(result["troubles"]))])
    _write(path, text.getvalue())


def cell(text: str) -> str:
    """Return a text in one line, no part of which a spreadsheet takes for a formula, however it separates cells.

    >>> cell("anna;=1+1")
    "anna;'=1+1"
    """
    return FORMULA.sub(r"\1'", in_one_line(text, 10_000))


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))
