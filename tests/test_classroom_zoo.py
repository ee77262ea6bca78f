"""Every mutant of the zoo, as a submission: it loses the points for the property that names its mistake."""

import re
import sys
from pathlib import Path

import pytest
import zoo

import scratchlm
from scratchlm.classroom import grader, sandbox
from scratchlm.classroom.exercises import EXERCISES, Exercise, Part
from scratchlm.classroom.marks import FAILS, HOLDS
from scratchlm.properties import PROPERTIES

PATHS = [str(Path(scratchlm.__file__).parent.parent), *(p for p in sys.path if Path(p).is_absolute())]
KINDS = {part.kind for exercise in EXERCISES.values() for part in exercise.parts if part.kind in PROPERTIES}


def hand_in(folder, animals, names, budget):
    """Hand in many functions as one file, judge each by chosen properties, and return the lines of each.

    The zoo needs this package, so here, and only here, a submission may import it.
    """
    path = folder / "crowd.py"
    home = str(zoo.__file__).rpartition("/")[0]
    path.write_text(
        f"import sys\nsys.path[:] = {[home, *PATHS]!r}\nsys.dont_write_bytecode = True\n"
        "sys.meta_path[:] = [finder for finder in sys.meta_path if 'importlib' in str(finder)]  # no stand-ins\n"
        "del sys.modules['scratchlm'], sys.modules['scratchlm.classroom']\nimport zoo\n"
        "ANIMALS = {(a.kind, a.function.__name__): a.function for a in zoo.WRONG + zoo.RIGHT}\n"
        + "".join(f"f{i} = ANIMALS[{a.kind!r}, {a.function.__name__!r}]\n" for i, a in enumerate(animals))
    )
    parts = tuple(Part(f"f{i}", animal.kind) for i, animal in enumerate(animals))
    chosen = {f"f{i}": [p for p in PROPERTIES[a.kind] if p.name in names(a)] for i, a in enumerate(animals)}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sandbox, "BANNED", ())
        patch.setattr(sandbox, "READABLE", ("/",))
        patch.setattr(grader, "properties_of", lambda part: chosen[part.function])
        report = grader.check(Exercise(1, "zoo", path.name, parts, ()), path, budget=budget, shrink=False)
    return [[line for line in report.lines if line.function == part.function] for part in parts]


CROWDS = ["one of each kind", pytest.param("all", marks=pytest.mark.long)]


def crowd(animals, which):
    """Return animals of the kinds that are exercises: one for each property that catches any, or one for each kind."""
    found = [animal for animal in animals if animal.kind in KINDS and (animal.caught_by or animal in zoo.RIGHT)]
    key = (lambda a: (a.kind, a.caught_by or a.name)) if which == "all" else (lambda a: a.kind)
    return list({key(animal): animal for animal in reversed(found)}.values())


@pytest.fixture(scope="module", params=CROWDS)
def wrong(request, tmp_path_factory):
    """Return each wrong animal with its lines, by kind; each was tested by the property that names its mistake."""
    animals = crowd(zoo.WRONG, request.param)
    return by_kind(animals, hand_in(tmp_path_factory.mktemp("wrong"), animals, lambda a: [a.caught_by], 60))


@pytest.fixture(scope="module", params=CROWDS[1:])  # test_judge.py has a right one for each kind of exercise
def right(request, tmp_path_factory):
    """Return each right animal with its lines, by kind; each was tested by all its required properties."""
    animals = crowd(zoo.RIGHT, request.param)
    required = {kind: [p.name for p in PROPERTIES[kind] if p.tier == "identities"] for kind in KINDS}
    return by_kind(animals, hand_in(tmp_path_factory.mktemp("right"), animals, lambda a: required[a.kind], 3))


def by_kind(animals, lines):
    pairs = list(zip(animals, lines, strict=True))
    return {kind: [(animal, told) for animal, told in pairs if animal.kind == kind] for kind in KINDS}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_wrong_one_loses_the_points_and_one_line_says_why(kind, wrong):
    assert wrong[kind]
    for animal, lines in wrong[kind]:
        line = next(line for line in lines if line.mark == FAILS)
        assert line.name == (animal.caught_by or line.name)
        assert line.points == 0
        assert line.message, animal.name
        assert "\n" not in line.message
        assert line.counterexample or line.name in ("any number of axes", "both precisions", "every reduction")
        assert line.hint or line.diagnosis or re.match(r"\w+Error: ", line.actual), animal.name


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_a_right_one_keeps_its_points(kind, right):
    assert right[kind]
    for animal, lines in right[kind]:
        assert [line.message for line in lines if line.mark != HOLDS] == [], animal.name
