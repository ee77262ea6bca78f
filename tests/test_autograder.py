"""Submission platforms: the archives for Gradescope and Classroom 50, laid out and run as on these platforms."""

import io
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scratchlm import cli
from scratchlm.classroom import autograder
from scratchlm.classroom.own import new_exercise

SOFTMAX = (Path(__file__).parent / "solutions" / "textbook_softmax.py").read_text(encoding="utf-8")
NAIVE = "import numpy as np\ndef softmax(z, axis=-1):\n    e = np.exp(z)\n    return e / e.sum(axis, keepdims=True)\n"


pytestmark = pytest.mark.usefixtures("afterwards_as_before")


def unpacked(tmp_path, platform, *options):
    """Return a root laid out as on the platform, with the archive unpacked in place and its scripts executable."""
    archive = tmp_path / "grader.zip"
    assert cli.main(["exercise", "autograder", f"--{platform}", str(archive), *options]) == 0
    root = tmp_path / "autograder"
    for name in ("source", "submission", "results"):
        (root / name).mkdir(parents=True)
    with zipfile.ZipFile(archive) as made:
        for info in made.infolist():
            (root / "source" / made.extract(info, root / "source")).chmod(info.external_attr >> 16 & 0o777)
    return root


def test_an_archive_for_gradescope_contains_what_it_needs_and_no_solution(tmp_path):
    new_exercise(tmp_path / "own", 14, "entropy")
    root = unpacked(tmp_path, "gradescope", "1", "14", "--seed", "7", "--exercises", str(tmp_path / "own"))
    names = {path.relative_to(root / "source").as_posix() for path in (root / "source").rglob("*") if path.is_file()}
    wheel, _ = autograder.wheel()
    scripts = {"setup.sh", "run_autograder"}
    assert names == {wheel, "class.toml", *scripts, "own/ex14_entropy.py", "own/ex14_entropy_page.py"}
    assert all(os.access(root / "source" / name, os.X_OK) for name in scripts)
    rules = autograder.rules_in(root / "source" / "class.toml")
    assert (rules.exercises, rules.seed, rules.own) == ((1, 14), 7, root / "source" / "own")


def test_the_wheel_is_the_whole_package_and_the_same_every_time():
    name, data = autograder.wheel()
    assert autograder.wheel() == (name, data)
    with zipfile.ZipFile(io.BytesIO(data)) as made:
        names = set(made.namelist())
        (about,) = (made.read(name).decode() for name in names if name.endswith("/METADATA"))
    assert "\nName: scratchlm\n" in about
    assert {"scratchlm/py.typed", "scratchlm/classroom/stubs/ex01_softmax.py"} <= names
    assert {"scratchlm/classroom/templates/stub.txt", "scratchlm/classroom/README.md"} <= names
    assert not any("solution" in name and "templates" not in name for name in names)


def grade(root, *options):
    submission = ["--submission", str(root / "submission")]
    return autograder.main(["--rules", str(root / "source" / "class.toml"), *submission, *options])


def test_results_for_gradescope_explain_each_property_and_add_up(tmp_path, capsys):
    root = unpacked(tmp_path, "gradescope", "1", "2", "--budget", "3")
    (root / "submission" / "hw.py").write_text(NAIVE)
    assert grade(root, "--gradescope", str(root / "results")) == 0
    results = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    tests = {test["name"]: test for test in results["tests"]}
    asked = {"name", "score", "max_score", "status", "output", "output_format", "visibility"}
    assert all(set(test) == asked for test in tests.values())
    assert sum(test["max_score"] for test in tests.values()) == pytest.approx(20, abs=0.01)
    assert sum(test["score"] for test in tests.values()) == pytest.approx(results["score"], abs=0.01)
    held, failed = (tests[f"exercise 1, softmax: {name}"] for name in ("ratios", "blind to a shift"))
    assert (held["status"], held["output"]) == ("passed", "p_j / p_k = exp(z_j - z_k)")
    assert failed["status"] == "failed"
    assert failed["output"].startswith("softmax(z + c) = softmax(z)\nmistake:") or "\nfor " in failed["output"]
    assert tests["exercise 2: logsumexp"]["output"] == "not handed in"
    assert "Exercise 1: softmax" in capsys.readouterr().out


def test_the_result_for_classroom_50_has_whole_points(tmp_path, monkeypatch):
    root = unpacked(tmp_path, "classroom50", "1", "2", "--budget", "3")
    assert {path.name for path in (root / "source").iterdir()} == {autograder.wheel()[0], "class.toml", "autograder.py"}
    (root / "submission" / "hw.ipynb").write_text(
        json.dumps({"cells": [{"cell_type": "code", "source": SOFTMAX}], "nbformat": 4})
    )
    known = {"CLASSROOM": "c", "ASSIGNMENT": "a", "SUBMISSION_TAG": "submit/1", "COMMIT_URL": "u", "RELEASE_URL": "r"}
    for name, value in known.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("REVIEW_URL", raising=False)
    assert grade(root, "--classroom50", str(tmp_path / "result.json")) == 0
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert result["schema"] == "classroom50/result/v1"
    assert (result["score"], result["max-score"]) == (10, 20)
    assert (result["classroom"], result["submission"], result["review"]) == ("c", "submit/1", "u")
    rows = [(t["test-name"], t["passed"], t["score"], t["max-score"]) for t in result["tests"]]
    assert rows == [("exercise 1: softmax", True, 10, 10), ("exercise 2: logsumexp", False, 0, 10)]
    assert all(type(test["score"]) is int for test in result["tests"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["autograder"], "one of the arguments --gradescope --classroom50 is required"),
        (["autograder", "--gradescope", "nowhere/g.zip"], "nowhere"),
        (["autograder", "--gradescope", "g.zip", "99"], "exercises have the numbers 1 to 13, not '99'"),
        (["autograder", "--gradescope", "g.zip", "--rules", "none.toml"], "none.toml: No such file"),
        (["autograder", "--gradescope", "g.zip", "--exercises", "none"], "none"),
    ],
)
def test_a_mistake_gives_one_line_of_error(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["exercise", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.long  # it builds an environment, as Gradescope does
@pytest.mark.skipif(sys.platform == "win32", reason="Gradescope runs Linux")
def test_the_scripts_run_as_gradescope_runs_them(tmp_path):
    root = unpacked(tmp_path, "gradescope", "1", "--budget", "3")
    (root / "submission" / "src").mkdir()
    (root / "submission" / "src" / "homework.py").write_text(SOFTMAX)
    environment = os.environ | {"AUTOGRADER": str(root)}
    for script in ("setup.sh", "run_autograder"):
        subprocess.run([root / "source" / script], env=environment, check=True, timeout=300)
    results = json.loads((root / "results" / "results.json").read_text(encoding="utf-8"))
    assert results["score"] == 10
