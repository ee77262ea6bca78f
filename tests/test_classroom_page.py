"""The classroom's README: what a teacher and a student read there works as it stands."""

import csv
import json
import re
import shlex
import zipfile
from pathlib import Path

import pytest
from calls import run

from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.own import new_exercise, own_exercises
from scratchlm.classroom.rules import KNOWN, roster_in, rules_in

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "scratchlm" / "classroom" / "README.md").read_text(encoding="utf-8")
PLAN = (ROOT / "demos" / "README.md").read_text(encoding="utf-8").partition("## A unit of four weeks")[2]
SOLUTIONS = Path(__file__).parent / "solutions"
SOFTMAX = (SOLUTIONS / "textbook_softmax.py").read_text(encoding="utf-8")
pytestmark = pytest.mark.usefixtures("afterwards_as_before")


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def the_class_of_the_page(folder):
    """Hand in what the page says that may be handed in, with the same answer everywhere."""
    notebook = json.dumps({"cells": [{"cell_type": "code", "source": SOFTMAX.splitlines(keepends=True)}]})
    for line in re.findall(r"^    (handed_in/.*?)  ", PAGE, re.MULTILINE):
        place = folder / line
        place.parent.mkdir(parents=True, exist_ok=True)
        if place.suffix == ".zip":
            with zipfile.ZipFile(place, "w") as archive:
                archive.writestr("a/b.py", SOFTMAX)
        else:
            place.write_text(notebook if place.suffix == ".ipynb" else SOFTMAX, encoding="utf-8")
    (folder / "handed_in" / "submissions.zip").unlink()


def book(folder):
    with open(folder / "gradebook.csv", encoding="utf-8-sig", newline="") as file:
        return {row["student"]: row for row in csv.DictReader(file)}


def test_what_may_be_handed_in_is_graded_as_the_page_says(tmp_path):
    the_class_of_the_page(tmp_path)
    (command,) = [
        line for block in blocks("console") for line in block.splitlines() if " exercise grade handed" in line
    ]
    command = [*shlex.split(command)[3:], "--budget", "2"]
    command.remove("2"), command.remove("3")
    done = run(*command, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert {name: row["total"] for name, row in book(tmp_path / "graded").items()} == dict.fromkeys(
        ["anna", "ben", "cem", "doejane", "Eva Li"], "10"
    )


@pytest.mark.long
def test_the_commands_of_the_page_work_one_after_the_other(tmp_path):
    the_class_of_the_page(tmp_path)
    (rules,) = blocks("toml")
    new_exercise(tmp_path / "handed_in" / "exercises", 14, "entropy")
    (tmp_path / "handed_in" / "class.toml").write_text(rules)
    lines = [line.partition(" #")[0].strip() for block in blocks("console") for line in block.splitlines()]
    lines = [line for line in lines if " exercise " in line and not line.endswith("--watch") and "docker" not in line]
    assert len(lines) >= 10
    less = {"check": ["--budget", "2"], "grade": ["--budget", "1"]}
    for line in lines:
        arguments = shlex.split(line)[3:]
        done = run(*arguments, *less.get(arguments[1], []), cwd=tmp_path)
        assert done.returncode == (arguments[1] == "check"), (line, done.stderr)  # nothing is written yet
    assert "exercises" not in book(tmp_path / "graded")  # the teacher's own, beside what was handed in
    assert "Exercise 14: its solution passes" in done.stdout or (tmp_path / "homework" / "ex14_entropy.py").exists()


def test_the_rules_and_the_roster_of_the_page_can_be_read(tmp_path):
    (text,) = blocks("toml")
    (tmp_path / "class.toml").write_text(text)
    assert rules_in(tmp_path / "class.toml").own == tmp_path / "exercises"
    assert set(re.findall(r"^(\w+) = ", text, re.MULTILINE)) == set(KNOWN)
    (roster,) = re.findall(r"^    name,id,handed_in\n(?:    .*\n)+", PAGE, re.MULTILINE)
    (tmp_path / "roster.csv").write_text(roster.replace("    ", ""))
    anna, doe = roster_in(tmp_path / "roster.csv")
    assert (anna.id, doe.is_called("doejane"), doe.handed_in) == ("20261", True, None)


def test_the_page_of_properties_is_one_that_a_solution_passes_and_a_wrong_one_does_not(tmp_path):
    (page,) = [block for block in blocks("python") if "@task" in block]
    (tmp_path / "ex14_bits_page.py").write_text(page)
    stub = '"""Exercise 14: bits."""\n\nimport numpy as np\n\n\ndef bits(probs):\n    '
    (tmp_path / "ex14_bits.py").write_text(stub + "raise NotImplementedError\n")
    for body, passes in (("return -np.log2(probs)", True), ("return -np.log(probs)", False)):
        (tmp_path / "ex14_bits_solution.py").write_text(stub + body)
        done = run("exercise", "try", tmp_path)
        assert done.returncode == (not passes), done.stdout
    assert list(own_exercises(tmp_path)) == [14]


def test_only_also_and_near_are_as_the_page_says(tmp_path):
    cases = re.search(r"`(also\(only.*?)`\n", PAGE)[1]
    page = f"""
from hypothesis import strategies as st
from scratchlm.classroom.own import also, near, only, rows, task

@task("kept", "keeps k", "", why="", hint="", cases={cases})
def keeps_k(f, z, k):
    near(f(z, k), z * k, "what")
"""
    (tmp_path / "ex14_kept_page.py").write_text(page)
    (tmp_path / "ex14_kept.py").write_text('"""Exercise 14: kept."""\ndef kept(z, k):\n    raise NotImplementedError\n')
    solution = tmp_path / "ex14_kept_solution.py"
    solution.write_text("def kept(z, k):\n    return z * k\n")
    assert run("exercise", "try", tmp_path).returncode == 0
    solution.write_text("def kept(z, k):\n    return 2 * z * k\n")
    assert re.search(r"expected: .*\n.*actual: .*\n.*what: +what", run("exercise", "try", tmp_path).stdout)


@pytest.mark.long
def test_the_unit_can_be_graded_from_the_first_page_to_the_last(tmp_path):
    for path in SOLUTIONS.glob("ex*.py"):
        (tmp_path / "in" / "anna").mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / "anna" / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    lessons = [line.split("|") for line in PLAN.splitlines() if re.match(r"\| \d\.\d", line) and "exercise" in line]
    for lesson in lessons:
        numbers = re.findall(r"\d+", lesson[5])
        out = tmp_path / lesson[1].strip()
        done = run("exercise", "grade", "in", "--out", out, "--only", *numbers, "--budget", "5", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert [book(out)["anna"][f"exercise {n} (of 10)"] for n in sorted(numbers, key=int)] == ["10"] * len(numbers)
    assert len(lessons) == 6
    assert max(EXERCISES) == 13
