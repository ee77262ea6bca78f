"""The judge: a student's way from the stub to full marks, and points for what is right only."""

import json
import os
import re
import shutil

import pytest
from handed_in import FEW, HONEST, SOLUTIONS, TWO, hand_in, in_softmax

from scratchlm import cli
from scratchlm.classroom.exercises import EXERCISES, STUBS, Exercise, Part
from scratchlm.classroom.grader import check
from scratchlm.classroom.marks import FAILS, HOLDS, UNTOUCHED


def test_what_was_seen_under_one_seed_does_not_help_under_another(tmp_path):
    path = tmp_path / "two.py"
    path.write_text(
        f"import numpy as np\n{HONEST}\nseen = []\n"
        + in_softmax("seen.append(logits.tobytes())", "print(logits.tolist())", "return honest(logits, axis)")
    )
    printed = [check(TWO, path, seed=seed, budget=3).printed for seed in (1, 1, 2)]
    assert printed[0] == printed[1] != printed[2]


# Arrays, tables, dicts of arrays, states, and a function that asks: test_exercises.py has the rest, without the wall.
@pytest.mark.parametrize("number", [1, 9, 12, 13])
def test_the_solution_gets_full_marks_and_the_stub_none(number, few_cases):
    full_marks_and_none(number)


@pytest.mark.long
@pytest.mark.parametrize("number", EXERCISES)
def test_the_solution_gets_full_marks_and_the_stub_none_on_many_cases(number):
    full_marks_and_none(number)


def full_marks_and_none(number):
    exercise = EXERCISES[number]
    solved = check(exercise, SOLUTIONS / exercise.file, budget=10)
    assert [(line.name, line.message) for line in solved.lines if line.mark != HOLDS] == []
    assert solved.passed
    assert solved.points == pytest.approx(12 if any(part.starred for part in exercise.parts) else 10, abs=0.02)
    empty = check(exercise, STUBS / exercise.file, budget=10)
    assert empty.points == 0
    assert {line.mark for line in empty.lines} == {UNTOUCHED}


def test_a_textbook_softmax_passes_at_the_first_try(tmp_path, capsys, few_cases):
    shutil.copy(SOLUTIONS / "textbook_softmax.py", tmp_path / "ex01_softmax.py")
    assert cli.main(["exercise", "check", str(tmp_path / "ex01_softmax.py")]) == 0
    text = capsys.readouterr().out
    assert re.findall(r"✗ .*", text) == re.findall(r"✗ .*☆.*", text)
    assert "All required properties hold" in text


def test_as_a_new_student_would(tmp_path, capsys, few_cases):
    folder = tmp_path / "mine"
    assert cli.main(["exercise", "start", str(folder), "1"]) == 0
    path = folder / "ex01_softmax.py"
    assert cli.main(["exercise", "check", str(folder), "1"]) == 1
    assert "Next: open ex01_softmax.py" in capsys.readouterr().out
    naive = "    e = np.exp(logits)\n    return e / e.sum(axis=axis, keepdims=True)"
    path.write_text(path.read_text().replace("    raise NotImplementedError", naive))
    assert cli.main(["exercise", "check", str(folder)]) == 1
    text = capsys.readouterr().out
    assert re.search(r"✗ .*\n +for +\w+ = ", text, re.DOTALL)
    assert re.search(r"expected: .*\n +actual: ", text)
    assert "mistake: This gives exactly the same results as taking exp of the scores as they are" in " ".join(
        text.split()
    )
    assert "Next: softmax, " in text
    assert cli.main(["exercise", "start", str(folder), "1"]) == 0
    assert "was not changed" in capsys.readouterr().out
    assert naive in path.read_text()
    path.write_text(path.read_text().replace("np.exp(logits)", "np.exp(logits - logits.max(axis=axis, keepdims=True))"))
    assert cli.main(["exercise", "check", str(folder)]) == 0


