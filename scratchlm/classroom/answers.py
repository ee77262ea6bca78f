"""Which file answers an exercise: functions are found by their names, whatever the file is called.

In: an exercise and a submission behind the wall. Out: the submission, which then knows which function to call in which
file, and remarks: which of several files was used, what is missing, what it may be called instead, and what to do.
"""

import difflib
import re
from dataclasses import dataclass, field
from typing import Protocol

from scratchlm.classroom.exercises import EXERCISES, Exercise
from scratchlm.classroom.found import Source
from scratchlm.classroom.sandbox import Loaded
from scratchlm.terminal import in_one_line


class Files(Protocol):
    """The part of a submission that this module uses."""

    sources: list[Source]
    signatures: dict[str, list[str]]
    places: dict[str, int]

    def load(self, index: int) -> Loaded:
        """Return the contents of a file."""


@dataclass
class Answers:
    """What was found for an exercise: files used, remarks on which of several, what failed, and what is missing."""

    files: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)  # why a function is missing


def answers_to(exercise: Exercise, submission: Files) -> Answers:
    """Find the functions of an exercise, and enter them into the submission. Errors: Unable."""
    answers, looked_at, used = Answers(), dict[int, Loaded](), list[int]()
    for function in dict.fromkeys(part.function for part in exercise.parts):
        there: dict[int, Loaded] = {}
        taken = None
        for index in _candidates(exercise, function, submission.sources):
            loaded = looked_at[index] = submission.load(index)
            if function in loaded.functions:
                there[index] = loaded
                if function not in loaded.untouched:
                    taken = index
                    break
        if taken is None:  # nowhere, or only in its original, unwritten form
            used += looked_at
            taken = next(iter(there), None)
        if taken is None:
            answers.missing[function] = _why_missing(function, exercise, looked_at, submission.sources)
            continue
        used.append(taken)
        submission.places[function] = taken
        submission.signatures[function] = there[taken].functions[function]
        answers.remarks += _which(exercise, function, taken, submission.sources)
    own = list(dict.fromkeys(used))
    answers.files = [submission.sources[index].name for index in own]
    answers.troubles = list(dict.fromkeys(trouble for index in own for trouble in looked_at[index].troubles))
    return answers


def is_answered(exercise: Exercise, sources: list[Source]) -> bool:
    """Return whether an exercise was handed in."""
    return any(may_answer(exercise, source) for source in sources if source.searched)


def may_answer(exercise: Exercise, source: Source) -> bool:
    """Return whether a file belongs to an exercise by name, or defines one of its functions, or a similar name."""
    rank, functions = _rank(exercise, source), {part.function for part in exercise.parts}
    nearly = rank == 1 and any(nearly_called(function, [source]) for function in functions)
    return rank == 0 or nearly or any(source.defines(function) for function in functions)


def _candidates(exercise: Exercise, function: str, sources: list[Source]) -> list[int]:
    """Return the files that may contain a function, the likeliest first."""

    def place(index: int) -> tuple[bool, int, float]:
        rank = _rank(exercise, sources[index])
        return not (rank == 0 or sources[index].defines(function)), rank, -sources[index].changed

    searched = [index for index, source in enumerate(sources) if source.searched]
    known = [i for i in searched if _rank(exercise, sources[i]) == 0 or sources[i].mentions(function)]
    sure = [i for i in known if not place(i)[0]]
    return sorted((i for i in known if i in sure or _rank(exercise, sources[i]) < 2), key=place)


def _rank(exercise: Exercise, source: Source) -> int:
    """Return 0 for a file named after the exercise or a function; 2 for another exercise's file; otherwise 1."""
    stem = source.plain_name.partition(".")[0].lower()
    if stem in (exercise.file.removesuffix(".py"), *(part.function for part in exercise.parts)):
        return 0
    return 2 if any(stem == other.file.removesuffix(".py") for other in EXERCISES.values()) else 1


def _which(exercise: Exercise, function: str, taken: int, sources: list[Source]) -> list[str]:
    """Return which of several definitions was used, and why."""
    mine = sources[taken]
    rivals = [s for s in sources if s is not mine and s.searched and s.defines(function) and s.text != mine.text]
    others = [source for source in rivals if _rank(exercise, source) < 2]
    if not others:
        return []
    named = _rank(exercise, mine) == 0 and all(_rank(exercise, source) > 0 for source in others)
    why = "because of its name" if named else "because it was changed last"
    names = ", ".join(source.name for source in (mine, *others))
    return [f"{function} is defined in {names}; {mine.name} was used, {why}"]


def nearly_called(function: str, sources: list[Source]) -> list[str]:
    """Return functions whose names are nearly this one and do not belong to another exercise.

    >>> nearly_called("softmax", [Source("a.py", (("a.py", "def Soft_Max(z): return z"),))])
    ['Soft_Max']
    """
    known = {part.function for exercise in EXERCISES.values() for part in exercise.parts}
    names = [name for s in sources for name in re.findall(r"^[ \t]*(?:def|class)\s+(\w+)", s.text, re.MULTILINE)]
    plain = {name: name.lower().replace("_", "") for name in names if name not in {*known, function}}
    wanted = function.replace("_", "")
    return [
        name
        for name, simple in plain.items()
        if simple.strip("0123456789").removeprefix("my").removesuffix("stable").removeprefix("stable") == wanted
        or difflib.SequenceMatcher(None, simple, wanted).ratio() > 0.85
    ][:3]


def _why_missing(function: str, exercise: Exercise, looked_at: dict[int, Loaded], sources: list[Source]) -> str:
    """Return what was found and tried instead of a function, and what to do."""
    tried = [sources[index] for index in looked_at if _rank(exercise, sources[index]) < 2]
    tried = tried or [s for s in sources if s.searched and _rank(exercise, s) < 2]
    near = nearly_called(function, tried)
    read = ", ".join(in_one_line(source.name, 80) for source in tried[:3]) or "nothing"
    read += " were read" if len(tried[:3]) > 1 else " was read"
    troubled = [trouble for index in looked_at for trouble in looked_at[index].troubles]
    if troubled and any(source.defines(function) for source in tried):
        return f"{read}, but {function} is not there after it runs: {troubled[0]}"
    if near:
        return f"{read}; {near[0]} may be meant as {function}: rename it"
    return f"{read}, but there is no function {function} in it{f': {troubled[0]}' if troubled else ''}"
