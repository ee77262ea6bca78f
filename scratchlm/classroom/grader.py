"""The judge: tests a submission's functions against the battery and says what to do next.

In: an exercise, the path of a student's file, and a seed. Out: a line for each property, with a mark, its points and,
if it fails, the smallest counterexample. The submission runs behind the wall (`sandbox.py`); the expected results stay
on this side.
"""

import contextlib
import random
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scratchlm.classroom.answers import answers_to
from scratchlm.classroom.candidates import CANDIDATES
from scratchlm.classroom.exercises import EXAMINER, Exercise, Part, properties_of
from scratchlm.classroom.found import found_at
from scratchlm.classroom.marks import BONUS, FAILS, HOLDS, POINTS, UNTOUCHED, Line, Report
from scratchlm.classroom.points import ROW, ROWS, WORTH, one_cause, shares_of, waits, waits_for
from scratchlm.classroom.replies import Refused
from scratchlm.classroom.sandbox import Lost, Submission, Unable
from scratchlm.properties import Property, Verdict, judged
from scratchlm.properties.calling import Unanswered, find_way
from scratchlm.properties.diagnosis import diagnose
from scratchlm.properties.examination import AGAIN, unanswered
from scratchlm.properties.kinds import KINDS
from scratchlm.terminal import escaped, in_one_line

LOSSES_ALLOWED = 2  # a function is given up once the submission's process has been lost this often


def check(
    exercise: Exercise, path: Path, *, seed: int = 0, budget: int = 30, shrink: bool = True, seconds: float = 3.0
) -> Report:
    """Return the report on an exercise in a student's file or folder, whatever it contains.

    `budget` is the number of cases for a property, `seconds` the limit for a call. With shrink=False the report shows
    the first counterexample instead of the smallest.
    Errors: ValueError if it is not code, or is too large; OSError if it cannot be read; Unable, which is an OSError, if
    it cannot be judged here.
    """
    with Submission(found_at(path), seconds) as submission:
        return checked(exercise, submission, seed=seed, budget=budget, shrink=shrink)


def checked(
    exercise: Exercise, submission: Submission, *, seed: int = 0, budget: int = 30, shrink: bool = True
) -> Report:
    """Return the report on an exercise in a submission, whose functions are found by name. Errors: Unable."""
    submission.output = ""
    answers = answers_to(exercise, submission)
    file = ", ".join(answers.files) or exercise.file
    required = {part.function for part in exercise.parts}
    if set(answers.missing) == required:  # nothing to judge
        lines = [line for part in exercise.parts for line in _all(exercise, part, FAILS, "")]
        trouble = "; ".join(dict.fromkeys(answers.missing.values()))
        return Report(exercise.number, exercise.title, file, lines, submission.printed, trouble, [], answers.troubles)
    lines = judge(exercise, submission, seed=seed, budget=budget, shrink=shrink)
    for function, why in answers.missing.items():
        lines = [replace(line, note=why) if line.function == function else line for line in lines]
    troubles = [*dict.fromkeys(answers.missing.values()), *answers.troubles]
    return Report(exercise.number, exercise.title, file, lines, submission.printed, "", answers.remarks, troubles)


class Functions(Protocol):
    """The functions to judge, wherever they run: behind the wall or in this process.

    `candidate` is the function that a submission may call if it was passed "<ask>". `lost` says why calls can no
    longer succeed, if so. If `mirrored`, the caller sees what a function does to its arguments.
    """

    signatures: dict[str, list[str]]
    candidate: Callable[..., Any] | None
    lost: str
    mirrored: bool

    def function(self, name: str) -> Callable[..., Any]:
        """Return a function that can be called from here."""


def judge(
    exercise: Exercise, submission: Functions, *, seed: int = 0, budget: int = 30, shrink: bool = True
) -> list[Line]:
    """Return a line for each property of an exercise. Errors: Unable if it cannot be judged here."""
    lines: list[Line] = []
    for part in exercise.parts:
        if part.starred and any(
            line.mark != HOLDS or not line.counts for line in lines if line.function == part.function
        ):
            lines += _all(exercise, part, UNTOUCHED, "tried once all required properties hold")
        else:
            lines += _counted(part, list(_part(submission, exercise, part, seed, budget, shrink)))
    return lines