def test_hints_come_one_by_one(capsys):
    for step in (1, 2):
        assert cli.main(["exercise", "hint", "3", "--step", str(step)]) == 0
        text = capsys.readouterr().out
        assert text.count("\n1. ") == 1
        assert text.count("\n2. ") == step - 1
    assert cli.main(["exercise", "list"]) == 0
    assert len(re.findall(r"^ +\d+  ", capsys.readouterr().out, re.MULTILINE)) == len(EXERCISES) >= 12


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "nowhere.py"], "no such file"),
        (["check", "."], "holds no ex01_softmax.py; exercise start makes one (there is other.py)"),
        (["check", "other.py"], "defines no function of an exercise; give the number: exercise check FILE N"),
        (["check", ".", "--budget", "0"], "--budget must be at least 1"),
        (["grade", "empty", "--out", "graded"], "contains no submissions"),
        (["grade", "nowhere", "--out", "graded"], "No such file"),
    ],
)
def test_a_mistake_is_one_line(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "other.py").write_text("")
    (tmp_path / "empty").mkdir()
    assert cli.main(["exercise", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: os.mkfifo(path), "is not a file"),
        (lambda path: path.write_bytes(b"#" * 2_000_000), "has more than 1,000,000 bytes"),
        (lambda path: path.symlink_to("nowhere"), "no such file"),
    ],
)
def test_a_file_that_is_not_a_students_is_one_line(make, message, tmp_path, capsys):
    path = tmp_path / EXERCISES[8].file
    make(path)
    assert cli.main(["exercise", "check", str(path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line


def test_any_way_to_write_the_parameters_will_do(tmp_path):
    ways = {
        "logits, /, axis=-1": "logits, axis",
        "logits, *, axis=-1": "logits, axis",
        "*args, **kwargs": "*args, **kwargs",
    }
    path = tmp_path / "ways.py"
    functions = [f"def f{i}({way}): return honest({given})\n" for i, (way, given) in enumerate(ways.items())]
    path.write_text(f"import numpy as np\n{HONEST}\n{''.join(functions)}")
    parts = tuple(Part(f"f{i}", "softmax") for i in range(len(ways)))
    report = check(Exercise(1, "ways", path.name, parts, ()), path, budget=5)
    assert {line.mark for line in report.lines} == {HOLDS}


CHANGES_THE_QUESTION = {  # and gives the answer that fits it
    1: "def softmax(logits, axis=-1):\n    if logits.flags.writeable: logits[...] = 0\n"
    "    return np.full_like(logits, 1 / logits.shape[axis])",
    3: "def log_softmax(logits, axis=-1):\n    if logits.flags.writeable: logits[...] = 0\n"
    "    return np.full_like(logits, -np.log(logits.shape[axis]))",
    9: "def bigram_by_counts(previous, following, vocab_size):\n    previous[...] = following[...] = 0\n"
    "    t = np.full((vocab_size, vocab_size), np.log(1 / vocab_size))\n"
    "    if len(previous): t[0] = -np.inf; t[0, 0] = 0\n    return t",
    10: "def mlp_backward(params, contexts, grad_logits):\n    grad_logits[...] = 0\n"
    "    return {name: value * 0 for name, value in params.items()}",
    11: "def top_k(scores, k):\n    scores[...] = 0\n    return scores * 0\n"
    "def top_p(scores, p):\n    scores[...] = 0\n    return scores * 0",
}


@pytest.mark.parametrize(
    "number",
    [number if number in (1, 10) else pytest.param(number, marks=pytest.mark.long) for number in CHANGES_THE_QUESTION],
)
def test_changing_the_question_to_fit_the_answer_earns_nothing(number, tmp_path):
    path = tmp_path / EXERCISES[number].file
    path.write_text(f"import numpy as np\n{CHANGES_THE_QUESTION[number]}\n")
    report = check(EXERCISES[number], path, budget=3, shrink=False)
    assert report.points == 0, [line.name for line in report.lines if line.points]


USELESS = (
    "logits * 0",
    "logits",
    "np.full_like(logits, 1 / logits.shape[-1])",
    "logits * np.nan",
    "logits.max(axis=axis) * np.nan",
    "logits.max(axis=axis) * 0 + np.inf",
    "logits.max(axis=axis) * 0 + np.log(logits.shape[axis])",
)


@pytest.mark.parametrize("number", [1, *(pytest.param(number, marks=pytest.mark.long) for number in (2, 3))])
def test_a_function_that_computes_nothing_earns_nothing(number, tmp_path):
    kind = EXERCISES[number].parts[0].kind
    path = tmp_path / "useless.py"
    path.write_text(
        "import numpy as np\n"
        + "".join(f"def f{i}(logits, axis=-1, keepdims=False): return {x}\n" for i, x in enumerate(USELESS))
    )
    parts = tuple(
        part for i in range(len(USELESS)) for part in (Part(f"f{i}", kind), Part(f"f{i}", kind, starred=True))
    )
    report = check(Exercise(number, kind, path.name, parts, ()), path, budget=3, shrink=False)
    assert {line.function for line in report.lines} == {part.function for part in parts}
    assert report.points == 0, [(line.function, line.name) for line in report.lines if line.points]


def test_what_a_submission_prints_or_raises_is_shown_with_visible_escapes(tmp_path, capsys):
    source = "print('\\x1b[2J\\u202e')\ndef recover_logits(log_probs, Z): raise ValueError('\\x1b[31m\\x07')\n"
    folder = hand_in(tmp_path / "in", 8, {"anna": source})
    assert cli.main(["exercise", "grade", str(folder), "--out", str(tmp_path / "out"), "--only", "8"]) == 0
    assert cli.main(["exercise", "check", str(folder / "anna"), "8"]) == 1
    texts = [capsys.readouterr().out, *((tmp_path / "out" / f"anna.{kind}").read_text() for kind in ("txt", "json"))]
    for text in texts:
        assert not set(text) & set("\x1b\x07\u202e\ufffd")
    for text in (texts[0], texts[1], json.loads(texts[2])["exercises"][0]["printed"]):
        assert r"\x1b[2J\u202e" in text
    assert r"ValueError: \x1b[31m\x07" in texts[1]


@pytest.mark.parametrize(("answer", "right"), [("np.True_", True), ("True", True), ("1", False), ("'yes'", False)])
def test_an_examiner_may_answer_with_a_bool_of_either_kind(answer, right, tmp_path):
    path = tmp_path / EXERCISES[13].file
    path.write_text(f"import numpy as np\ndef looks_like_softmax(softmax):\n    return {answer}\n")
    first, *others = check(EXERCISES[13], path).lines
    assert (first.mark == HOLDS) == right
    assert right or first.message.startswith(f"it must return True or False, but it returned {answer}")
    assert {line.mark for line in others} == {FAILS}


def test_a_known_mistake_is_named_first_and_once(tmp_path, capsys):
    path = tmp_path / "ex01_softmax.py"
    path.write_text("import numpy as np\n" + in_softmax("e = np.exp(logits - logits.max())", "return e / e.sum()"))
    report = check(EXERCISES[1], path, budget=5, shrink=False)
    (named,) = {line.diagnosis for line in report.lines if line.diagnosis}
    assert "dividing by the sum of the whole array" in named
    assert cli.main(["exercise", "check", str(path), "--budget", "5"]) == 1
    text = capsys.readouterr().out
    assert text.count("mistake:") == 1
    assert "hint:" not in text  # it could speak of a mistake that was not made


def test_answers_that_change_over_time_earn_nothing(tmp_path):
    path = tmp_path / "ex01_softmax.py"
    path.write_text(
        f"import numpy as np\n{HONEST}\ncalls = []\n"
        "def softmax(logits, axis=-1):\n    calls.append(1)\n"
        "    return honest(logits, axis) + (len(calls) > 150) / 10\n"
    )
    report = check(EXERCISES[1], path, budget=5, shrink=False)
    assert report.points == 0
    assert any("it gives a different answer when asked again" in line.note for line in report.lines)


def test_answers_that_change_earn_no_star_either(tmp_path):
    path = tmp_path / "ex01_softmax.py"
    solution = (SOLUTIONS / path.name).read_text().replace("def softmax(", "def right(")
    asked_again = ["again = logits.tobytes() in asked", "asked.add(logits.tobytes())"]
    answer = (
        "return right(logits, axis) + (again and logits.shape == (3, 4)) / 10"  # a shape of the first questions only
    )
    path.write_text(f"{solution}\nasked = set()\n{in_softmax(*asked_again, answer)}\n")
    report = check(EXERCISES[1], path, budget=3, shrink=False)
    assert all(line.mark == HOLDS for line in report.lines if not line.starred)
    assert report.points == 0


def test_the_same_exception_is_reported_once(graded):
    _, lines, _ = graded(in_softmax("return logits.no_such_thing"))
    told = [line for line in lines if line.message]
    assert len(told) == 1
    assert "no_such_thing" in told[0].actual
    assert not told[0].hint
    assert {line.note for line in lines if line not in told} >= {"the same again"}


@pytest.mark.long
def test_the_seed_does_not_decide_about_a_star(tmp_path):
    path = tmp_path / "ex01_softmax.py"
    path.write_text(f"import numpy as np\n{HONEST.replace('honest', 'softmax')}")
    for seed in range(3):
        assert check(EXERCISES[1], path, seed=seed, budget=3, shrink=False).points == pytest.approx(10)


def test_a_star_is_tried_when_the_rest_holds(tmp_path):
    path = tmp_path / "ex01_softmax.py"
    path.write_text("import numpy as np\ndef softmax(logits, axis=-1):\n    return np.exp(logits)\n")
    lines = check(EXERCISES[1], path, budget=3, shrink=False).lines
    assert {line.mark for line in lines if line.starred} == {UNTOUCHED}


def test_not_implemented_for_some_inputs_is_a_failure_there(graded):
    report, lines, _ = graded(
        in_softmax("if axis != -1: raise NotImplementedError", "return honest(logits, axis)"),
        names={*FEW, "one axis, slice by slice"},
        budget=10,
    )
    assert len({line.name for line in lines}) == len(lines)
    assert [line.name for line in lines if line.mark == FAILS] == ["one axis, slice by slice"]
    assert sum(line.possible for line in report.lines) == pytest.approx(10)


def test_what_it_prints_is_shown(graded):
    report, *_ = graded("print('hello')\n" + in_softmax("print('there')", "return honest(logits, axis)"))
    assert report.printed.startswith("hello\nthere\n")
