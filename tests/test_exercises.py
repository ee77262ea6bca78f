"""The exercises: solvable with full marks, not solved in advance, and every property catches a mistake by name."""

import ast
import importlib.util
from pathlib import Path

import numpy as np
import pytest

from scratchlm import functional
from scratchlm.classroom.candidates import CANDIDATES
from scratchlm.classroom.exercises import EXERCISES, STUBS, Part, properties_of
from scratchlm.classroom.tasks import TASKS
from scratchlm.models import MLPLM
from scratchlm.properties import PROPERTIES, judged

SOLUTIONS = Path(__file__).parent / "solutions"
PARTS = [(exercise, part) for exercise in EXERCISES.values() for part in exercise.parts]
JUDGED = [(exercise, part) for exercise, part in PARTS if part.kind != "looks_like_softmax"]


def loaded(path):
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def failures(part, function, budget):
    verdicts = judged(part.kind, properties_of(part), function, budget=budget)
    return [(v.property.name, v.counterexample, v.message, v.expected, v.actual) for v in verdicts if not v.passed]


def named(value):
    return f"{value.function}{'*' * value.starred}" if isinstance(value, Part) else f"{value.number}"


# --- the exercises ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("budget", [3, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize(("exercise", "part"), JUDGED, ids=named)
def test_the_solution_passes_every_property(exercise, part, budget):
    assert properties_of(part)
    assert failures(part, getattr(loaded(SOLUTIONS / exercise.file), part.function), budget) == []


def test_the_textbook_passes_what_is_required():
    softmax = loaded(SOLUTIONS / "textbook_softmax.py").softmax
    required, *_ = EXERCISES[1].parts
    assert failures(required, softmax, budget=10) == []


def test_the_examiner_tells_all_candidates_apart():
    examiner = loaded(SOLUTIONS / "ex13_examiner.py").looks_like_softmax
    assert {name: examiner(f) for name, (f, _) in CANDIDATES.items()} == {n: r for n, (_, r) in CANDIDATES.items()}


def test_exercises_are_complete_and_in_order():
    assert list(EXERCISES) == list(range(1, len(EXERCISES) + 1))
    assert sorted(path.name for path in STUBS.glob("*.py")) == [exercise.file for exercise in EXERCISES.values()]
    assert {part.kind for _, part in PARTS} >= set(TASKS)
    assert not set(TASKS) & set(PROPERTIES)
    for exercise in EXERCISES.values():
        assert exercise.stub.startswith(f'"""Exercise {exercise.number}: ')
        assert 3 <= len(exercise.hints) <= 4
        assert not exercise.parts[0].starred
    with pytest.raises(ValueError, match="no kind"):
        properties_of(Part("f", "nonsense"))


