"""A teacher's own exercises: written in a folder, passing as they are, and not to be fooled by a sum of everything."""

import csv
import re

import pytest

from scratchlm import cli
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.own import enter, new_exercise, own_exercises

pytestmark = pytest.mark.usefixtures("afterwards_as_before")


@pytest.fixture
def own(tmp_path):
    """Return a folder with a new exercise in it."""
    new_exercise(tmp_path / "own", 14, "entropy")
    return tmp_path / "own"


def answer(own, body):
    """Return a student's file: the stub with another body."""
    return (own / "ex14_entropy.py").read_text(encoding="utf-8").replace("raise NotImplementedError", body)


def test_a_new_exercise_passes_as_it_is_and_is_never_overwritten(tmp_path, capsys):
    command = ["exercise", "new", str(tmp_path / "own"), "14", "entropy"]
    assert cli.main(command) == 0
    assert cli.main(["exercise", "try", str(tmp_path / "own")]) == 0
    assert "Exercise 14: its solution passes." in capsys.readouterr().out
    (tmp_path / "own" / "ex14_entropy.py").write_text("mine")
    assert cli.main(command) == 0
    assert (tmp_path / "own" / "ex14_entropy.py").read_text() == "mine"


RIGHT = "return -(probs * np.log(np.where(probs > 0, probs, 1).astype(probs.dtype))).sum(axis=-1)"


@pytest.mark.parametrize(
    ("body", "failing"),
    [
        (RIGHT, set()),
        (RIGHT.replace("axis=-1", ""), {"a batch is its rows", "between 0 and log V"}),
        (RIGHT.replace("probs * ", "probs.astype(float) * "), {"float32 stays float32"}),
        ("probs[probs == 0] = 1; return -(probs * np.log(probs)).sum(axis=-1)", {"input untouched"}),
        ("return -(probs * np.nan_to_num(np.log(probs))).sum(axis=-1)", {"no warnings"}),
    ],
)
def test_the_automatic_properties_catch_a_sum_of_everything(body, failing, own, tmp_path, capsys):
    (tmp_path / "ex14_entropy.py").write_text(answer(own, body))
    command = ["exercise", "check", str(tmp_path / "ex14_entropy.py"), "14", "--exercises", str(own), "--budget", "10"]
    assert cli.main(command) == bool(failing)
    told = capsys.readouterr().out
    assert set(re.findall(r"✗ +(\w[\w ]*?\w)  ", told)) == failing
    assert ("10 of 10 points" in told) == (not failing)


def test_a_class_is_graded_by_the_teachers_own_exercises_and_anew_when_these_change(own, tmp_path, capsys):
    for name, body in {"anna": RIGHT, "ben": "return probs"}.items():
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "homework.py").write_text(answer(own, body))
    (tmp_path / "in" / "class.toml").write_text('exercises = [14]\nown = "../own"\npoints = { 14 = 4 }\n')
    command = ["exercise", "grade", str(tmp_path / "in"), "--out", str(tmp_path / "out"), "--budget", "5"]
    assert cli.main(command) == 0
    with open(tmp_path / "out" / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        rows = {row["student"]: row for row in csv.DictReader(book)}
    assert [rows[name]["exercise 14 (of 4)"] for name in ("anna", "ben")] == ["4", "0"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.count("as graded before") == 2
    page = own / "ex14_entropy_page.py"
    page.write_text(page.read_text() + "\nEXCEPT = {'no warnings'}\n")
    assert cli.main(command) == 0
    assert "as graded before" not in capsys.readouterr().out


STUB = "ex14_entropy.py"
PAGE = "ex14_entropy_page.py"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda own: (own / PAGE).unlink(), f"{STUB} has no page of properties; write it to "),
        (lambda own: (own / PAGE).write_text("x = 1"), f"{PAGE} has no property; it needs a @task for each"),
        (lambda own: (own / PAGE).write_text("x = 1\n1 / 0"), f"{PAGE}, line 2: ZeroDivisionError: division by zero"),
        (lambda own: (own / PAGE).write_text("x = = 1"), f"{PAGE}, line 1: SyntaxError: invalid syntax"),
        (
            lambda own: (own / STUB).write_text("def entropy(p): pass"),
            f'{STUB} must begin """Exercise 14: and say what',
        ),
        (lambda own: (own / STUB).write_text('"""Exercise 14: x."""'), "has no such function"),
        (lambda own: (own / STUB).rename(own / "ex01_entropy.py"), "there is an exercise 1 already; take another"),
        (lambda own: [path.unlink() for path in own.iterdir()], "contains no exercise; exercise new "),
    ],
)
def test_an_incomplete_exercise_is_one_line(change, message, own, capsys):
    change(own)
    assert cli.main(["exercise", "try", str(own)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("number", "name", "message"),
    [
        (1, "entropy", "there is an exercise 1 already; the next free number is 14"),
        (14, "my entropy", "'my entropy' cannot be the name of a function"),
    ],
)
def test_a_new_one_needs_a_free_number_and_the_name_of_a_function(number, name, message, tmp_path, capsys):
    assert cli.main(["exercise", "new", str(tmp_path), str(number), name]) == 2
    assert message in capsys.readouterr().err


def test_own_exercises_are_read_again_in_a_process_that_begins_anew(own):
    assert list(own_exercises(own)) == [14]
    enter(own)
    assert list(enter(own)) == [14]
    assert EXERCISES[14].title == "entropy, or how many tokens a model hesitates between"
