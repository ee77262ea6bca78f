"""The points that a student finds just: what is more nearly right earns more, and one cause costs once."""

import itertools
import re
import textwrap
import warnings
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from hinted import HINTED
from ladders import LADDERS, SOFTMAX

from scratchlm.classroom.exercises import EXERCISES, properties_of
from scratchlm.classroom.grader import judge
from scratchlm.classroom.here import Here
from scratchlm.classroom.marks import FAILS, HOLDS, POINTS, Report
from scratchlm.classroom.points import LESSONS, PARTS, ROW, ROWS, WORTH, one_cause, ordinary_properties

SOLUTIONS = Path(__file__).parent / "solutions"


@cache
def report_of(number, source, budget=4):
    """Return what becomes of a student's text, judged in this process."""
    names = {"np": np}
    exec(source, names)
    functions = {part.function: names[part.function] for part in EXERCISES[number].parts if part.function in names}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lines = judge(EXERCISES[number], Here(functions), budget=budget, shrink=False)
    return Report(number, "", "", lines)


@pytest.mark.parametrize("number", EXERCISES)
def test_points_rise_strictly_from_the_worst_answer_to_the_best(number):
    solution = (SOLUTIONS / EXERCISES[number].file).read_text(encoding="utf-8")
    earned = [(report_of(number, text).points, label) for label, text in LADDERS[number].items()]
    best = report_of(number, solution)
    points = [score for score, _ in earned] + [best.points]
    assert len(points) >= 6
    assert all(low < high for low, high in itertools.pairwise(points)), earned
    stars = any(part.starred for part in EXERCISES[number].parts)
    assert (best.required_points, best.star_points) == (10, 2 * stars)
    assert points[0] < 1


def test_better_answers_earn_more_and_useless_ones_nothing():
    softmax, loss = LADDERS[1], LADDERS[4]
    off, naive = (report_of(1, softmax[label]).points for label in ("1e-9 in the denominator", "no shift"))
    assert 5 <= naive < off < 10
    assert report_of(3, LADDERS[3]["the logarithm of a stable softmax"]).points <= 7
    assert report_of(4, loss["always nan"]).points == 0
    constant = "def logsumexp(logits, axis=-1, keepdims=False): return 0 * logits.max(axis=axis, keepdims=keepdims)"
    assert report_of(2, constant).points == 0


OF_EVERYTHING = "def logsumexp(logits, axis=-1, keepdims=False): return np.log(np.exp(logits).sum())"
WRONG_ENTRIES = "def nll_loss(log_probs, targets, reduction='mean'):\n    loss = -log_probs[..., targets]\n"
WRONG_ENTRIES += "    return loss if reduction == 'none' else getattr(loss, reduction)()"
COLUMNS = "def nll_loss(log_probs, targets, reduction='mean'): return -log_probs[..., targets].mean()"
MEAN_FOR_NONE = HINTED[5, 0].replace("reduction == 'mean'", "reduction != 'sum'")


@pytest.mark.parametrize(
    ("number", "text", "failing"),
    [(2, OF_EVERYTHING, ROWS), (4, WRONG_ENTRIES, ROWS), (4, COLUMNS, ROWS), (5, MEAN_FOR_NONE, "every reduction")],
)
def test_answers_right_only_by_chance_are_found_out(number, text, failing):
    asked = next(
        line for line in report_of(number, text).lines if line.name == failing
    )  # of the function, not the next
    assert (asked.mark, asked.note) == (FAILS, "")


@pytest.mark.parametrize("number", EXERCISES)
def test_being_right_for_ordinary_rows_earns_half_the_points(number):
    parts = [part.function for part in EXERCISES[number].parts if not part.starred]
    for label, text in LADDERS[number].items():
        lines = [line for line in report_of(number, text).lines if not line.starred]
        assert sum(line.possible for line in lines) == pytest.approx(POINTS)
        for function in parts:
            own = [line for line in lines if line.function == function]
            if any(line.name == ROWS and line.mark == HOLDS for line in own):
                assert sum(line.points for line in own) >= sum(line.possible for line in own) / 2, label


def test_the_table_names_properties_and_functions_that_exist():
    parts = [part for exercise in EXERCISES.values() for part in exercise.parts if not part.starred]
    asked = {part.kind: [p.name for p in properties_of(part)] for part in parts}
    for kind, names in {**LESSONS, **PARTS}.items():
        assert set(names) <= set(asked[kind])
    assert set(WORTH) <= {part.function for part in parts}
    assert all(asked[kind][:2] == [ROW, ROWS] for kind in LESSONS)
    assert ordinary_properties("mlp_backward") == []


