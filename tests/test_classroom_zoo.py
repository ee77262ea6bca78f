"""Every mutant of the zoo, handed in as a submission: it loses the points of the property that names its mistake."""

import re
import sys
from pathlib import Path

import pytest
import zoo

import scratchlm
from scratchlm.classroom import grader, sandbox
from scratchlm.classroom.exercises import EXERCISES, Exercise, Part
from scratchlm.classroom.grader import FAILS, HOLDS
from scratchlm.properties import PROPERTIES

PATHS = [str(Path(scratchlm.__file__).parent.parent), *(p for p in sys.path if Path(p).is_absolute())]
KINDS = {part.kind for exercise in EXERCISES.values() for part in exercise.parts if part.kind in PROPERTIES}


@pytest.fixture
def hand_in(tmp_path, monkeypatch):
    """Return a function that hands in a crowd of functions of one kind as one file, each judged by chosen properties.

    The zoo leans on this package, so here, and here only, a submission may import it.
    """
    monkeypatch.setattr(sandbox, "BANNED", ())

    monkeypatch.setattr(sandbox, "READABLE", ("/",))

    def grade(kind, animals, names, budget):
        path = tmp_path / "crowd.py"
        folder = str(zoo.__file__).rpartition("/")[0]
        path.write_text(
            f"import sys\nsys.path[:] = {[folder, *PATHS]!r}\nsys.dont_write_bytecode = True\nimport zoo\n"
            f"ANIMALS = [a for a in zoo.WRONG + zoo.RIGHT if a.kind == {kind!r}]\n"
            "def _of(name):\n    return next(a.function for a in ANIMALS if a.function.__name__ == name)\n"
            + "".join(f"f{i} = _of({animal.function.__name__!r})\n" for i, animal in enumerate(animals))
        )
        parts = tuple(Part(f"f{i}", kind) for i in range(len(animals)))
        chosen = {f"f{i}": [p for p in PROPERTIES[kind] if p.name in names(a)] for i, a in enumerate(animals)}
        monkeypatch.setattr(grader, "properties_of", lambda part: chosen[part.function])
        report = grader.check(Exercise(1, kind, path.name, parts, ()), path, budget=budget, shrink=False)
        return [[line for line in report.lines if line.function == part.function] for part in parts]

    return grade


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_wrong_one_loses_the_points_and_is_told_why_in_one_line(kind, hand_in):
    wrong = [animal for animal in zoo.WRONG if animal.kind == kind]
    for animal, lines in zip(wrong, hand_in(kind, wrong, lambda a: [a.caught_by], 60), strict=True):
        (line,) = lines
        assert line.mark == FAILS, animal.name
        assert line.name == animal.caught_by
        assert line.points == 0
        assert line.message, animal.name
        assert "\n" not in line.message
        assert line.counterexample
        assert line.hint or re.match(r"\w+Error: ", line.actual), animal.name


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_right_one_keeps_its_points(kind, hand_in):
    right = [animal for animal in zoo.RIGHT if animal.kind == kind]
    required = [p.name for p in PROPERTIES[kind] if p.tier == "identities"]
    for animal, lines in zip(right, hand_in(kind, right, lambda a: required, 6), strict=True):
        assert [line.message for line in lines if line.mark != HOLDS] == [], animal.name