def _counted(part: Part, lines: list[Line]) -> list[Line]:
    """Return a function's lines: some wait until ordinary scores are right, and each cause costs points only once."""
    first = waits_for(part.kind, [line.name for line in lines])
    if part.starred or part.kind == EXAMINER or not any(line.name == first for line in lines):
        return lines
    if any(line.name == first and line.mark != HOLDS for line in lines):
        why = f"counts once {first!r} holds"
        held = {line.name for line in lines if line.mark == HOLDS and waits(part.kind, line.name)}
        return [replace(line, counts=False, note=why) if line.name in held else line for line in lines]
    failing = {line.name: line for line in lines if line.mark == FAILS}
    cause = one_cause([(name, line.raised) for name, line in failing.items() if waits(part.kind, name)])
    for leader in dict.fromkeys(cause.values()):
        group = [leader, *(other for other in cause if cause[other] == leader)]
        charged = max(group, key=lambda name: failing[name].possible)
        for name in group:
            if name != charged:
                failing[name] = _forgiven(failing[name], f"same cause as {charged!r}")
    if ROW in failing:
        failing[ROW] = _forgiven(failing[ROW], f"{ROWS} are right")
    return [failing.get(line.name, line) for line in lines]


def _forgiven(line: Line, why: str) -> Line:
    return replace(line, forgiven=True, note=f"{why}: it costs nothing more")


def _points(exercise: Exercise, part: Part) -> list[float]:
    """Return the points for each thing asked of a function."""
    parts = [each for each in exercise.parts if each.starred == part.starred]
    worth = {each.function: 1.0 if part.starred else WORTH.get(each.function, 1.0) for each in parts}
    total = (BONUS if part.starred else POINTS) * worth[part.function] / sum(worth.values())
    if part.kind == EXAMINER:
        count = len(_asked_of(part))
        return [total / count] * count
    return shares_of(part.kind, properties_of(part), total)


def _asked_of(part: Part) -> list[tuple[str, str, str]]:
    """Return the name, identity and hint of each thing asked of a function."""
    if part.kind == EXAMINER:
        first = ("no false alarm", "every right softmax passes", "Which of your demands is too strict for a float?")
        hint = "Which identity does it break? Write a row that shows it."
        wrong = [name for name, (_, right) in CANDIDATES.items() if not right]
        return [first, *((f"catches {name}", "no wrong softmax passes", hint) for name in wrong)]
    return [(p.name, p.identity, p.hint) for p in properties_of(part)]


def _all(exercise: Exercise, part: Part, mark: str, note: str) -> Iterator[Line]:
    """Yield a line for each thing asked of a function, all with the same mark and note."""
    for (name, identity, _), possible in zip(_asked_of(part), _points(exercise, part), strict=True):
        yield Line(part.function, name, identity, mark, part.starred, possible, note=note)


def _part(
    submission: Functions, exercise: Exercise, part: Part, seed: int, budget: int, shrink: bool
) -> Iterator[Line]:
    """Judge one function of a submission, property by property."""
    if part.function not in submission.signatures:
        yield from _all(exercise, part, FAILS, f"there is no function {part.function} in the file")
        return
    if part.kind == EXAMINER:
        yield from _tells_apart(submission, exercise, part, seed)
        return
    calls = _Calls(submission, part)
    first, *others = _all(exercise, part, FAILS, "")
    if found := calls.find_way(first):
        if found.mark == UNTOUCHED:
            yield from _all(exercise, part, UNTOUCHED, "not attempted yet")
        else:
            yield found
            yield from (replace(line, note="the same again") for line in others)
        return
    lines = list(_property_by_property(calls, exercise, part, seed, budget, shrink))
    forgotten, diagnosis = calls.looked_at_as_a_whole(lines)
    said = diagnosis
    if forgotten:
        lines = [replace(line, counts=False, note=forgotten) if line.mark == HOLDS else line for line in lines]
    for line in lines:
        if line.mark == FAILS and diagnosis:  # said once, in place of the hints, which do not know the mistake
            line, said = replace(line, hint="", diagnosis=said), ""
        yield line