IN_PLACE = """
def softmax(logits, axis=-1):
    logits -= logits.max(axis=axis, keepdims=True)
    e = np.exp(logits)
    return e / e.sum(axis=axis, keepdims=True)
"""
NO_BATCH_WITHOUT_AXES = """
def nll_loss(log_probs, targets, reduction='mean'):
    rows = np.array([-log_probs[i, targets[i]] for i in range(len(targets))], log_probs.dtype)
    return rows if reduction == 'none' else rows.mean() if reduction == 'mean' else rows.sum()
"""
LEVELS = "def recover_logits(log_probs, Z): return log_probs + Z.reshape(-1, 1)"


def test_one_cause_is_one_deduction():
    lines = [line for line in report_of(1, IN_PLACE).lines if line.mark == FAILS]
    assert [line.name for line in lines] == ["input untouched", "any memory layout"]
    assert [line.points > 0 for line in lines] == [False, True]
    assert "it costs nothing more" in lines[1].note
    failing = [line for line in report_of(4, NO_BATCH_WITHOUT_AXES).lines if line.mark == FAILS]
    assert [line.name for line in failing if line.function == "nll_loss" and not line.points] == ["any number of axes"]
    assert one_cause([("a", ""), ("b", ""), ("no warnings", "")]) == {"no warnings": "a"}
    assert one_cause([("no warnings", "")]) == {}
    assert one_cause([("input untouched", ""), ("no warnings", "")]) == {}


def test_the_output_layer_alone_earns_its_share():
    report = report_of(10, LADDERS[10]["the output layer"])
    assert [line.name for line in report.lines if line.mark == HOLDS] == ["the output layer"]
    assert report.points == PARTS["mlp_backward"]["the output layer"]


# --- the loops of the stubs, typed in --------------------------------------------------------------------------------

MATH = "from math import inf\nexp, log = np.exp, np.log\n"  # a row has NumPy's numbers: exp(-inf - c) is 0


def loops_of(number, nth=0):
    """Return the plain loops that the docstrings of a stub show."""
    shown = re.findall(r"loops[^\n]*:\n\n((?: {8}[^\n]*\n|\n(?= {8}))+)", EXERCISES[number].stub)
    return textwrap.dedent(shown[nth]).rstrip()


def typed(head, before, loops, result):
    """Return a function with these loops in it."""
    return f"def {head}:\n" + textwrap.indent(f"{before}\n{loops}\nreturn {result}", "    ") + "\n"


def along(name, give="np.apply_along_axis(row, axis, logits).astype(logits.dtype)"):
    return f"def {name}(logits, axis=-1): return {give}\n"


LOSS = """
def {name}(scores, targets, reduction='mean'):
    loss = rows(scores.reshape(-1, scores.shape[-1]), targets.reshape(-1)).reshape(targets.shape)
    return loss if reduction == 'none' else getattr(loss, reduction)()
"""
CHAIN = """
def {name}(grad_output, output, axis=-1):
    g, p = np.moveaxis(grad_output, axis, -1), np.moveaxis(output, axis, -1)
    grads = [row(*pair) for pair in zip(g.reshape(-1, g.shape[-1]), p.reshape(-1, p.shape[-1]))]
    return np.moveaxis(np.reshape(grads, g.shape), -1, axis).astype(output.dtype)
"""
GRADIENT = """
def cross_entropy_backward(logits, targets, reduction='mean'):
    grad = rows(softmax(logits.reshape(-1, logits.shape[-1])), targets.reshape(-1)).reshape(logits.shape)
    return grad if reduction == 'mean' else grad * grad.dtype.type(targets.size)
"""
Z_OF = "V, c = len(z), max(z)"
P_OF = f"{Z_OF}\np = np.zeros_like(z)"
N_OF = "N, V = {0}.shape\n{1} = np.zeros{2}"
LEVEL = """
def recover_logits(log_probs, Z):
    V = log_probs.shape[-1]
    return rows(log_probs.reshape(-1, V), np.asarray(Z).reshape(-1)).reshape(log_probs.shape)
"""
KEPT = "probs = softmax(scores)\nstays = np.zeros(len(scores), bool)"
TOP_K = LADDERS[11]["top_k"]


