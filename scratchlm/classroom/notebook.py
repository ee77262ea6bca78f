"""Exercises in a notebook: one to hand out, with a cell and a check for each; and the answer to a check, as a table.

In: functions of this process. Out: what the judge says of them, the mistake and the smallest counterexample first.
"""

import contextlib
import html
import io
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from scratchlm.classroom.answers import nearly_called
from scratchlm.classroom.exercises import EXERCISES, Exercise, hand_out
from scratchlm.classroom.found import Source
from scratchlm.classroom.grader import judge
from scratchlm.classroom.here import Here
from scratchlm.classroom.marks import FAILS, HOLDS, Line, Report
from scratchlm.classroom.paper import details, points_of, shown
from scratchlm.classroom.points import ROW, ROWS
from scratchlm.terminal import escaped

HERE = "Judged in this process, without a sandbox or a time limit."


@dataclass(frozen=True)
class Answer:
    """The answer to a check: a table in a notebook, text elsewhere."""

    report: Report

    @property
    def passed(self) -> bool:
        """Return whether all that is required holds."""
        return self.report.passed

    def __str__(self) -> str:
        """Return the answer as text: first what is wrong, then a line for each property."""
        rows = [shown(line, width=160)[0] for line in self.report.lines]
        return escaped("\n".join([self._head, *self._wrong(), "", *rows, "", self._end]), keep="\n")

    __repr__ = __str__

    def _repr_html_(self) -> str:
        """Return the answer as a table."""
        wrong = f"<pre>{_safe(chr(10).join(self._wrong()))}</pre>" if self._wrong() else ""
        body = "".join(_row(line) for line in self.report.lines)
        table = f'<table style="text-align:left"><tbody>{body}</tbody></table>'
        return f"<p><b>{_safe(self._head)}</b></p>{wrong}{table}<p>{_safe(self._end)}</p>"

    @property
    def _head(self) -> str:
        done = points_of(self.report) if self.report.attempted else "not attempted yet"
        return f"Exercise {self.report.exercise}: {self.report.title}, {done}"

    def _wrong(self) -> list[str]:
        """Return what fails first, on its smallest counterexample, and the mistake, if it is a known one."""
        failing = [line for line in self.report.lines if line.mark == FAILS and not line.starred]
        if not failing:
            if not self.report.attempted:
                return []
            asked = dict.fromkeys(part.function for part in EXERCISES[self.report.exercise].parts)
            missing = [name for name in asked if name not in {line.function for line in self.report.lines}]
            also = f" The exercise asks for {' and '.join(missing)} as well." if missing else ""
            return [f"All required properties hold.{also}"]
        named = next((line.diagnosis for line in failing if line.diagnosis), "")
        small = [line for line in failing if line.counterexample and line.name not in (ROW, ROWS)]
        first = replace((small or failing)[0], diagnosis=named)
        return details(replace(first, hint="", note="") if named else first)

    @property
    def _end(self) -> str:
        printed = " What your function printed meanwhile is not shown." if self.report.printed else ""
        return HERE + printed


def checked(
    functions: Sequence[Callable[..., Any]], number: int | None = None, seed: int = 0, budget: int = 30
) -> Answer:
    """Return the answer to a check: see `scratchlm.classroom.check`."""
    for function in functions:
        if not callable(function):
            raise TypeError(f"check needs a function, as in check(softmax), not {function!r:.80}")
    if not functions:
        raise TypeError("check needs a function, as in check(softmax)")
    exercise, named = _exercise_of(functions, number)
    asked = replace(exercise, parts=tuple(part for part in exercise.parts if part.function in named))
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        lines = judge(asked, Here(named), seed=seed, budget=budget)
    return Answer(Report(exercise.number, exercise.title, exercise.file, lines, printed.getvalue()[:20_000]))


