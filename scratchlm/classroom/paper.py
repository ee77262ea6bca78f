"""A report in print: for each function a line per property, and under each failure the reason."""

import shutil
import textwrap

from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.marks import BONUS, FAILS, HOLDS, POINTS, UNTOUCHED, Line, Report
from scratchlm.terminal import escaped


def as_text(report: Report, width: int = 100) -> str:
    """Return a report as lines of text, without colours, so that it reads the same everywhere."""
    head = f"Exercise {report.exercise}: {report.title}"
    lines = [f"{head}  ({escaped(report.file)})", "=" * len(head)]
    for text in [report.trouble, *report.remarks, *(text for text in report.troubles if text not in report.trouble)]:
        lines += textwrap.wrap(text, width, subsequent_indent="  ")
    for function in dict.fromkeys(line.function for line in report.lines if not report.trouble):
        lines.append(function)
        own = [line for line in report.lines if line.function == function]
        notes = {line.note for line in own}
        common = notes.pop() if len(notes) == 1 and own[0].mark != HOLDS else ""  # one reason for all: said once
        for line in own:
            lines += shown(line, width, without_note=bool(common))
        lines += [f"    {common}"] if common else []
        uncounted = [line.note for line in own if line.mark == HOLDS and not line.counts]
        lines += [f"    (✓) {uncounted[0]}"] if uncounted else []
    if report.printed:
        lines += ["it printed:", textwrap.indent(report.printed[:2000].expandtabs().rstrip(), "    | ")]
    lines.append(points_of(report))
    return escaped("\n".join(lines), keep="\n")


def points_of(report: Report) -> str:
    stars = sum(line.points for line in report.lines if line.starred)
    required = f"{round(report.points - stars, 2):g} of {POINTS:g} points"
    if not any(line.starred for line in report.lines):
        return required
    return f"{required}, and {round(stars, 2):g} of {BONUS:g} for stars"


def shown(line: Line, width: int = 100, without_note: bool = False) -> list[str]:
    """Return a property as lines of text: its mark, and if it fails, on what."""
    mark = line.mark if line.counts or line.mark != HOLDS else f"({line.mark})"
    head = f"  {mark:3} {line.name:30}{' ☆' if line.starred else '':2} "
    lost = line.mark == FAILS and not line.forgiven and not line.starred
    worth = f" ({_points(line.possible)})" if lost else ""
    identity = textwrap.wrap(line.identity + worth, width, initial_indent=head, subsequent_indent=" " * len(head))
    return identity + [f"      {text}" for text in details(line, width - 6, without_note)]


def _points(number: float) -> str:
    """Return a number of points in words.

    >>> _points(1.0), _points(0.14285)
    ('1 point', '0.14 points')
    """
    return f"{number:.2g} point{'' if f'{number:.2g}' == '1' else 's'}"


def details(line: Line, width: int = 94, without_note: bool = False) -> list[str]:
    """Return, of a property that fails, on what and why."""
    note = "" if without_note or line.mark == HOLDS else line.note
    seen = [("for", line.counterexample), ("expected:", line.expected), ("actual:", line.actual)]
    told = [("what:", line.message), ("note:", note), ("hint:", line.hint)]
    lines = _titled("mistake:", textwrap.wrap(line.diagnosis, width - 10))
    for title, text in seen:
        lines += _titled(title, text.splitlines())
    for title, text in told:
        lines += _titled(title, textwrap.wrap(text, width - 10))
    return lines


def _titled(title: str, lines: list[str]) -> list[str]:
    return [f"{title if i == 0 else '':9} {line}" for i, line in enumerate(lines)]


def summary(reports: list[Report]) -> str:
    """Return a line for each exercise, if there are several."""
    if len(reports) < 2:
        return ""
    lines = [f"{report.exercise:3}  {report.title:30} {points_of(report)}" for report in reports]
    return "\n".join(lines) + "\n"


def width_of_terminal() -> int:
    """Return how many columns there are to print in: those of the terminal, or 100."""
    return max(60, min(120, shutil.get_terminal_size((100, 24)).columns))


def next_step(reports: list[Report]) -> str:
    """Return the next thing to do, in one line."""
    for report in reports:
        if report.trouble:
            return f"Next: fix exercise {report.exercise}, as described above."
        if not report.attempted:
            return f"Next: open {report.file} and write {report.lines[0].function}."
        for line in report.lines:
            if line.mark == FAILS and line.note in report.troubles:
                return f"Next: fix {report.file}: {line.note}."
            if line.mark == FAILS and not line.starred:
                return (
                    f"Next: {line.function}, {line.name!r} in {report.file}. "
                    f"If you are stuck: python -m scratchlm exercise hint {report.exercise}"
                )
            if line.mark == UNTOUCHED and not line.starred:
                return f"Next: write {line.function} in {report.file}."
    following = max(report.exercise for report in reports) + 1
    onward = f" Then: python -m scratchlm exercise start mine {following}" if following in EXERCISES else ""
    stars = [(r, line) for r in reports for line in r.lines if line.starred and line.mark != HOLDS]
    if stars:
        report, line = stars[0]
        return f"All required properties hold. A star is left: {line.function}, {line.name!r} in {report.file}.{onward}"
    return f"All holds.{onward}"
