"""The commands of the classroom: list, start, check, hint, grade. They parse, call and print, and judge nothing."""

import argparse
import contextlib
import functools
import os
import shlex
import statistics
import sys
import textwrap
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

from scratchlm.classroom.answers import is_answered, may_answer
from scratchlm.classroom.apart import done_apart
from scratchlm.classroom.autograder import write_autograder
from scratchlm.classroom.exercises import EXERCISES, hand_out
from scratchlm.classroom.found import Source, found_at, found_in
from scratchlm.classroom.gradebook import UNREAD, Effort, grade
from scratchlm.classroom.grader import check
from scratchlm.classroom.marks import Report
from scratchlm.classroom.notebook import write_notebook
from scratchlm.classroom.own import OwnExercise, enter, new_exercise, solution_of
from scratchlm.classroom.paper import as_text, next_step, summary, width_of_terminal
from scratchlm.classroom.rules import Rules, read, roster_in, rules_in
from scratchlm.classroom.sandbox import Unable
from scratchlm.classroom.sheets import UNGRADED
from scratchlm.classroom.similar import Pair, similar
from scratchlm.classroom.similar import as_text as as_lines
from scratchlm.classroom.students import Student, students_in
from scratchlm.classroom.wall import lacks
from scratchlm.terminal import escaped, in_words, interrupt, requests_to_end, shell_word


def run(arguments: Sequence[str], prog: str) -> int:
    """Run a command; return its exit status. Errors: ValueError and OSError, to be shown in one line."""
    _enter_own(arguments)
    options = _parsed(_parser(prog), arguments)
    for name in ("budget", "workers", "step"):
        if (given := getattr(options, name, None)) is not None and given < 1:
            raise ValueError(f"--{name} must be at least 1, not {given}")
    if (seconds := getattr(options, "seconds", None)) is not None and not 0 < seconds < 3600:
        raise ValueError(f"--seconds must be above 0 and below 3600, not {seconds}")
    with requests_to_end(interrupt):  # whatever runs is ended and removed first
        status: int = options.run(options)
    return status


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str]) -> argparse.Namespace:
    """Return the options. Numbers may also follow an option, where argparse leaves them over."""
    options, left = parser.parse_known_args(arguments)
    if left and (not hasattr(options, "numbers") or any(text.startswith("-") for text in left)):
        parser.error(f"unrecognized arguments: {' '.join(left)}")
    try:
        options.numbers = [*getattr(options, "numbers", ()), *map(_number, left)]
    except argparse.ArgumentTypeError as error:
        parser.error(str(error))
    return options


