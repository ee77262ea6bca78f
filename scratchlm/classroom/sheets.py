"""The files that grading writes: a report for each student, Gradescope's results, and the gradebook, all written whole.

In: results of students. Out: files in which no student's text can control a terminal or a spreadsheet.
"""

import contextlib
import csv
import datetime
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from scratchlm.classroom.exercises import EXERCISES, Exercise
from scratchlm.classroom.marks import HOLDS, POINTS, Line, Report
from scratchlm.classroom.paper import details
from scratchlm.classroom.rules import Enrolled, Marks, Rules, days_late, marks_of
from scratchlm.classroom.students import Student
from scratchlm.files import write_whole
from scratchlm.terminal import escaped, in_one_line, in_words

UNGRADED = "could not be graded"
# The start of a formula wherever a cell may begin, even after a semicolon, which separates cells in much of Europe.
FORMULA = re.compile(r"""(^|[\s,;:|"'\u200c\u200d])(?=[=+\-@＝＋－＠])""")


class Book:
    """The gradebook of a class, and the reports of its students, while it is graded."""

    def __init__(self, out: Path, numbers: list[int], rules: Rules, roster: list[Enrolled] | None) -> None:
        self.out, self.numbers, self.rules, self.roster = out, numbers, rules, roster
        self.path = out / "gradebook.csv"
        self.results: dict[str, dict[str, Any]] = {}
        self.marks: dict[str, Marks] = {}
        self.students: dict[str, tuple[Enrolled | None, float | None]] = {}  # and when they handed in

    def enter(self, student: Student, changed: float | None) -> None:
        """Enter a student, whose last file was changed at a time."""
        names = [student.name, *(PurePosixPath(place.within or place.path.name).name for place in student.places)]
        row = next((row for row in self.roster or () if any(map(row.is_called, names))), None)
        moment = row.handed_in.timestamp() if row and row.handed_in else changed
        self.students[student.label] = (row, moment)
        self.results[student.label] = {}

    def write(self, student: Student, result: dict[str, Any], anew: bool = False) -> float | None:
        """Write the report of a student; return the total, None if there is none, as when it cannot be written."""
        label = student.label
        _, handed_in = self.students[label]
        marks = marks_of(result["exercises"], self.numbers, self.rules, handed_in)
        try:
            _write(self.out / f"{label}.txt", self._headed(label, result, marks) + result["report"] + "\n")
            if anew:
                _write(self.out / f"{label}.json", json.dumps(result, indent=1))
        except OSError as error:
            result = ungraded(student, error)
            with contextlib.suppress(OSError):
                _write(self.out / f"{label}.json", json.dumps(result, indent=1))
        self.results[label], self.marks[label] = result, marks
        return None if result["points"] is None else marks.total

    def _headed(self, label: str, result: dict[str, Any], marks: Marks) -> str:
        if result["points"] is None:
            return f"{label}: {UNGRADED}\n\n"
        days = days_late(self.rules, self.students[label][1])
        late = f" ({marks.late:g} less: {days} day{'s' * (days > 1)} late)" if marks.late else ""
        whole = self.rules.whole(self.numbers)
        lines = [f"{label}: {marks.total:g} of {whole:g} points{late}"]
        if self.rules.points or self.rules.weights:  # the reports below count 10 for each
            for n, points in marks.exercises.items():
                weight = self.rules.weights.get(n, 1.0)
                times = f", which counts {weight:g} times" if weight != 1 else ""
                lines.append(f"exercise {n}: {points:g} of {self.rules.worth(n):g}{times}")
        return "\n".join(lines) + "\n\n"

    def close(self) -> None:
        """Write the gradebook: a row for each student, and for everyone on the roster without a submission."""
        text = io.StringIO(newline="")
        sheet = csv.writer(text)
        heads = [f"exercise {n} (of {self.rules.worth(n):g})" for n in self.numbers]
        middle = ["stars"] * self.rules.stars + ["late"] * (self.rules.deadline is not None)
        ids = ["id"] * (self.roster is not None)
        sheet.writerow(["student", *ids, *heads, *middle, "total", "troubles"])
        there = set()
        for label, result in self.results.items():
            row, _ = self.students[label]
            there.add(row)
            known = [cell(row.id) if row else ""] * len(ids)
            unknown = ["not on the roster"] * (self.roster is not None and row is None)
            troubles = cell("; ".join([*unknown, *result["troubles"]]))
            sheet.writerow([cell(label), *known, *self._numbers(label, result), troubles])
        for row in self.roster or ():
            if row not in there:
                zeros = ["0"] * (len(heads) + len(middle) + 1)
                sheet.writerow([cell(row.name), cell(row.id), *zeros, "handed in nothing"])
        write_whole(self.path, lambda file: file.write(text.getvalue().encode("utf-8-sig")))

    def _numbers(self, label: str, result: dict[str, Any]) -> list[str]:
        """Return the number cells of a row; a missing number is an empty cell."""
        marks = self.marks[label]
        own = [marks.exercises[number] for number in self.numbers]
        more = [marks.stars] * self.rules.stars + [-marks.late + 0.0] * (self.rules.deadline is not None)
        return ["" if result["points"] is None else f"{number:g}" for number in [*own, *more, marks.total]]

    def write_gradescope(self) -> None:
        """Write the results.json that Gradescope reads, for every student. Errors: OSError."""
        for label, result in self.results.items():
            write_gradescope(self.out / "gradescope" / label, result, self.marks[label], self.rules)


