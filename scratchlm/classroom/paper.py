"""What a report looks like in print: for each function a line for each property, and under what fails, why."""

import textwrap

from scratchlm.classroom.grader import FAILS, POINTS, UNTOUCHED, Line, Report


def as_text(report: Report) -> str:
    """Return a report as lines of text, without colours, so that it reads the same everywhere."""
    head = f"Exercise {report.exercise}: {report.title}"
    lines = [f"{head}  ({report.file})", "=" * len(head)]
    for function in dict.fromkeys(line.function for line in report.lines):
        lines.append(function)
        alike = {line.message for line in report.lines if line.function == function and line.mark != "✓"}
        own = [line for line in report.lines if line.function == function]
        said_once = len(alike) == 1 and all(line.mark != "✓" and not line.counterexample for line in own)
        for line in own:
            lines += _shown(line, brief=said_once)
        if said_once:
            lines.append(f"    {alike.pop()}")
    if report.printed:
        lines += ["it printed:", textwrap.indent(report.printed[:2000].rstrip(), "    | ")]
    stars = sum(line.points for line in report.lines if line.starred)
    more = f", {stars:g} of them for stars" if stars else ""
    lines.append(f"{report.points:g} of {POINTS:g} points{more}")
    return "\n".join(lines)


def _shown(line: Line, brief: bool) -> list[str]:
    star = " ☆" if line.starred else ""
    shown = [f"  {line.mark} {line.name:34}{star:2} {line.identity}".rstrip()]
    if line.mark != FAILS or brief:
        return shown
    for title, text in (("", line.counterexample), ("expected", line.expected), ("actual", line.actual)):
        if text:
            first, *others = text.splitlines()
            shown.append(f"      {title + ':' if title else 'for':9} {first}")
            shown += [f"      {'':9} {other}" for other in others]
    for title, text in (("what", line.message), ("hint", line.hint)):
        if text:
            filled = textwrap.wrap(text, 100) or [""]
            shown.append(f"      {title + ':':9} {filled[0]}")
            shown += [f"      {'':9} {other}" for other in filled[1:]]
    return shown


def next_step(reports: list[Report]) -> str:
    """Return the next thing to do, in one line."""
    for report in reports:
        if not report.attempted:
            return f"Next: open {report.file} and write {report.lines[0].function}."
        for line in report.lines:
            if line.mark == FAILS and not line.starred:
                return (
                    f"Next: {line.function}, {line.name!r} in {report.file}. "
                    f"If you are stuck: python -m scratchlm exercise hint {report.exercise}"
                )
            if line.mark == UNTOUCHED and not line.starred:
                return f"Next: write {line.function} in {report.file}."
    stars = [(r, line) for r in reports for line in r.lines if line.starred and line.mark != "✓"]
    if stars:
        report, line = stars[0]
        return f"All that is required holds. A star is left: {line.function}, {line.name!r} in {report.file}."
    return "All holds, stars included. On to the next exercise: python -m scratchlm exercise list"
