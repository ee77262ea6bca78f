"""Which submissions look alike: names, comments and spacing do not matter, and short functions accuse nobody."""

from pathlib import Path

import pytest
from ladders import SOFTMAX

from scratchlm.classroom.exercises import STUBS
from scratchlm.classroom.similar import LEAST, Pair, _functions, as_text, similar

SOLUTION = (Path(__file__).parent / "solutions" / "ex10_mlp_backward.py").read_text(encoding="utf-8")
RENAMED = (
    SOLUTION.replace("grad_a", "delta").replace("grad_x", "g").replace(" + ", "  +  ").replace("x = ", "inputs = ")
)
RENAMED = RENAMED.replace("x @", "inputs @").replace("x.T", "inputs.T").replace('"""A sol', '# mine\n"""Not a sol')
STEPS = "".join(f"        a = a * {i} + a ** {i}\n" for i in range(12))
LOOPED = f"async def f(a):\n    for i in range(3):\n{STEPS}        total = (lambda t: t * a)(i)\n    return total\n"
STUB = (STUBS / "ex10_mlp_backward.py").read_text(encoding="utf-8")


def test_other_names_comments_and_spaces_hide_nothing():
    assert RENAMED != SOLUTION
    annotated = RENAMED.replace("(params, contexts, grad_logits):", "(params: dict, contexts, grad_logits) -> dict:")
    pairs = similar({"anna": [SOLUTION], "ben": ["x = 1\n" + RENAMED], "cem": [annotated], "dora": [STUB]})
    assert {(pair.one, pair.other) for pair in pairs} == {("anna", "ben"), ("anna", "cem"), ("ben", "cem")}
    assert {pair.functions for pair in pairs} == {("mlp_backward",)}
    caught = LOOPED.replace("    return total", "    try: pass\n    except ValueError as e: print(e)\n    return total")
    assert similar({"anna": [caught], "ben": [caught.replace(" as e: print(e)", " as problem: print(problem)")]})
    assert similar({"anna": [LOOPED], "ben": [LOOPED.replace("t:", "u:").replace("t *", "u *")]})


@pytest.mark.parametrize(
    "other",
    [
        SOLUTION.replace("1 - h**2", "1 - h * h"),
        SOLUTION.replace("axis=0", "axis=-1"),
        SOLUTION.replace(".T", ".t"),
        LOOPED.replace("        total", "    total"),
    ],
)
def test_another_step_is_another_answer(other):
    assert similar({"anna": [SOLUTION, LOOPED], "ben": [other]}) == []


def test_short_code_stubs_and_syntax_errors_accuse_nobody():
    assert similar({"anna": [SOFTMAX], "ben": [SOFTMAX]}) == []
    assert similar({"anna": [SOLUTION], "ben": [RENAMED]}, handed_out=[SOLUTION]) == []
    broken = ["def f(:", "\0", "(" * 10_000, SOLUTION]
    assert similar({"anna": broken, "ben": broken}) == [Pair("anna", "ben", ("mlp_backward",))]
    assert len(_functions(SOLUTION)) == 1
    assert LEAST > 40


def test_most_in_common_comes_first_and_nothing_commands_the_terminal():
    two = SOLUTION + SOLUTION.replace("mlp_backward", "again").replace("1 - h**2", "1 - h * h")
    pairs = similar({"anna": [SOLUTION], "ben": [two], "cem\x1b[2J": [two]})
    assert pairs[0].functions == ("again", "mlp_backward")
    assert "\x1b" not in as_text(pairs)
    assert as_text([]) == "no two have the same code"
