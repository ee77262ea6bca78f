"""What engineers get: a report that prints, in a notebook too, as JSON and as JUnit XML, and a test for pytest."""

import json
import os
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest
from calls import run

from scratchlm import functional, naive
from scratchlm.properties import PROPERTIES, as_test, examine


@pytest.fixture(scope="module")
def wrong():
    """Return the report on the textbook's softmax, which overflows."""
    with np.errstate(all="ignore"):
        return examine("softmax", naive.softmax, budget=5)


def test_a_report_is_a_sequence_that_prints_as_a_table(wrong):
    assert len(wrong) == len(PROPERTIES["softmax"])
    assert [verdict.property for verdict in wrong] == PROPERTIES["softmax"]
    assert wrong[0] is wrong[:1][0]
    assert str(wrong) == repr(wrong)
    lines = str(wrong).splitlines()
    assert lines[0] == wrong.diagnosis
    assert [line for line in lines if line in ("identities", "manners", "accuracy")] == list(
        dict.fromkeys(verdict.property.tier for verdict in wrong)
    )
    assert lines[-1].startswith(f"{sum(verdict.passed for verdict in wrong)} of {len(wrong)} properties hold.")
    assert not wrong.passed


def test_correctness_depends_on_the_identities_alone():
    def ill_mannered(z):
        return functional.softmax(z)

    names = [p.name for p in PROPERTIES["softmax"] if not p.dtype]
    assert "this is a correct implementation" in str(examine("softmax", ill_mannered, names=names, budget=3))
    assert "correct" not in str(examine("softmax", ill_mannered, tier="manners", budget=3))  # nobody has looked
    assert "correct" not in str(examine("softmax", naive.softmax, names=names, budget=5))


def test_a_notebook_shows_a_table_and_nothing_of_a_stranger_s_markup(wrong):
    assert wrong._repr_html_().count("<tr>") == len(wrong)

    def vicious(z, axis=-1):
        raise ValueError("<script>alert(1)</script>\x1b[2J")

    for text in (examine("softmax", vicious)._repr_html_(), str(examine("softmax", vicious))):
        assert "\x1b" not in text
    assert "&lt;script&gt;" in examine("softmax", vicious)._repr_html_()


def test_json_has_every_verdict(tmp_path):
    result = run("examine", "scratchlm.naive:softmax", "--budget", 5, "--json", "--tier", "identities", cwd=tmp_path)
    assert result.returncode == 1
    found = json.loads(result.stdout)
    assert not found["passed"]
    assert found["diagnosis"].startswith("This gives exactly the same results as taking exp of the scores as they are")
    assert [v["name"] for v in found["verdicts"]] == [p.name for p in PROPERTIES["softmax"] if p.tier == "identities"]
    for verdict in found["verdicts"]:
        assert verdict["passed"] == ("counterexample" not in verdict)


def test_output_of_the_function_does_not_corrupt_the_json(tmp_path):
    (tmp_path / "chatty.py").write_text(
        "from scratchlm import functional\n"
        "def softmax(z, axis=-1):\n    print('here', z)\n    return functional.softmax(z, axis)\n"
    )
    result = run("examine", "chatty:softmax", "--budget", 2, "--json", "--tier", "identities", cwd=tmp_path)
    assert json.loads(result.stdout)["passed"]
    assert "here" in result.stderr


def test_junit_has_a_case_for_every_property(tmp_path):
    out = tmp_path / "report.xml"
    command = ["examine", "scratchlm.naive:softmax", "--budget", 5, "--junit", out, "--tier", "identities"]
    assert run(*command, cwd=tmp_path).returncode == 1
    suite = ElementTree.parse(out).getroot()
    cases = suite.findall("testcase")
    assert [case.get("name") for case in cases] == [p.name for p in PROPERTIES["softmax"] if p.tier == "identities"]
    failures = suite.findall("testcase/failure")
    assert int(suite.get("failures")) == len(failures) > 0
    assert all("np.array(" in failure.text for failure in failures)


def test_a_junit_file_that_cannot_be_written_is_found_before_anything_is_examined(tmp_path):
    result = run("examine", "scratchlm.functional:softmax", "--junit", tmp_path / "no" / "report.xml", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "report.xml" in line


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_one_dtype_is_enough(dtype):
    report = examine("log_softmax", functional.log_softmax, dtype=dtype, budget=3)
    assert [v.property.name for v in report if v.property.dtype] == [f"accurate in {dtype}"]
    assert [v.property.name for v in report if not v.passed] == []
    seen = set()

    def watched(z, axis=-1):
        seen.add(z.dtype.name)
        return functional.log_softmax(z, axis)

    examine("log_softmax", watched, dtype=dtype, names=["normalised"], budget=10)
    before = {"float32", "float64"}  # asked of both, to find out what it takes
    assert seen <= before
    assert dtype in seen


TWO_LINES = """
import numpy as np
from scratchlm.properties import as_test

def my_softmax(z, axis=-1):
    e = np.exp(z - z.max(axis=axis, keepdims=True))
    return e / e.sum()

test_my_softmax = as_test("softmax", my_softmax, tier="identities", skip=["temperature"], budget=10)
"""


def test_two_lines_in_anybody_s_tests_are_one_case_for_each_property(tmp_path):
    (tmp_path / "test_mine.py").write_text(TWO_LINES)
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:xdist", "-p", "no:cacheprovider", "test_mine.py"]
    ran = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"COLUMNS": "200"})
    assert ran.returncode == 1
    asked = [p.name for p in PROPERTIES["softmax"] if p.tier == "identities" and p.name != "temperature"]
    for name in asked:
        assert f"test_my_softmax[{name}] " in ran.stdout
    assert "temperature" not in ran.stdout
    assert "dividing by the sum of the whole array. Each row needs its own sum" in ran.stdout
    assert "logits = np.array(" in ran.stdout
    assert set(os.listdir(tmp_path)) <= {"test_mine.py", "__pycache__"}


def test_as_test_complains_at_once():
    for arguments, message in (
        ({"kind": "softmin"}, "kind must be one of"),
        ({"tier": "speed"}, "tier must be one of"),
        ({"skip": ["sums to 1"]}, "softmax has no property sums to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            as_test(**{"kind": "softmax", "implementation": naive.softmax, **arguments})
    with pytest.raises(TypeError, match="implementation must be a function"):
        as_test("softmax", None)


def test_a_counterexample_of_the_accuracy_shows_the_same_result_when_it_is_pasted():
    def maximum_of_each_column(z, axis=-1):
        e = np.exp(z - z.max(axis=0, keepdims=True))
        return e / e.sum(axis=axis, keepdims=True)

    for verdict in examine("softmax", maximum_of_each_column, tier="accuracy", budget=5):
        pasted = {"np": np}
        exec(verdict.counterexample, pasted)
        assert verdict.actual == str(maximum_of_each_column(pasted["logits"]))
