"""The judge: holds the functions of a submission against the battery, and says what to do next.

In: an exercise, the path of a student's file, and a seed. Out: a line for each property, with a mark, its points, and
where it fails the smallest counterexample. The submission runs behind the wall (`sandbox.py`); what is expected stays
on this side.
"""

import random
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from scratchlm.classroom.exercises import EXAMINER, EXERCISES, Exercise, Part, properties_of
from scratchlm.classroom.sandbox import Lost, Refused, Submission
from scratchlm.classroom.tasks import CANDIDATES
from scratchlm.properties import Property, Verdict, judged

POINTS, BONUS = 10.0, 2.0  # for all required properties of an exercise together, and for all starred ones
HOLDS, FAILS, UNTOUCHED = "✓", "✗", "–"
OFTEN = 2  # so many times a submission's process may be lost before the rest of a function is given up


@dataclass(frozen=True)
class Line:
    """What became of a property: its mark, its points, and what there is to say."""

    function: str
    name: str
    identity: str
    mark: str
    starred: bool
    possible: float
    counterexample: str = ""
    expected: str = ""
    actual: str = ""
    message: str = ""
    hint: str = ""
    counts: bool = True

    @property
    def points(self) -> float:
        """Return what it earned."""
        return self.possible if self.mark == HOLDS and self.counts else 0.0