def typed_in(number):
    """Return a student's file with the loops of a stub in it, for every row."""
    loops = loops_of(number)
    if number == 1:
        return typed("row(z)", P_OF, loops, "p") + along("softmax")
    if number == 2:
        again = "np.expand_dims(Z, axis) if keepdims else Z"
        given = "Z = np.apply_along_axis(row, axis, logits).astype(logits.dtype)"
        return typed("row(z)", Z_OF, loops, "Z") + typed("logsumexp(logits, axis=-1, keepdims=False)", given, "", again)
    if number == 3:
        return typed("row(z)", P_OF.replace("p = ", "l = "), loops, "l") + along("log_softmax")
    if number == 4:
        loss = N_OF.format("{0}", "loss", "(N, {0}.dtype)").replace("{0}", "log_probs")
        nll = typed("rows(log_probs, targets)", loss, loops.replace("mean = sum(loss) / N", ""), "loss")
        given = loss.replace("log_probs", "logits") + "\nc = logits.max(axis=1)"
        return nll.replace("rows", "each") + LOSS.format(name="nll_loss").replace("rows", "each") + typed(
            "rows(logits, targets)", given, loops_of(4, 1), "loss"
        ) + LOSS.format(name="cross_entropy")  # fmt: skip
    if number == 5:
        before = "N, V = probs.shape\ngrad = np.zeros_like(probs)"
        return SOFTMAX + typed("rows(probs, targets)", before, loops, "grad") + GRADIENT
    if number == 6:
        before = "V = len(g)\ngrad = np.zeros_like(g)"
        first = typed("row(g, p)", before, loops, "grad") + CHAIN.format(name="softmax_backward")
        second = typed("row(g, l)", before, loops_of(6, 1), "grad") + CHAIN.format(name="log_softmax_backward")
        return first + second.replace("row(", "row_of_log(")
    if number == 7:
        give = "np.apply_along_axis(row, -1, l, T).astype(l.dtype)"
        before = "V, c = len(l), max(l)\np = np.zeros_like(l)"
        return typed("row(l, T)", before, loops, "p") + f"def probs_at_temperature(l, T): return {give}\n"
    if number == 8:
        return typed("rows(log_probs, Z)", "N, V = log_probs.shape\nz = np.zeros_like(log_probs)", loops, "z") + LEVEL
    if number == 9:
        before = "N, V = len(previous), vocab_size\ncount, table = np.zeros((V, V)), np.zeros((V, V))"
        head = "bigram_by_counts(previous, following, vocab_size)"
        return typed(head, before, loops.replace("sum of count[i]", "sum(count[i])"), "table")
    if number == 11:
        own = loops.replace("(the tokens, the likeliest first)", "np.argsort(-scores, kind='stable')")
        row = typed(
            "row(scores, p)", KEPT, own.replace("keep k", "stays[k] = True"), "np.where(stays, scores, -np.inf)"
        )
        rest = "def top_p(scores, p): return np.apply_along_axis(row, -1, scores, p).astype(scores.dtype)\n"
        return SOFTMAX + TOP_K + row + rest
    assert number == 12
    result = "def result(running_max, running_sum): return running_max + log(running_sum)\n"
    return typed("absorb(running_max, running_sum, chunk)", "", loops, "running_max, running_sum") + result


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 12])
def test_the_loops_of_the_stub_typed_in_for_every_row_earn_full_marks(number):
    report = report_of(number, MATH + typed_in(number))
    failing = [
        (line.function, line.name, line.counterexample, line.actual) for line in report.lines if line.mark == FAILS
    ]
    assert [line for line in failing if report.required_points < POINTS] == []


def test_the_loops_of_the_last_layer_earn_its_share():
    before = "N, C = contexts.shape\nH, V = params['output_weight'].shape\n"
    before += (
        "h = np.tanh(params['embedding'][contexts].reshape(N, -1) @ params['hidden_weight'] + params['hidden_bias'])\n"
    )
    before += "grad_output_bias, grad_output_weight = np.zeros(V), np.zeros((H, V))"
    grads = "{'output_bias': grad_output_bias, 'output_weight': grad_output_weight}"
    text = typed("mlp_backward(params, contexts, grad_logits)", before, loops_of(10), grads)
    assert report_of(10, text).points == PARTS["mlp_backward"]["the output layer"]


# --- the hints, followed to the letter --------------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "stars"), HINTED)
def test_the_hints_followed_to_the_letter_are_accepted(number, stars):
    report = report_of(number, HINTED[number, stars])
    assert (report.required_points, report.star_points) == (10, stars)


def test_the_hints_of_every_exercise_and_every_star_are_followed():
    stars = {number: 2 * any(part.starred for part in exercise.parts) for number, exercise in EXERCISES.items()}
    assert set(HINTED) == {(number, 0) for number in EXERCISES} | {(number, n) for number, n in stars.items() if n}