def _property_by_property(
    calls: "_Calls", exercise: Exercise, part: Part, seed: int, budget: int, shrink: bool
) -> Iterator[Line]:
    """Judge one function, property by property, until its process has been lost too often."""
    losses, raised_before = 0, set()
    for p, line in zip(properties_of(part), _all(exercise, part, FAILS, ""), strict=True):
        if losses >= LOSSES_ALLOWED:
            yield replace(line, note="not tried")
            continue
        line = calls.judge(
            line, p, max(budget, 100) if part.starred else budget, seed, shrink
        )  # last digits fail rarely
        if line.mark == UNTOUCHED and not calls.returned:
            yield from _all(exercise, part, UNTOUCHED, "not attempted yet")
            return
        losses += calls.lost
        if line.actual in raised_before:
            line = replace(line, counterexample="", expected="", message="", hint="", note="the same again")
        if line.mark == FAILS and not line.hint:  # it raised something, or returned no array
            raised_before.add(line.actual)
        yield replace(line, mark=FAILS) if line.mark == UNTOUCHED else line


class _Calls:
    """A function of a submission while it is judged, and what goes wrong besides a wrong result."""

    def __init__(self, submission: Functions, part: Part) -> None:
        self.submission, self.kind, self.f = submission, part.kind, submission.function(part.function)
        self.returned = False  # has it ever returned?
        self.lost = False  # did the last property cost the process, or much time?
        self.stopped: BaseException | None = None  # by something other than an answer
        self.way: Any = self._callable()

    def find_way(self, line: Line) -> Line | None:
        """Find out how to call it; if it cannot be judged, return the line that says what is wrong."""
        if self.kind not in KINDS:
            return None
        self._begin()
        try:
            with _unwarned():
                self.way = find_way(self.kind, self._callable())
        except Unanswered as nothing:
            with _unwarned():
                verdict = unanswered(self.kind, nothing)
            return self._told(line, verdict, nothing.way is None)
        finally:
            self._refuse_to_judge_what_is_ours(None)
        return None

    def judge(self, line: Line, p: Property, budget: int, seed: int, shrink: bool) -> Line:
        """Return the line with the outcome of a property; UNTOUCHED if the function raised NotImplementedError."""
        self._begin(mirrored=p.name == "input untouched")
        (verdict,) = judged(self.kind, [p], self.way, budget=budget, seed=seed, shrink=shrink)
        self._refuse_to_judge_what_is_ours(verdict)
        self.lost = isinstance(self.stopped, Lost | MemoryError)
        return self._told(line, verdict, bool(self.stopped))

    def looked_at_as_a_whole(self, lines: list[Line]) -> tuple[str, str]:
        """Return why nothing counts, if its first answers have changed, and the mistake, if it is a known one."""
        if self.kind not in KINDS or self.lost or any(line.starred for line in lines):
            return "", ""
        self._begin()
        with _unwarned():
            forgotten = self.way.forgotten()
            wrong = any(line.mark == FAILS for line in lines)
            diagnosis = diagnose(self.way) if wrong and not forgotten else ""
        self._refuse_to_judge_what_is_ours(None)
        return f"{forgotten.what}: {AGAIN.hint}" if forgotten else "", diagnosis

    def _begin(self, mirrored: bool = False) -> None:
        self.stopped, self.case = None, ""
        self.submission.lost, self.submission.mirrored = "", mirrored

    def _told(self, line: Line, verdict: Verdict, stopped: bool) -> Line:
        """Return a line with the verdict, or with what stopped the function before it answered."""
        if stopped and isinstance(self.stopped, NotImplementedError):
            return replace(line, mark=UNTOUCHED, note="it raised NotImplementedError here", counterexample=self.case)
        if stopped and self.stopped:
            return replace(line, note=_said(self.stopped), counterexample=self.case, raised=_said(self.stopped))
        if verdict.passed:
            return replace(line, mark=HOLDS)
        hint = "" if verdict.raised or _is_nothing(verdict.actual) else verdict.property.hint
        message = "it returned None: is a `return` missing?" if _is_nothing(verdict.actual) else verdict.message
        seen = [_few_lines(text) for text in (verdict.counterexample, verdict.expected, verdict.actual)]
        line = replace(line, counterexample=seen[0], expected=seen[1], actual=seen[2], diagnosis=verdict.diagnosis)
        return replace(line, message=in_one_line(message), hint=hint, raised=verdict.actual if verdict.raised else "")

    def _refuse_to_judge_what_is_ours(self, verdict: Verdict | None) -> None:
        """Raise Unable if the property failed for lack of something on this side of the wall."""
        if isinstance(self.stopped, Unable):
            raise self.stopped
        if verdict and verdict.raised and not self.stopped and verdict.actual.startswith("MemoryError"):
            raise Unable("there is not enough memory to judge it")

    def _callable(self) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.stopped and not isinstance(self.stopped, NotImplementedError):
                raise self.stopped  # not called again, even for a smaller case
            try:
                result = self.f(*args, **kwargs)
                self.returned = True
                return result
            except (NotImplementedError, Lost, Refused, MemoryError, Unable) as error:
                self.stopped, self.case = error, ", ".join(repr(a) for a in args)[:300]
                raise

        call.__signature__ = self.f.__signature__  # type: ignore[attr-defined]
        return call