def _exercise_of(
    functions: Sequence[Callable[..., Any]], number: int | None
) -> tuple[Exercise, dict[str, Callable[..., Any]]]:
    """Return which exercise is meant, and its functions by their names there. Errors: ValueError."""
    named = {str(getattr(function, "__name__", "it")): function for function in functions}
    if number is not None and number not in EXERCISES:
        raise ValueError(f"there is no exercise {number}; exercises are numbered 1 to {max(EXERCISES)}")
    for exercise in EXERCISES.values() if number is None else [EXERCISES[number]]:
        asked = list(dict.fromkeys(part.function for part in exercise.parts))
        if set(named) <= set(asked):
            return exercise, named
        if number is not None and len(functions) == len(asked) == 1:
            return exercise, {asked[0]: functions[0]}
        if number is not None:
            wrong = next(name for name in named if name not in asked)
            raise ValueError(f"exercise {number} asks for {' and '.join(asked)}, not {wrong}; rename it")
    raise ValueError(_belongs_nowhere(named))


def _belongs_nowhere(named: Iterable[str]) -> str:
    """Return what to say of functions that belong to no exercise, or to several."""
    asked = {part.function: exercise.number for exercise in EXERCISES.values() for part in exercise.parts}
    unknown = [name for name in named if name not in asked]
    if not unknown:
        return f"{' and '.join(named)} belong to different exercises; check them one by one"
    source = Source("", (("", f"def {unknown[0]}("),))
    meant = next((name for name in asked if nearly_called(name, [source])), None)
    if meant is None:
        called = "the function" if unknown[0] == "<lambda>" else unknown[0]
        which = "python -m scratchlm exercise list shows the numbers"
        return f"no exercise has a function named {called}; give its number, check(..., exercise=N): {which}"
    return f"{unknown[0]} belongs to no exercise; did you mean {meant}? check({unknown[0]}, exercise={asked[meant]})"


def _row(line: Line) -> str:
    """Return a line as a row of a table."""
    mark = line.mark if line.counts or line.mark != HOLDS else f"({line.mark})"
    points = f"{line.points:.2g} of {line.possible:.2g}{' ☆' if line.starred else ''}"
    why = _safe("\n".join(details(line, without_note=True)))
    more = f"<details><summary>why</summary><pre>{why}</pre></details>" if line.mark == FAILS and why else ""
    note = f"<br>{_safe(line.note)}" if line.note else ""
    cells = [mark, _safe(points), f"<b>{_safe(line.name)}</b>", f"{_safe(line.identity)}{note}{more}"]
    return "<tr>" + "".join(f'<td style="text-align:left;vertical-align:top">{cell}</td>' for cell in cells) + "</tr>"


def _safe(text: str) -> str:
    return html.escape(escaped(text, keep="\n"))


# --- a notebook to hand out ------------------------------------------------------------------------------------------

NOTEBOOK = "exercises.ipynb"
HOW = """# Exercises

Run the next cell once. Then, for each exercise: read, write the function, run its cell, and run the check below it.
Until you write it, a function raises NotImplementedError, and its check says that it was not attempted yet.
A hint, in a cell of its own: `!python -m scratchlm exercise hint 1`"""


def notebook_of(exercises: Iterable[Exercise]) -> dict[str, Any]:
    """Return a notebook (nbformat 4.5) with a cell and a check for each exercise."""
    cells = [_cell("how", HOW, "markdown"), _cell("import", "from scratchlm.classroom import check")]
    for exercise in exercises:
        _, prose, code = exercise.stub.split('"""', 2)
        title, _, rest = prose.strip().partition("\n")
        functions = ", ".join(dict.fromkeys(part.function for part in exercise.parts))
        name = f"exercise-{exercise.number}"
        cells.append(_cell(name, f"## {title}\n\n{rest.strip()}", "markdown"))
        cells.append(_cell(f"{name}-code", code.strip()))
        cells.append(_cell(f"{name}-check", f"check({functions})"))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _cell(name: str, text: str, kind: str = "code") -> dict[str, Any]:
    cell = {"cell_type": kind, "id": name, "metadata": {}, "source": text.splitlines(keepends=True)}
    return cell if kind == "markdown" else {**cell, "execution_count": None, "outputs": []}


def write_notebook(folder: Path, exercises: Iterable[Exercise]) -> tuple[Path, bool]:
    """Write a notebook with exercises into a folder, whole or not at all; return its path, and False if it was there.

    Errors: OSError if it cannot be written.
    """
    place = folder / NOTEBOOK
    return place, hand_out(json.dumps(notebook_of(exercises), indent=1, ensure_ascii=False) + "\n", place)