@pytest.mark.parametrize("exercise", EXERCISES.values(), ids=named)
def test_a_stub_says_what_to_do_and_does_nothing(exercise):
    tree = ast.parse(exercise.stub)
    modules = {a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names}
    assert modules == {"numpy"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
    module = loaded(STUBS / exercise.file)
    for name in {part.function for part in exercise.parts}:
        doc, only = functions[name].body
        text = ast.get_docstring(functions[name])
        assert isinstance(doc, ast.Expr)
        assert isinstance(only, ast.Raise)
        assert "Think: " in text
        assert "Shapes:" in text or name == "looks_like_softmax" or name == "result"
        with pytest.raises(NotImplementedError):
            getattr(module, name)(*[None] * len(functions[name].args.args))


def test_the_forward_pass_that_is_given_is_right():
    net = MLPLM(5, 3, 2, 4, dtype=np.float64)
    contexts = np.array([[0, 1, 1], [4, 2, 0]])
    forward = loaded(STUBS / EXERCISES[10].file).mlp_forward
    np.testing.assert_array_equal(forward(net.params, contexts), net.forward(contexts))


def test_every_property_is_written_for_a_reader():
    for properties in TASKS.values():
        assert len({p.name for p in properties}) == len(properties)
        for p in properties:
            assert p.identity
            assert p.why.endswith(".")
            assert p.hint.endswith((".", "?"))
            assert p.tier == "identities"


def test_candidates_say_what_is_wrong_with_them_and_names_do_not():
    assert sum(right for _, right in CANDIDATES.values()) >= 3
    for name, (function, right) in CANDIDATES.items():
        assert function.__doc__.startswith("Right: " if right else "Wrong: ")
        assert len(name) == 1


# --- wrong ones, and who catches them --------------------------------------------------------------------------------


def softmax(z):
    return functional.softmax(z)


def counted(previous, following, V):
    count = np.zeros((V, V))
    np.add.at(count, (previous, following), 1)
    return count


def table_of(count):
    count = np.where(count.sum(axis=1, keepdims=True) == 0, 1, count)
    return np.log(count / count.sum(axis=1, keepdims=True))


def a_pair_counts_once(previous, following, V):
    count = np.zeros((V, V))
    count[previous, following] += 1
    return table_of(count)


def known_only(previous, following, V):
    count = counted(previous, following, V)
    return np.log(count / count.sum(axis=1, keepdims=True))


def over_the_columns(previous, following, V):
    count = counted(previous, following, V)
    return np.log(count / np.maximum(count.sum(axis=0, keepdims=True), 1))


def backward(change=lambda grads, x, h: None, flat=lambda h: 1 - h**2, add=np.add.at):
    """Return a backward pass with a mistake in it."""

    def mlp_backward(p, contexts, g):
        x = p["embedding"][contexts].reshape(len(contexts), -1)
        h = np.tanh(x @ p["hidden_weight"] + p["hidden_bias"])
        grad_a = (g @ p["output_weight"].T) * flat(h)
        grad_x = (grad_a @ p["hidden_weight"].T).reshape(*contexts.shape, -1)
        grads = {"hidden_weight": x.T @ grad_a, "hidden_bias": grad_a.sum(0)}
        grads |= {"output_weight": h.T @ g, "output_bias": g.sum(0), "embedding": np.zeros_like(p["embedding"])}
        add(grads["embedding"], contexts, grad_x)
        return change(grads, x, h) or grads

    return mlp_backward


def only_the_last_use(table, ids, rows):
    table[ids] += rows


def without_bias(grads, x, h):
    return {name: grad for name, grad in grads.items() if name != "output_bias"}


def bias_by_row(grads, x, h):
    return {**grads, "hidden_bias": grads["hidden_bias"][None]}


def mean_again(grads, x, h):
    return {name: grad / len(x) for name, grad in grads.items()}


def squared(p, contexts, g):
    return backward()(p, contexts, g * np.abs(g))


def right_absorb(m, s, chunk):
    top = max(m, float(chunk.max(initial=-np.inf)))
    if top == -np.inf:
        return m, s
    return top, float(s * np.exp(m - top) + np.exp(chunk - top).sum())


def score_by_score(m, s, chunk):
    for x in chunk:
        if x > m:
            m, s = float(x), float(s * np.exp(m - x)) + 1.0
        elif x > -np.inf:
            s += float(np.exp(x - m))
    return m, s


def sum_not_corrected(m, s, chunk):
    top = max(m, chunk.max(initial=-np.inf))
    return (top, s + np.exp(chunk - top).sum()) if top > -np.inf else (m, s)


def corrected_the_wrong_way(m, s, chunk):
    top = max(m, chunk.max(initial=-np.inf))
    return (top, (s and s * np.exp(top - m)) + np.exp(chunk - top).sum()) if top > -np.inf else (m, s)


def chunk_alone(m, s, chunk):
    return right_absorb(-np.inf, 0.0, chunk) if chunk.size else (m, s)


def level_of_the_first(m, s, chunk):
    if m > -np.inf:
        return m, s + np.exp(chunk - m).sum()
    return right_absorb(m, s, chunk)


def no_level(m, s, chunk):
    total = s * np.exp(m if s else 0.0) + np.exp(chunk).sum()
    top = max(m, chunk.max(initial=-np.inf))
    return (top, total / np.exp(top)) if top > -np.inf else (m, s)


def starts_at_zero(m, s, chunk):
    """Take 0 for the level of a stream in which nothing came yet."""
    top = max(m, chunk.max(initial=0.0))
    return top, s * np.exp(m - top) + np.exp(chunk - top).sum()


def nan_at_the_start(m, s, chunk):
    top = max(m, chunk.max(initial=-np.inf))
    return top, s * np.exp(m - top) + np.exp(chunk - top).sum()


def crashes_on_nothing(m, s, chunk):
    chunk.max()
    return right_absorb(m, s, chunk)


def masked_as_a_number(m, s, chunk):
    return right_absorb(m, s, np.maximum(chunk, -1000.0))


def last_dropped(m, s, chunk):
    return right_absorb(m, s, chunk[:-1] if len(chunk) > 1 else chunk)


WRONG = [
    ("probs_at_temperature", "a distribution", lambda a, T: np.exp(a / T)),
    ("probs_at_temperature", "a distribution", lambda a, T: np.exp(a) ** (1 / T) / np.exp(a).sum(-1, keepdims=True)),
    ("probs_at_temperature", "as from the logits", lambda a, T: np.exp(a)),
    ("probs_at_temperature", "as from the logits", lambda a, T: softmax(a * T)),
    ("probs_at_temperature", "as from the logits", lambda a, T: softmax(np.exp(a) / T)),
    ("probs_at_temperature", "as from the logits", lambda a, T: softmax(a / T**2)),
    ("probs_at_temperature", "T = 1 changes nothing", lambda a, T: softmax(a / (T + 1e-3))),
    ("probs_at_temperature", "T = 1 changes nothing", lambda a, T: softmax(np.exp(a) / T)),
    ("probs_at_temperature", "one after the other", lambda a, T: softmax(a / max(T, 0.5))),
    ("probs_at_temperature", "one after the other", lambda a, T: softmax(a / (T + 0.5))),
    (
        "probs_at_temperature",
        "near absolute zero",
        lambda a, T: np.exp(a / T) / np.exp(a / T).sum(-1, keepdims=True),
    ),
    ("probs_at_temperature", "masked stay masked", lambda a, T: softmax(np.maximum(a, -100) / T)),
    ("probs_at_temperature", "masked stay masked", lambda a, T: softmax((a + 1e-9 * a.sum(-1, keepdims=True)) / T)),
    ("recover_logits", "there and back", lambda a, Z: a - Z[..., None]),
    ("recover_logits", "there and back", lambda a, Z: a),
    ("recover_logits", "there and back", lambda a, Z: np.exp(a) * np.exp(Z)[..., None]),
    ("recover_logits", "every row has its own level", lambda a, Z: a + Z),
    ("recover_logits", "every row has its own level", lambda a, Z: a + np.max(Z)),
    ("recover_logits", "at the level that was stored", lambda a, Z: a - a.mean(-1, keepdims=True) + Z[..., None]),
    ("recover_logits", "at the level that was stored", lambda a, Z: a + np.abs(Z)[..., None]),
    ("recover_logits", "masked stay masked", lambda a, Z: np.maximum(a, -1e4) + Z[..., None]),
    ("recover_logits", "masked stay masked", lambda a, Z: a + Z[..., None] + 0 * a.sum(-1, keepdims=True)),
    ("bigram_by_counts", "rows are distributions", over_the_columns),
    ("bigram_by_counts", "rows are distributions", lambda p, f, V: np.log(counted(p, f, V))),
    ("bigram_by_counts", "rows are distributions", known_only),
    ("bigram_by_counts", "the shares", a_pair_counts_once),
    ("bigram_by_counts", "the shares", lambda p, f, V: table_of(counted(f, p, V))),
    ("bigram_by_counts", "the shares", lambda p, f, V: table_of(counted(p, f, V)) / np.log(2)),
    ("bigram_by_counts", "never seen", lambda p, f, V: table_of(counted(p, f, V) + 1)),
    ("bigram_by_counts", "never seen", lambda p, f, V: np.maximum(table_of(counted(p, f, V)), -1e9)),
    ("bigram_by_counts", "nothing is known", known_only),
    ("bigram_by_counts", "nothing is known", lambda p, f, V: np.nan_to_num(known_only(p, f, V), nan=-np.inf)),
    ("bigram_by_counts", "the text twice", lambda p, f, V: table_of(counted(p, f, V) + 1)),
    ("bigram_by_counts", "the text twice", lambda p, f, V: np.log(counted(p, f, V))),
    ("bigram_by_counts", "no table does better", a_pair_counts_once),
    ("bigram_by_counts", "no table does better", lambda p, f, V: table_of(counted(f, p, V))),
    ("mlp_backward", "every parameter in its shape", backward(without_bias)),
    ("mlp_backward", "every parameter in its shape", backward(bias_by_row)),
    ("mlp_backward", "every parameter in its shape", backward(lambda grads, x, h: list(grads.values()))),
    ("mlp_backward", "the output layer", backward(mean_again)),
    ("mlp_backward", "the output layer", backward(lambda g, x, h: {**g, "output_bias": 0 * g["output_bias"]})),
    ("mlp_backward", "the hidden layer", backward(flat=lambda h: 1)),
    ("mlp_backward", "the hidden layer", backward(flat=lambda h: 1 - np.tanh(h) ** 2)),
    ("mlp_backward", "the hidden layer", backward(flat=lambda h: 1 - h)),
    ("mlp_backward", "the embedding", backward(add=only_the_last_use)),
    ("mlp_backward", "the embedding", backward(lambda g, x, h: {**g, "embedding": np.abs(g["embedding"])})),
    ("mlp_backward", "linear", squared),
    ("mlp_backward", "linear", lambda p, contexts, g: backward()(p, contexts, np.sign(g))),
    ("mlp_backward", "central differences", backward(flat=lambda h: 1 - h)),
    ("mlp_backward", "central differences", backward(add=only_the_last_use)),
    ("absorb", "the sum of the row", sum_not_corrected),
    ("absorb", "the sum of the row", corrected_the_wrong_way),
    ("absorb", "the sum of the row", chunk_alone),
    ("absorb", "the sum of the row", last_dropped),
    ("absorb", "the sum of the row", lambda m, s, chunk: 0.0),
    ("absorb", "what the state means", level_of_the_first),
    ("absorb", "what the state means", starts_at_zero),
    ("absorb", "any chunks, any order", sum_not_corrected),
    ("absorb", "any chunks, any order", chunk_alone),
    ("absorb", "an empty chunk", crashes_on_nothing),
    ("absorb", "an empty chunk", nan_at_the_start),
    ("absorb", "an empty chunk", lambda m, s, chunk: right_absorb(m, s, chunk if chunk.size else np.zeros(1))),
    ("absorb", "masked scores", nan_at_the_start),
    ("absorb", "masked scores", masked_as_a_number),
    ("absorb", "huge scores", no_level),
    ("absorb", "huge scores", level_of_the_first),
    ("result", "logsumexp of what came", lambda m, s: np.log(s)),
    ("result", "logsumexp of what came", lambda m, s: m + np.log2(s)),
    ("result", "logsumexp of what came", lambda m, s: m * np.log(s)),
    ("result", "nothing came", lambda m, s: m + np.log(s) if s > 0 else 0.0),
    ("result", "nothing came", lambda m, s: m + np.log1p(s - 1) if s else np.nan),
    ("result", "huge scores", lambda m, s: np.log(s * np.exp(m))),
    ("result", "huge scores", lambda m, s: min(m, 700.0) + np.log(s)),
]
RIGHT = [
    ("probs_at_temperature", lambda a, T: softmax(a / T)),
    ("probs_at_temperature", lambda a, T: np.exp(functional.log_softmax(a / T))),
    ("recover_logits", lambda a, Z: (a.T + np.asarray(Z).T).T),
    ("bigram_by_counts", lambda p, f, V: table_of(counted(p, f, V))),
    ("mlp_backward", backward()),
    ("absorb", right_absorb),
    ("absorb", score_by_score),
    ("absorb", lambda m, s, chunk: list(map(np.float64, right_absorb(m, s, chunk)))),
    ("result", lambda m, s: m + np.log(s)),
]


@pytest.mark.parametrize(("kind", "name", "function"), WRONG, ids=[f"{w[0]}-{w[1]}-{i}" for i, w in enumerate(WRONG)])
def test_every_wrong_one_is_caught_by_the_property_that_is_named(kind, name, function):
    chosen = [p for p in TASKS[kind] if p.name == name]
    (verdict,) = judged(kind, chosen, function, budget=60, shrink=False)
    assert not verdict.passed
    assert verdict.message


def test_every_property_catches_somebody():
    caught = {(kind, name) for kind, name, _ in WRONG}
    assert caught == {(kind, p.name) for kind, properties in TASKS.items() for p in properties}


@pytest.mark.parametrize("budget", [3, pytest.param(20, marks=pytest.mark.long)])
@pytest.mark.parametrize(("kind", "function"), RIGHT, ids=[f"{kind}-{i}" for i, (kind, _) in enumerate(RIGHT)])
def test_every_right_one_is_left_in_peace(kind, function, budget):
    assert failures(Part("f", kind), function, budget) == []