@contextlib.contextmanager
def _unwarned() -> Iterator[None]:
    """Silence warnings in the block: a property judges whether a submission warns."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def _is_nothing(actual: str) -> bool:
    return actual == "NoneType: None"


def _tells_apart(submission: Functions, exercise: Exercise, part: Part, seed: int) -> Iterator[Line]:
    """Give the candidates to a student's property, in an order set by the seed, and see which of them pass."""
    answers: dict[str, Any] = {}
    order = list(CANDIDATES)
    random.Random(seed).shuffle(order)
    f = submission.function(part.function)
    for name in order:
        submission.candidate, submission.lost = CANDIDATES[name][0], ""
        try:
            answer = f("<ask>")
            answer = bool(answer) if isinstance(answer, np.bool_) else answer
            answers[name] = answer if isinstance(answer, bool) else f"returned {in_one_line(repr(answer), 80)}"
        except NotImplementedError:
            yield from _all(exercise, part, UNTOUCHED, "not attempted yet")
            return
        except Unable:
            raise
        except Exception as error:
            answers[name] = f"raised {_said(error)}"
    alarms = [name for name, (_, right) in CANDIDATES.items() if right and answers[name] is not True]
    wrong = [name for name, (_, right) in CANDIDATES.items() if not right]
    hints = [hint for _, _, hint in _asked_of(part)]
    for line, hint, name in zip(_all(exercise, part, FAILS, ""), hints, ["", *wrong], strict=True):
        fine = not alarms and (not name or answers[name] is False)  # calling everything wrong catches nothing
        if fine:
            yield replace(line, mark=HOLDS)
        elif name and alarms:
            yield replace(line, note="counts only if there is no false alarm")
        else:
            yield replace(line, message=_misjudged(name or alarms[0], answers[name or alarms[0]]), hint=hint)


def _misjudged(name: str, answer: Any) -> str:
    """Return the answer about a candidate, and what that candidate does."""
    about = " ".join((CANDIDATES[name][0].__doc__ or name).split())
    if isinstance(answer, bool):
        return f"it returned {answer} for this one. {about}"
    return f"it must return True or False, but it {answer} for this one. {about}"


def _said(error: BaseException) -> str:
    if isinstance(error, Lost | Refused):
        return in_one_line(error)
    return in_one_line(f"{type(error).__name__}: {error}".strip(": "))


def _few_lines(text: str) -> str:
    """Return a text as a few lines that a terminal only displays."""
    return "\n".join(escaped(line)[:300] for line in text[:6000].split("\n")[:20])
