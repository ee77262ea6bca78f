"""The commands of the classroom: list, start, check, hint, grade. They parse, call and print, and judge nothing."""

import argparse
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from scratchlm.classroom.exercises import EXERCISES, STUBS
from scratchlm.classroom.gradebook import grade, students_in
from scratchlm.classroom.grader import Report, check
from scratchlm.classroom.paper import as_text, next_step


def run(arguments: Sequence[str], prog: str) -> int:
    """Run a command; return its exit status. Errors: ValueError and OSError, to be told in one line."""
    options = _parser(prog).parse_args(arguments)
    for name in ("budget", "workers", "step"):
        if getattr(options, name, 1) < 1:
            raise ValueError(f"--{name} must be at least 1, not {getattr(options, name)}")
    if not 0 < getattr(options, "seconds", 1) < 3600:
        raise ValueError(f"--seconds must be above 0 and below 3600, not {options.seconds}")
    status: int = options.run(options)
    return status


def _parser(prog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=prog, description="Exercises, and a grader for them.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        p = commands.add_parser(name, help=text, description=text)
        p.set_defaults(run=run)
        return p

    command("list", _list, "say which exercises there are")
    p = command("start", _start, "copy exercises into a folder, and never overwrite a file")
    p.add_argument("folder", type=Path, metavar="DIR")
    p.add_argument("numbers", nargs="*", type=_number, metavar="N", help="numbers of exercises (default: all)")
    p = command("check", _check, "check a file, or those of a folder; exit status 0 if all that is required holds")
    p.add_argument("path", type=Path, metavar="FILE|DIR")
    p.add_argument("numbers", nargs="*", type=_number, metavar="N", help="numbers of exercises (default: all there)")
    p.add_argument("--watch", action="store_true", help="check again whenever a file is saved")
    _add_effort(p)
    p = command("hint", _hint, "print hints, one more each time")
    p.add_argument("number", type=_number, metavar="N")
    p.add_argument("--step", type=int, default=1, metavar="K", help="the first K hints (default: 1)")
    p = command("grade", _grade, "grade a folder that holds a folder for each student")
    p.add_argument("folder", type=Path, metavar="SUBMISSIONS_DIR")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="where reports and gradebook.csv go")
    p.add_argument("--only", type=_number, action="append", metavar="N", help="an exercise; may be repeated")
    p.add_argument("--gradescope", action="store_true", help="write Gradescope's results.json for each student as well")
    p.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="W", help="students at a time")
    _add_effort(p)
    return parser


def _add_effort(p: argparse.ArgumentParser) -> None:
    p.add_argument("--seed", type=int, default=0, help="another seed, other inputs (default: 0)")
    p.add_argument("--seconds", type=float, default=3.0, help="limit for a call (default: 3)")
    p.add_argument("--budget", type=int, default=30, metavar="CASES", help="cases for each property (default: 30)")


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) not in EXERCISES:
        raise argparse.ArgumentTypeError(f"exercises have the numbers 1 to {max(EXERCISES)}, not {text!r}")
    return int(text)


def _list(options: argparse.Namespace) -> int:
    for number, exercise in EXERCISES.items():
        functions = ", ".join(dict.fromkeys(part.function for part in exercise.parts))
        print(f"{number:3}  {exercise.title:52} {functions}")
    print("\nBegin: python -m scratchlm exercise start mine 1")
    return 0


def _start(options: argparse.Namespace) -> int:
    options.folder.mkdir(parents=True, exist_ok=True)
    for number in options.numbers or EXERCISES:
        name = EXERCISES[number].file
        place = options.folder / name
        try:
            with open(place, "xb") as file:
                file.write((STUBS / name).read_bytes())
            print(f"{place}: yours to fill in")
        except FileExistsError:
            print(f"{place}: is there already, and was left as it is")
    first = options.folder / EXERCISES[(options.numbers or list(EXERCISES))[0]].file
    print(f"\nOpen {first}, then: python -m scratchlm exercise check {first}")
    return 0


def _files(options: argparse.Namespace) -> list[tuple[int, Path]]:
    """Return the exercises to check, with their files."""
    by_file = {exercise.file: number for number, exercise in EXERCISES.items()}
    if not options.path.exists():
        raise ValueError(f"{options.path}: there is no such file or folder")
    if options.path.is_dir():
        found = [(n, options.path / EXERCISES[n].file) for n in options.numbers or EXERCISES]
        there = [(n, path) for n, path in found if path.is_file()]
        missing = [path.name for _, path in found if not path.is_file()]
        if not there or (options.numbers and missing):
            raise ValueError(f"{options.path} holds no {' and no '.join(missing[:3])}; exercise start makes it")
        return there
    number = by_file.get(options.path.name) or (options.numbers[0] if len(options.numbers) == 1 else None)
    if number is None:
        raise ValueError(f"{options.path.name} is named like no exercise; say which it is: exercise check FILE N")
    return [(number, options.path)]


def _check(options: argparse.Namespace) -> int:
    while True:
        files = _files(options)
        seen = _saved(files)
        reports = _checked(files, options)
        if not options.watch:
            return 0 if all(report.passed for report in reports) else 1
        print("\nWaiting for a file to be saved; Ctrl-C ends it.", flush=True)
        while _saved(files) == seen:
            time.sleep(0.3)
        print("\n" + "-" * 60)


def _checked(files: list[tuple[int, Path]], options: argparse.Namespace) -> list[Report]:
    reports = []
    for number, path in files:
        reports.append(
            check(EXERCISES[number], path, seed=options.seed, budget=options.budget, seconds=options.seconds)
        )
        print(as_text(reports[-1]) + "\n", flush=True)
    print(next_step(reports), flush=True)
    return reports


def _saved(files: list[tuple[int, Path]]) -> list[int]:
    return [path.stat().st_mtime_ns if path.exists() else 0 for _, path in files]


def _hint(options: argparse.Namespace) -> int:
    exercise = EXERCISES[options.number]
    shown = exercise.hints[: options.step]
    print(f"Exercise {options.number}: {exercise.title}")
    for step, hint in enumerate(shown, start=1):
        print(f"\n{step}. {hint}")
    if len(shown) < len(exercise.hints):
        print(f"\nOne more: python -m scratchlm exercise hint {options.number} --step {len(shown) + 1}")
    return 0


def _grade(options: argparse.Namespace) -> int:
    students = students_in(options.folder)
    numbers = sorted(set(options.only)) if options.only else list(EXERCISES)
    graded = grade(
        students,
        options.out,
        numbers,
        seed=options.seed,
        budget=options.budget,
        seconds=options.seconds,
        gradescope=options.gradescope,
        workers=options.workers,
    )
    for done, (name, points, before) in enumerate(graded, start=1):
        note = "  (as graded before)" if before else ""
        print(f"{done:{len(str(len(students)))}} of {len(students)}  {name:24} {points:6.2f}{note}", flush=True)
    print(f"gradebook: {options.out / 'gradebook.csv'}")
    return 0