def ungraded(student: Student, error: OSError) -> dict[str, Any]:
    """Return the result of a student who could not be graded, and why."""
    troubles = [*student.remarks, f"{UNGRADED}: {in_one_line(in_words(error))}"]
    plain: dict[str, Any] = {"student": student.name, "points": None, "exercises": [], "tests": [], "unread": True}
    return {**plain, "troubles": troubles, "report": "\n\n".join(troubles)}


def write_gradescope(folder: Path, result: dict[str, Any], marks: Marks, rules: Rules) -> None:
    """Write the results.json that Gradescope reads, or none for who could not be graded. Errors: OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    if result["points"] is None:  # Gradescope says itself that there is no result; one of ours would be a 0
        (folder / "results.json").unlink(missing_ok=True)
        return
    tests = []
    for test in result["tests"]:
        worth = rules.worth(test["exercise"]) / POINTS * rules.weights.get(test["exercise"], 1.0)
        kept = {key: value for key, value in test.items() if key not in ("exercise", "starred")}
        scores = {name: round(test[name] * worth, 6) for name in ("score", "max_score")}
        if rules.stars or not test["starred"]:
            tests.append({**kept, **scores})
    late = [f"handed in late: {marks.late:g} points less"] if marks.late else []
    known = {
        "score": marks.total,
        "output": "\n".join([*late, *result["troubles"]]) or "Every file was read.",
        "output_format": "text",
        "visibility": "visible",
        "tests": tests,
    }
    _write(folder / "results.json", json.dumps(known, indent=1))


def classroom50(result: dict[str, Any], numbers: list[int], environment: Mapping[str, str]) -> dict[str, Any]:
    """Return the result.json that Classroom 50 reads: whole points for each exercise, rounded down, without stars.

    Source: "The result.json contract", github.com/foundation50/classroom50/wiki/Advanced-Autograding.
    """
    reports = {report["exercise"]: report for report in result["exercises"]}
    tests = []
    for number in numbers:
        report = reports.get(number)
        points = int(report["required"]) if report else 0
        said = "\n".join(test["output"] for test in result["tests"] if test["exercise"] == number)
        name = f"exercise {number}: {EXERCISES[number].title}"
        row = {"test-name": name, "passed": points == POINTS, "score": points, "max-score": int(POINTS)}
        tests.append({**row, "output": said or "not handed in"})
    names = {"classroom": "CLASSROOM", "assignment": "ASSIGNMENT", "submission": "SUBMISSION_TAG"}
    links = {"commit": "COMMIT_URL", "release": "RELEASE_URL", "review": "REVIEW_URL"}
    told = {key: environment.get(name, "") for key, name in {**names, **links}.items()}
    return {
        "schema": "classroom50/result/v1",
        **told,
        "review": told["review"] or told["commit"],
        "datetime": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "score": sum(test["score"] for test in tests),
        "max-score": sum(test["max-score"] for test in tests),
        "tests": tests,
    }


def as_test(report: Report, line: Line) -> dict[str, Any]:
    """Return a property as a test in Gradescope's results.json has it; in `output` the identity, and what fails."""
    output = "\n".join([line.identity, *([report.trouble] if report.trouble else []), *details(line)])
    name = f"exercise {report.exercise}, {line.function}: {line.name}" + (" ☆" if line.starred else "")
    passed = line.mark == HOLDS and line.counts
    possible = 0.0 if line.starred else line.possible
    return _test(report.exercise, name, output, line.points, possible, passed, line.starred)


def not_handed_in(exercise: Exercise) -> dict[str, Any]:
    """Return the entry of an exercise without a submission, so that its points count."""
    return _test(exercise.number, f"exercise {exercise.number}: {exercise.title}", "not handed in", 0.0, POINTS)


def _test(
    number: int, name: str, output: str, score: float, possible: float, passed: bool = False, starred: bool = False
) -> dict[str, Any]:
    return {
        "exercise": number,
        "starred": starred,
        "name": name,
        "score": round(score, 6),
        "max_score": round(possible, 6),
        "status": "passed" if passed else "failed",
        "output": escaped(output, keep="\n"),
        "output_format": "text",
        "visibility": "visible",
    }


def cell(text: str) -> str:
    """Return a text in one line, no part of which a spreadsheet takes for a formula, however it separates cells.

    >>> cell("anna;=1+1")
    "anna;'=1+1"
    """
    return FORMULA.sub(r"\1'", in_one_line(text, 10_000))


def _write(path: Path, text: str) -> None:
    write_whole(path, lambda file: file.write(text.encode()))
