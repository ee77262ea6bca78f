"""The check in a notebook: the same judge in this process, a table as the answer, and a notebook to hand out."""

import json
import re
import sys
import warnings

import numpy as np
import pytest
from ladders import SOFTMAX

from scratchlm import cli
from scratchlm.classroom import check
from scratchlm.classroom.exercises import EXERCISES
from scratchlm.classroom.notebook import notebook_of


def softmax(logits, axis=-1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def nll_loss(log_probs, targets, reduction="mean"):
    rows = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    return rows if reduction == "none" else rows.mean() if reduction == "mean" else rows.sum()


def of_the_whole_array(logits, axis=-1):
    e = np.exp(logits)
    return e / np.sum(e)


def test_a_right_function_is_called_right_and_a_wrong_one_hears_its_mistake():
    right, wrong = check(softmax, budget=3), check(of_the_whole_array, exercise=1, budget=3)
    assert right.passed
    assert str(right).startswith("Exercise 1: softmax, 10 of 10 points")
    assert not wrong.passed
    first = str(wrong).splitlines()[1:8]
    assert first[0].startswith("mistake:  This gives exactly the same results as")
    assert any(line.startswith("for       logits = np.array([[0.0, 0.0]") for line in first)
    assert "in this process" in str(right).splitlines()[-1]
    assert repr(right) == str(right)


def test_the_table_of_a_notebook_holds_no_markup_of_the_student():
    def softmax(logits, axis=-1):
        raise ValueError("<script>alert(1)</script>\x1b[2J")

    table = check(softmax, budget=3)._repr_html_()
    assert "<script>" not in table
    assert "\x1b" not in table
    assert "&lt;script&gt;" in table
    assert table.count("<tr>") == len(check(softmax, budget=3).report.lines)


def test_one_function_of_two_is_judged_alone_or_both_together():
    def cross_entropy(logits, targets, reduction="mean"):
        raise NotImplementedError

    alone, both = check(nll_loss, budget=3), check(nll_loss, cross_entropy, budget=3)
    assert {line.function for line in alone.report.lines} == {"nll_loss"}
    assert {line.function for line in both.report.lines} == {"nll_loss", "cross_entropy"}
    assert both.report.required_points == 5
    assert "not attempted yet" in str(check(cross_entropy))


def named(name, function=softmax):
    def copy(*arguments, **options):
        return function(*arguments, **options)

    copy.__name__ = name
    return copy


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (
            [named("soft_max")],
            {},
            ValueError,
            "soft_max belongs to no exercise; did you mean softmax? check(soft_max, exe",
        ),
        (
            [named("f")],
            {},
            ValueError,
            "no exercise has a function named f; give its number, check(..., exercise=N)",
        ),
        ([named("f")], {"exercise": 4}, ValueError, "exercise 4 asks for nll_loss and cross_entropy, not f; rename it"),
        ([softmax], {"exercise": 99}, ValueError, "there is no exercise 99; exercises are numbered 1 to 13"),
        ([softmax, nll_loss], {}, ValueError, "softmax and nll_loss belong to different exercises; check them one by"),
        ([softmax(np.zeros(2))], {}, TypeError, "check needs a function, as in check(softmax), not array("),
        ([], {}, TypeError, "check needs a function, as in check(softmax)"),
    ],
)
def test_a_function_that_cannot_be_judged_gets_one_clear_line(arguments, options, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check(*arguments, **options)


def test_the_notebook_is_as_it_was_afterwards(capsys):
    asked = []

    def softmax(logits, axis=-1):
        print("a flood")
        if len(asked) > 5:
            sys.exit("enough")
        asked.append(logits)
        logits[...] = 0
        return logits

    before = warnings.filters[:], np.geterr()
    answer = check(softmax, budget=3)
    assert (warnings.filters[:], np.geterr()) == before
    assert capsys.readouterr().out == ""
    assert "What your function printed meanwhile is not shown." in str(answer)
    assert answer.report.points == 0

    def interrupted(logits, axis=-1):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(interrupted, exercise=1)


def test_start_hands_out_a_notebook_once(tmp_path, capsys):
    command = ["exercise", "start", "--notebook", str(tmp_path / "mine"), "1", "4"]
    assert cli.main(command) == 0
    place = tmp_path / "mine" / "exercises.ipynb"
    assert [cell["source"] for cell in json.loads(place.read_text(encoding="utf-8"))["cells"]][-1] == [
        "check(nll_loss, cross_entropy)"
    ]
    place.write_text("mine")
    assert cli.main(command) == 0
    assert place.read_text() == "mine"
    assert "exists already and was not changed" in capsys.readouterr().out


@pytest.mark.long
def test_in_a_fresh_kernel(tmp_path):
    nbclient = pytest.importorskip("nbclient", reason="a kernel to run notebooks in")
    nbformat = pytest.importorskip("nbformat")
    handed_out = nbformat.reads(json.dumps(notebook_of(EXERCISES.values())), as_version=4)
    nbformat.validate(handed_out)
    cells = [
        nbformat.v4.new_code_cell(text)
        for text in ("import numpy as np", SOFTMAX, "check(softmax)", WRONG, "check(softmax)")
    ]
    handed_out.cells[2:2] = cells
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the kernel's own sockets and event loops
        nbclient.NotebookClient(handed_out, timeout=120, resources={"metadata": {"path": str(tmp_path)}}).execute()
    tables = [output["data"]["text/html"] for cell in handed_out.cells for output in cell.get("outputs", ())]
    assert len(tables) == 2 + len(EXERCISES)
    assert "<b>Exercise 1: softmax, 10 of 10 points" in tables[0]
    assert "dividing by the" in tables[1]
    assert all("not attempted yet" in table for table in tables[2:])


WRONG = "def softmax(z, axis=-1):\n    e = np.exp(z)\n    return e / np.sum(e)\n"


def test_a_function_that_writes_into_its_argument_loses_that_point_only_here_too():
    names = {"np": np}
    exec(
        "def probs_at_temperature(l, T):\n    l /= T\n    l -= l.max(axis=-1, keepdims=True)\n    np.exp(l, out=l)\n"
        "    l /= l.sum(axis=-1, keepdims=True)\n    return l",
        names,
    )
    answer = check(names["probs_at_temperature"])
    assert answer.report.required_points >= 7


def test_a_part_of_an_exercise_names_the_missing_functions():
    from scratchlm.sampling import top_k

    answer = check(top_k)
    assert "All required properties hold. The exercise asks for top_p as well." in str(answer)


@pytest.mark.parametrize("arguments", [["--notebook", "1", "2"], ["1", "--notebook", "2"], ["1", "2", "--notebook"]])
def test_numbers_may_stand_before_and_behind_an_option(arguments, tmp_path, capsys):
    assert cli.main(["exercise", "start", str(tmp_path), *arguments]) == 0
    cells = json.loads((tmp_path / "exercises.ipynb").read_text(encoding="utf-8"))["cells"]
    assert [cell["id"] for cell in cells if cell["id"].endswith("-check")] == ["exercise-1-check", "exercise-2-check"]
    assert cli.main(["exercise", "start", str(tmp_path), "--notebook", "1", "99"]) == 2
    assert "exercises have the numbers 1 to 13, not '99'" in capsys.readouterr().err
    assert cli.main(["exercise", "list", "1"]) == 2
    assert "unrecognized arguments: 1" in capsys.readouterr().err