@dataclass(frozen=True)
class Report:
    """What became of an exercise: its lines, what the submission printed, and the points."""

    exercise: int
    title: str
    file: str
    lines: list[Line] = field(default_factory=list)
    printed: str = ""

    @property
    def points(self) -> float:
        """Return the points, to the hundredth."""
        return round(sum(line.points for line in self.lines), 2)

    @property
    def passed(self) -> bool:
        """Return whether all that is required holds."""
        return all(line.mark == HOLDS for line in self.lines if not line.starred)

    @property
    def attempted(self) -> bool:
        """Return whether anything was."""
        return any(line.mark != UNTOUCHED for line in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Return it as plain values."""
        return {**asdict(self), "points": self.points, "passed": self.passed}


def check(
    exercise: Exercise, path: Path, *, seed: int = 0, budget: int = 30, shrink: bool = True, seconds: float = 3.0
) -> Report:
    """Return what becomes of a student's file, whatever is in it. Errors: OSError if it cannot be read.

    `budget` is the number of cases for a property, `seconds` the limit for a call.
    """
    worth = _worth(exercise)
    with Submission(path, seconds) as submission:
        try:
            submission.start()
        except Exception as error:
            why = f"the file could not be loaded: {_said(error)}"
            marked = [line for part in exercise.parts for line in _all(part, FAILS, worth[part.starred], why)]
            return Report(exercise.number, exercise.title, path.name, marked, submission.printed)
        lines = []
        for part in exercise.parts:
            lines += _counted(part, list(_part(submission, part, worth[part.starred], seed, budget, shrink)))
        return Report(exercise.number, exercise.title, path.name, lines, submission.printed)


# A function that computes nothing useful can leave its input alone, raise no warning, and keep the shape. That counts
# once the function does what it is for: these properties say so; of any other kind, the first does.
CORE = {
    "softmax": ("a distribution", "ratios"),
    "logsumexp": ("in two parts",),
    "log_softmax": ("normalised", "differences kept"),
    "nll_loss": ("the target's",),
    "cross_entropy": ("the target's",),
    "cross_entropy_backward": ("the formula",),
    "softmax_backward": ("the Jacobian",),
    "log_softmax_backward": ("the Jacobian",),
    "top_k": ("kept as they are", "k of them"),
    "top_p": ("kept as they are", "the smallest nucleus"),
}


def _counted(part: Part, lines: list[Line]) -> list[Line]:
    """Return the lines of a function, none of which earns anything while its core fails."""
    core = CORE.get(part.kind) or tuple(p.name for p in properties_of(part)[:1])
    failing = [line.name for line in lines if line.name in core and line.mark != HOLDS]
    if part.starred or not failing:
        return lines
    return [replace(line, counts=False, message=line.message or f"counts once {failing[0]!r} holds") for line in lines]


def _worth(exercise: Exercise) -> dict[bool, float]:
    """Return what a property is worth, required or starred: each as much as the others."""
    counts = {starred: sum(len(_names(p)) for p in exercise.parts if p.starred == starred) for starred in (False, True)}
    return {False: POINTS / max(counts[False], 1), True: BONUS / max(counts[True], 1)}


def _names(part: Part) -> list[tuple[str, str, str]]:
    """Return name, identity and hint of all that is asked of a function."""
    if part.kind == EXAMINER:
        first = ("no false alarm", "every right softmax passes", "Which of your demands is too strict for a float?")
        hint = "Which of the identities does it break? Write a row on which that shows."
        wrong = [name for name, (_, right) in CANDIDATES.items() if not right]
        return [first, *((f"catches {name}", "a wrong one does not pass", hint) for name in wrong)]
    return [(p.name, p.identity, p.hint) for p in properties_of(part)]


def _all(part: Part, mark: str, worth: float, why: str) -> Iterator[Line]:
    for name, identity, _ in _names(part):
        yield Line(part.function, name, identity, mark, part.starred, worth, message=why)


def _part(submission: Submission, part: Part, worth: float, seed: int, budget: int, shrink: bool) -> Iterator[Line]:
    """Judge one function of a submission, property by property."""
    if part.function not in submission.signatures:
        yield from _all(part, FAILS, worth, f"there is no function {part.function} in the file")
        return
    if part.kind == EXAMINER:
        yield from _tells_apart(submission, part, worth, seed)
        return
    calls = _Calls(submission, part.function)
    losses, submission.spent = 0, 0.0
    for p in properties_of(part):
        if losses >= OFTEN:
            yield _line(part, p, FAILS, worth, message=f"not tried any more: {calls.why}")
            continue
        cases = max(budget, 100) if part.starred else budget  # the last digits go wrong in a few rows only
        verdict = calls.judge(part.kind, p, cases, seed, shrink)
        if calls.untouched and not calls.returned:
            yield from _all(part, UNTOUCHED, worth, "not attempted yet")
            return
        if calls.untouched:
            yield _line(part, p, FAILS, worth, message="it raised NotImplementedError here", counterexample=calls.case)
        elif calls.why:
            losses += 1
            yield _line(part, p, FAILS, worth, message=calls.why, counterexample=calls.case)
        elif verdict.passed:
            yield _line(part, p, HOLDS, worth)
        else:
            yield _line(
                part, p, FAILS, worth, verdict.counterexample, verdict.expected, verdict.actual, verdict.message, p.hint
            )


def _line(
    part: Part,
    p: Property,
    mark: str,
    worth: float,
    counterexample: str = "",
    expected: str = "",
    actual: str = "",
    message: str = "",
    hint: str = "",
) -> Line:
    said = (counterexample, expected, actual, message, hint)
    return Line(part.function, p.name, p.identity, mark, part.starred, worth, *said)


class _Calls:
    """A function of a submission while it is judged: what went wrong beyond a wrong result."""

    def __init__(self, submission: Submission, name: str) -> None:
        self.submission, self.f = submission, submission.function(name)
        self.why, self.case, self.untouched, self.returned = "", "", False, False

    def judge(self, kind: str, p: Property, budget: int, seed: int, shrink: bool) -> Verdict:
        """Return the verdict on a property; `why` tells if the process was lost on the way, or something refused."""
        self.why, self.case, self.untouched, self.submission.lost = "", "", False, ""
        (verdict,) = judged(kind, [p], self._callable(), budget=budget, seed=seed, shrink=shrink)
        return verdict

    def _callable(self) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self.why or self.untouched:  # no second time, however much smaller the case could be made
                raise Lost(self.why)
            try:
                result = self.f(*args, **kwargs)
                self.returned = True
                return result
            except NotImplementedError:
                self.untouched, self.case = True, ", ".join(repr(a) for a in args)[:300]
                raise
            except (Lost, Refused, MemoryError) as error:
                self.why = _said(error)
                self.case = ", ".join(repr(a) for a in args)[:300]
                raise

        call.__signature__ = self.f.__signature__  # type: ignore[attr-defined]
        return call


def _tells_apart(submission: Submission, part: Part, worth: float, seed: int) -> Iterator[Line]:
    """Hand the candidates to a student's property, in an order of the seed, and see which it lets pass."""
    answers: dict[str, Any] = {}
    order = list(CANDIDATES)
    random.Random(seed).shuffle(order)
    f = submission.function(part.function)
    for name in order:
        submission.asked, submission.lost = CANDIDATES[name][0], ""
        try:
            answers[name] = f("<ask>")
        except NotImplementedError:
            yield from _all(part, UNTOUCHED, worth, "not attempted yet")
            return
        except Exception as error:
            answers[name] = _said(error)
    alarms = [name for name, (_, right) in CANDIDATES.items() if right and answers[name] is not True]
    wrong = [name for name, (_, right) in CANDIDATES.items() if not right]
    for (title, identity, hint), name in zip(_names(part), ["", *wrong], strict=True):
        fine = not alarms and (not name or answers[name] is False)  # who calls everything wrong has caught nothing
        misjudged = name or (alarms[0] if alarms else "")
        why = f"it said {answers[misjudged]!r}. {_about(misjudged)}" if not fine else ""
        if name and alarms:
            why = "counts only without a false alarm"
        mark = HOLDS if fine else FAILS
        yield Line(part.function, title, identity, mark, part.starred, worth, message=why, hint=hint)


def _about(name: str) -> str:
    """Return what a candidate does, which a student is told when it was misjudged."""
    return " ".join((CANDIDATES[name][0].__doc__ or name).split())


def _said(error: BaseException) -> str:
    if isinstance(error, Lost | Refused):
        return str(error)
    return " ".join(f"{type(error).__name__}: {error}".strip(": ").split())


def exercise_of(path: Path) -> Exercise | None:
    """Return the exercise that a file is for, by its name, or None."""
    return next((e for e in EXERCISES.values() if e.file == path.name), None)