def _enter_own(arguments: Sequence[str]) -> None:
    """Add a teacher's own exercises to the built-in ones, before their numbers are read."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--exercises", type=Path)
    with contextlib.suppress(argparse.ArgumentError):
        if own := first.parse_known_args(arguments)[0].exercises:
            enter(own)


def _name(path: Path) -> str:
    return escaped(str(path))


def _say(text: str) -> None:
    """Print at once, escaping anything that controls a terminal."""
    print(escaped(text, keep="\n"), flush=True)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise ValueError(f"{message}; see {self.prog} --help")


def _parser(prog: str) -> _Parser:
    parser = _Parser(prog=prog, description="Exercises, and a grader for them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        p = commands.add_parser(name, help=text, description=text)
        p.set_defaults(run=run)
        if name not in ("new", "try"):
            p.add_argument("--exercises", type=Path, metavar="DIR", help="your own exercises as well, from a folder")
        return p

    command("list", _list, "list the exercises")
    p = command("start", _start, "copy exercises into a folder, and never overwrite a file")
    p.add_argument("folder", type=Path, metavar="DIR")
    p.add_argument("numbers", nargs="*", type=_number, metavar="N", help="numbers of exercises (default: all)")
    p.add_argument("--notebook", action="store_true", help="as one notebook, with a check below each exercise")
    p = command("check", _check, "check a file or a folder; exit status 0 if all required properties hold")
    p.add_argument("path", type=Path, metavar="FILE|DIR")
    p.add_argument("numbers", nargs="*", type=_number, metavar="N", help="numbers of exercises (default: all there)")
    p.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    _add_effort(p)
    p = command("hint", _hint, "print the first hint of an exercise, or more of them with --step")
    p.add_argument("number", type=_number, metavar="N")
    p.add_argument("--step", type=int, default=1, metavar="K", help="how many hints (default: 1)")
    p = command(
        "grade",
        _grade,
        "grade a class: a folder with a folder, an archive or files for each student, or one zip of all",
    )
    p.add_argument("folder", type=Path, metavar="SUBMISSIONS", help="a class.toml in it holds the rules")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where reports and gradebook.csv go")
    p.add_argument(
        "--only", type=_number, nargs="+", action="extend", metavar="N", help="these exercises (default: all)"
    )
    p.add_argument(
        "--roster",
        type=Path,
        metavar="FILE",
        help="a table: name, id (and handed_in); without it, the roster.csv in SUBMISSIONS, if there is one",
    )
    p.add_argument("--gradescope", action="store_true", help="write Gradescope's results.json for each student as well")
    p.add_argument(
        "--similar", action="store_true", help="list students whose code is the same except for names and comments"
    )
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="W", help="students at a time")
    _add_effort(p)
    p = command("autograder", _autograder, "write the archive with which a platform grades submissions")
    platforms = p.add_mutually_exclusive_group(required=True)
    platforms.add_argument("--gradescope", type=Path, metavar="FILE.zip")
    platforms.add_argument("--classroom50", type=Path, metavar="FILE.zip")
    p.add_argument("numbers", nargs="*", type=_number, metavar="N", help="numbers of exercises (default: the rules')")
    p.add_argument("--rules", type=Path, metavar="FILE", help="a class.toml")
    _add_effort(p)
    p = command("new", _new, "write an exercise of your own: a stub, a page of properties and a solution")
    p.add_argument("folder", type=Path, metavar="DIR")
    p.add_argument("number", type=int, metavar="N", help="a free number, 14 or higher")
    p.add_argument("name", metavar="NAME", help="of the function, as in entropy")
    p = command("try", _try, "test the solutions in a folder of your own exercises against their properties")
    p.add_argument("folder", type=Path, metavar="DIR")
    return parser


def _add_effort(p: argparse.ArgumentParser) -> None:
    p.add_argument("--seed", type=int, help="a different seed gives different inputs (default: 0)")
    p.add_argument("--seconds", type=float, help="limit for a call (default: 3)")
    p.add_argument("--budget", type=int, metavar="CASES", help="cases for each property (default: 30)")


def _number(text: str) -> int:
    numbers = {str(number): number for number in EXERCISES}
    if text not in numbers:
        raise argparse.ArgumentTypeError(f"exercises have the numbers 1 to {max(EXERCISES)}, not {text!r}")
    return numbers[text]


def _list(options: argparse.Namespace) -> int:
    for number, exercise in EXERCISES.items():
        functions = ", ".join(dict.fromkeys(part.function for part in exercise.parts))
        _say(f"{number:3}  {exercise.title:52} {functions}")
    _say("\nBegin: python -m scratchlm exercise start homework 1")
    return 0


def _start(options: argparse.Namespace) -> int:
    if options.folder.exists() and not options.folder.is_dir():
        raise ValueError(f"{options.folder} is a file; start needs a folder")
    options.folder.mkdir(parents=True, exist_ok=True)
    numbers = options.numbers or list(EXERCISES)
    if options.notebook:
        notebook, made = write_notebook(options.folder, [EXERCISES[number] for number in numbers])
        _say(f"{_name(notebook)}: {_handed_out(made)}")
        return 0
    for number in numbers:
        place = options.folder / EXERCISES[number].file
        _say(f"{_name(place)}: {_handed_out(hand_out(EXERCISES[number].stub, place))}")
    place = str(options.folder / EXERCISES[numbers[0]].file)
    first = escaped(
        shlex.quote(f"./{place}" if place.startswith("-") else place)
    )  # otherwise it would look like an option
    own = f" --exercises {shell_word(options.exercises)}" if options.exercises else ""
    _say(f"\nOpen {first}, then: python -m scratchlm exercise check {first}{own}")
    return 0


def _handed_out(made: bool) -> str:
    return "yours to fill in" if made else "exists already and was not changed"


def _asked_for(options: argparse.Namespace) -> dict[int, list[Source]]:
    """Return the exercises to check, with the files that may answer them. Errors: ValueError, OSError."""
    path = options.path
    if not path.exists():
        raise ValueError(f"{path}: there is no such file or folder")
    sources = [source for source in found_at(path).sources if source.searched]
    handed_out = {exercise.file: number for number, exercise in EXERCISES.items()}.get(path.name)
    for number in options.numbers:
        if handed_out not in (None, number):
            raise ValueError(f"{path.name} is the file of exercise {handed_out}, not {number}")
        if path.is_dir() and not is_answered(EXERCISES[number], sources):
            raise ValueError(f"{path} holds no {EXERCISES[number].file}; exercise start makes one{_meant(sources)}")
    answered = [number for number, exercise in EXERCISES.items() if is_answered(exercise, sources)]
    numbers = options.numbers or ([handed_out] if handed_out else answered)
    if not numbers:
        if path.is_dir():
            raise ValueError(f"{path} holds no {EXERCISES[1].file}; exercise start makes one{_meant(sources)}")
        raise ValueError(f"{path} defines no function of an exercise; give the number: exercise check FILE N")
    return {number: [s for s in sources if may_answer(EXERCISES[number], s)] or sources for number in numbers}


def _meant(sources: list[Source]) -> str:
    return f" (there is {', '.join(escaped(source.name) for source in sources[:3])})" if sources else ""


def _check(options: argparse.Namespace) -> int:
    _say_what_the_wall_lacks()
    seen = _saved(options)  # before they are read, so that no save is missed
    reports = {number: _checked(number, options) for number in _asked_for(options)}
    while True:
        _say(summary(list(reports.values())) + escaped(next_step(list(reports.values()))))
        if options.watch:
            _say("\nWaiting for you to save a file; Ctrl-C stops.")
        if not options.watch or getattr(sys.stdout, "failed", None):  # nobody could read any more output
            return 0 if all(report.passed for report in reports.values()) else 1
        _check_again(options, seen, reports)


def _checked(number: int, options: argparse.Namespace) -> Report:
    rules = _with(options, Rules())
    judge = functools.partial(check, EXERCISES[number], seed=rules.seed, budget=rules.budget, seconds=rules.seconds)
    with contextlib.closing(done_apart(judge, [options.path])) as checked:
        ((_, report),) = checked
    if isinstance(report, Unable):
        raise report
    _say(as_text(report, width_of_terminal()) + "\n")
    return report


def _check_again(options: argparse.Namespace, seen: dict[int, str], reports: dict[int, Report]) -> None:
    """Wait until files are saved, and check them; if one cannot be read, say so, and wait for the next save."""
    while True:
        changed = _wait_for_change(options, seen)
        _say("\n" + "-" * 60)
        try:
            for number in changed:
                reports[number] = _checked(number, options)
            return
        except (OSError, ValueError) as error:
            _say(f"{in_words(error)}; save it again to check it again")


def _wait_for_change(options: argparse.Namespace, seen: dict[int, str]) -> list[int]:
    """Wait until files are saved or added; return their exercises. A file may be missing for a moment."""
    while True:
        now = _saved(options, seen)
        changed = [number for number in now if now[number] != seen.get(number)]
        seen |= now
        if changed:
            return changed
        time.sleep(0.3)


def _saved(options: argparse.Namespace, before: Collection[int] = ()) -> dict[int, str]:
    """Return a value that changes when a file that may answer an exercise is saved or becomes unreadable."""
    try:
        return {number: repr(sources) for number, sources in _asked_for(options).items()}
    except OSError:
        return {}
    except ValueError as error:
        return dict.fromkeys(before, str(error)) if options.path.exists() else {}


def _new(options: argparse.Namespace) -> int:
    for place, made in new_exercise(options.folder, options.number, options.name):
        _say(f"{_name(place)}: {_handed_out(made)}")
    _say(f"\nIt already passes. Change it, then: python -m scratchlm exercise try {shell_word(options.folder)}")
    return 0


def _try(options: argparse.Namespace) -> int:
    passed = True
    for number, exercise in enter(options.folder).items():
        assert isinstance(exercise, OwnExercise)
        place = solution_of(exercise)
        if not place.exists():
            raise ValueError(f"{exercise.place} has no solution to try; write it to {place}")
        report = check(exercise, place)
        passed = passed and report.passed
        _say(as_text(report, width_of_terminal()) + "\n")
        _say(f"Exercise {number}: {'its solution passes' if report.passed else 'its solution does not pass'}.")
    return 0 if passed else 1


def _hint(options: argparse.Namespace) -> int:
    exercise = EXERCISES[options.number]
    given = exercise.hints[: options.step]
    _say(f"Exercise {options.number}: {exercise.title}")
    for step, hint in enumerate(given, start=1):
        numbered = f"{step}. {hint}"
        _say("\n" + textwrap.fill(numbered, width_of_terminal(), subsequent_indent="   ", break_on_hyphens=False))
    if len(given) < len(exercise.hints):
        _say(f"\nOne more: python -m scratchlm exercise hint {options.number} --step {len(given) + 1}")
    return 0


def _with(options: argparse.Namespace, rules: Rules) -> Rules:
    """Return the rules, overridden by the options."""
    given = {name: getattr(options, name) for name in ("seed", "budget", "seconds")}
    return replace(rules, **{name: value for name, value in given.items() if value is not None})


def _rules_in(place: Path | None, options: argparse.Namespace) -> Rules:
    """Return the rules of a class.toml, if there is one, overridden by the options. Errors: ValueError."""
    rules = read(place, rules_in) if place else Rules()
    if own := options.exercises or rules.own:
        rules = replace(rules, own=own)
        enter(own)
    for number in (*rules.exercises, *rules.points, *rules.weights):
        if number not in EXERCISES:
            raise ValueError(f"{place}: there is no exercise {number}; exercises are numbered 1 to {max(EXERCISES)}")
    return _with(options, rules)


def _autograder(options: argparse.Namespace) -> int:
    rules = _rules_in(options.rules, options)
    numbers = tuple(sorted(set(options.numbers or rules.exercises or EXERCISES)))
    platform = "gradescope" if options.gradescope else "classroom50"
    place = options.gradescope or options.classroom50
    write_autograder(place, platform, replace(rules, exercises=numbers))
    _say(f"{_name(place)}: grades {'exercises' if len(numbers) > 1 else 'exercise'} {', '.join(map(str, numbers))}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    folder = options.folder if options.folder.is_dir() else options.folder.parent
    place = folder / "class.toml"
    rules = _rules_in(place if place.exists() else None, options)
    numbers = sorted(set(options.only or rules.exercises or EXERCISES))
    beside = folder / "roster.csv"
    listed = options.roster or (beside if beside.exists() else None)
    roster = read(listed, roster_in) if listed else None
    students, skipped = students_in(options.folder, options.out, rules.own)
    _say_what_the_wall_lacks()
    for name in skipped:
        _say(f"skipped: {escaped(name)} belongs to no student")
    effort = Effort(numbers, rules.seed, rules.budget, rules.seconds, rules.own)
    more = {"rules": rules, "roster": roster, "gradescope": options.gradescope, "workers": options.workers}
    notes, totals = [], list[float]()
    with contextlib.closing(grade(students, options.out, effort, **more)) as graded:
        for done, (label, total, note) in enumerate(graded, start=1):
            notes.append(note)
            totals += [total] if total is not None else []
            shown = "     -" if total is None else f"{total:6.2f}"
            line = f"{done:{len(str(len(students)))}} of {len(students)}  {label:24} {shown}  {note}"
            _say(line.rstrip())
    if totals:
        spread = f"{min(totals):g} to {max(totals):g}, median {statistics.median(totals):g}"
        _say(f"total, of {rules.whole(numbers):g} without stars: {spread}")
    _say(f"gradebook: {_name(options.out / 'gradebook.csv')}")
    ungraded, unread = (sum(note.endswith(what) for note in notes) for what in (UNGRADED, UNREAD))
    if ungraded:
        _say(f"{ungraded} could not be graded; gradebook.csv says why. Run the same command to try again")
    if unread:
        _say(f"{unread} could not be read completely; gradebook.csv says what is missing and what to do")
    if options.similar:
        _say("\n" + as_lines(_similar(students)))
    return 1 if ungraded or unread else 0


def _similar(students: list[Student]) -> list[Pair]:
    """Return the students whose code is the same."""
    texts = {}
    for student in students:
        with contextlib.suppress(OSError):  # an unreadable student has already been reported
            sources = found_in(student.places).sources
            texts[student.label] = [text for source in sources for _, text in source.cells]
    return similar(texts, [exercise.stub for exercise in EXERCISES.values()])


def _say_what_the_wall_lacks() -> None:
    if lacking := lacks():
        _say(f"On this system the wall around submissions lacks {' and '.join(lacking)}; see the classroom's README.")
