"""A class's own rules and its roster: what they change, and that a mistake in them is one line."""

import csv
import os

import pytest

from scratchlm import cli
from scratchlm.classroom.rules import Rules, marks_of, roster_in, rules_in

RIGHT = "import numpy as np\ndef recover_logits(log_probs, Z): return log_probs + np.expand_dims(Z, -1)\n"
MONDAY = 1_700_000_000  # seconds: some Tuesday in 2023, in truth


def rows_of(out):
    with open(out / "gradebook.csv", encoding="utf-8-sig", newline="") as book:
        return {row["student"]: row for row in csv.DictReader(book)}


@pytest.fixture
def collected(tmp_path):
    """Return a folder in which three students handed in exercise 8, one of them two days after the deadline."""
    for late, name in enumerate(["anna", "ben", "cem"]):
        (tmp_path / "in" / name).mkdir(parents=True)
        path = tmp_path / "in" / name / "hw.py"
        path.write_text(RIGHT)
        os.utime(path, (MONDAY + 86_400 * late,) * 2)
    return tmp_path / "in"


def grade(collected, *options):
    out = collected.parent / "out"
    assert cli.main(["exercise", "grade", str(collected), "--out", str(out), "--budget", "3", *options]) == 0
    return rows_of(out)


RULES = """
exercises = [8]
seed = 5
points = { 8 = 20 }
weights = { 8 = 0.5 }
stars = false
deadline = 2023-11-14T22:13:20Z
deduction = 30
"""


def test_rules_change_points_and_late_days_cost_and_nothing_is_graded_anew(collected, tmp_path, capsys):
    assert {
        name: row["total"] for name, row in grade(collected, "--only", "8", "--seed", "5").items()
    } == dict.fromkeys(["anna", "ben", "cem"], "10")
    (collected / "class.toml").write_text(RULES)
    rows = grade(collected)
    assert capsys.readouterr().out.count("as graded before") == 3
    assert list(rows["anna"]) == ["student", "exercise 8 (of 20)", "late", "total", "troubles"]
    assert [(row["exercise 8 (of 20)"], row["late"], row["total"]) for row in rows.values()] == [
        ("20", "0", "10"),
        ("20", "-3", "7"),
        ("20", "-6", "4"),
    ]
    assert "cem: 4 of 10 points (6 less: 2 days late)" in (tmp_path / "out" / "cem.txt").read_text(encoding="utf-8")


def test_a_roster_adds_ids_and_students_without_submissions(collected, tmp_path):
    (tmp_path / "roster.csv").write_text("\ufeffname;id;handed_in\nAnn*;7;2023-11-20T00:00\nben;8\nZoë;9\n", "utf-8")
    (collected / "class.toml").write_text(RULES)
    rows = grade(collected, "--roster", str(tmp_path / "roster.csv"))
    assert {name: row["id"] for name, row in rows.items()} == {"anna": "7", "ben": "8", "cem": "", "Zoë": "9"}
    assert rows["Zoë"]["troubles"] == "handed in nothing"
    assert (rows["Zoë"]["total"], rows["cem"]["troubles"]) == ("0", "not on the roster")
    assert rows["anna"]["total"] == "0"  # six days late, by the roster
    assert (tmp_path / "out" / "gradebook.csv").read_bytes().startswith(b"\xef\xbb\xbf")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("points = { 1 = -1 }", "points cannot hold 1 = -1; for example: points = { 1 = 20 }"),
        ("exercise = [1]", "there is no rule 'exercise'; the rules are exercises, seed"),
        ("exercises = ['one']", "exercises must be numbers; for example: exercises = [1, 2, 3]"),
        ("exercises = [99]", "there is no exercise 99; exercises are numbered 1 to 13"),
        ("seed = true", "seed cannot be True; for example: seed = 2026"),
        ("deadline = 'Monday'", "deadline cannot be 'Monday'; for example: deadline = 2026-12-01T23:59:00"),
        ("seconds = ", "class.toml: Invalid value (at "),
        ("own = 'nowhere'", "nowhere"),
    ],
)
def test_a_mistake_in_the_rules_is_one_line(text, message, collected, tmp_path, capsys):
    (collected / "class.toml").write_text(text)
    assert cli.main(["exercise", "grade", str(collected), "--out", str(tmp_path / "out")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("anna,7\n", "the first line must name the columns: name,id (and handed_in); it is 'anna,7'"),
        ("name,id,handed_in\nanna,7,Monday\n", "anna cannot have handed in 'Monday'; for example: 2026-12-01T20:15"),
        ("", "the first line must name the columns"),
    ],
)
def test_a_mistake_in_the_roster_is_one_line(text, message, collected, tmp_path, capsys):
    (tmp_path / "roster.csv").write_text(text)
    command = ["exercise", "grade", str(collected), "--out", str(tmp_path / "out")]
    assert cli.main([*command, "--roster", str(tmp_path / "roster.csv")]) == 2
    assert message in capsys.readouterr().err
    assert cli.main([*command, "--roster", str(tmp_path / "none.csv")]) == 2
    assert "none.csv" in capsys.readouterr().err


def test_marks_are_numbers_and_stars_count_when_they_are_on(tmp_path):
    graded = [{"exercise": 1, "required": 8.0, "stars": 2.0}]
    assert marks_of(graded, [1, 2], Rules(), None) == ({1: 8.0, 2: 0.0}, 2.0, 0.0, 10.0)
    assert marks_of(graded, [1, 2], Rules(stars=False, points={1: 5}), None) == ({1: 4.0, 2: 0.0}, 0.0, 0.0, 4.0)
    (tmp_path / "class.toml").write_text("deadline = 2026-12-01\n")
    assert str(rules_in(tmp_path / "class.toml").deadline.time()) == "23:59:59"
    (tmp_path / "r.csv").write_text("name\tid\nanna\t7\n")
    assert [(row.name, row.id) for row in roster_in(tmp_path / "r.csv")] == [("anna", "7")]


def test_a_report_adds_up_by_the_class_s_own_rules_and_a_roster_is_found_beside_them(collected):
    (collected / "class.toml").write_text("points = { 8 = 20 }\nweights = { 8 = 0.5 }\nexercises = [8]\n")
    (collected / "roster.csv").write_text("name,id\nanna,7\nzoe,8\n")
    rows = grade(collected, "--budget", "2")
    assert (rows["anna"]["id"], rows["zoe"]["troubles"]) == ("7", "handed in nothing")
    report = (collected.parent / "out" / "anna.txt").read_text(encoding="utf-8").splitlines()
    assert report[0] == f"anna: {rows['anna']['total']} of 10 points"
    assert report[1] == f"exercise 8: {rows['anna']['exercise 8 (of 20)']} of 20, which counts 0.5 times"
