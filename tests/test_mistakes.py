"""The table of mistakes, and the judge who names them: the right one, never another, and none where all is right."""

import random
import re

import numpy as np
import pytest
import zoo

from scratchlm.properties import examine
from scratchlm.properties.calling import find_way
from scratchlm.properties.diagnosis import answers_to_probes, first_that_answers_alike, named, outcome, probes, same
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.mistakes import FORMULAS, MISTAKES, pairs
from scratchlm.properties.way import Way

ALL = [mistake for found in MISTAKES.values() for mistake in found]


def way_of(mistake):
    return Way(mistake.kind, mistake.function, word=next(iter(KINDS[mistake.kind].options), ""))


def test_the_table_is_large_and_every_mistake_has_a_name_and_a_sentence():
    assert len(ALL) >= 120
    assert MISTAKES.keys() == KINDS.keys()
    assert len({mistake.name for mistake in ALL}) == len(ALL)
    for mistake in [*ALL, *(pair for kind in FORMULAS for pair in pairs(kind))]:
        assert re.fullmatch(r"This gives exactly the same results as \S.*\. \S.*[^.]\.", mistake.sentence)
        assert "  " not in mistake.sentence


QUICK = {"softmax", "log_softmax", "nll_loss", "top_k"}


@pytest.mark.parametrize("kind", [k if k in QUICK else pytest.param(k, marks=pytest.mark.long) for k in MISTAKES])
def test_the_probes_tell_every_mistake_from_every_other_and_from_what_is_right(kind):
    ways = [way_of(mistake) for mistake in MISTAKES[kind]]
    ways.append(Way(kind, KINDS[kind].ours, word=ways[0].word))
    asked = list(probes(ways[0]))
    told_apart = {(i, j): False for i in range(len(ways)) for j in range(i)}
    for probe in asked:
        answers = [outcome(way, probe) for way in ways]
        for i, j in [pair for pair, told in told_apart.items() if not told]:
            told_apart[i, j] = not same(answers[i], answers[j], probe)
    names = [way.function.__name__ for way in ways]
    assert [(names[i], names[j]) for (i, j), told in told_apart.items() if not told] == []


SOME = random.Random(0).sample(ALL, 12)


@pytest.mark.parametrize(
    "mistakes", [pytest.param(SOME, id="some"), pytest.param(ALL, marks=pytest.mark.long, id="all")]
)
def test_a_mistake_that_is_not_in_the_table_is_named_as_no_other(mistakes):
    falsely = {}
    for mistake in mistakes:
        way = way_of(mistake)
        seen = answers_to_probes(way)
        assert first_that_answers_alike(way, seen, MISTAKES[mistake.kind]) is mistake
        others = [other for other in MISTAKES[mistake.kind] if other is not mistake]
        own = mistake.function.__name__
        others += [pair for pair in pairs(mistake.kind) if own not in pair.function.__name__.split("_and_")]
        if found := first_that_answers_alike(way, seen, others):
            falsely[mistake.name] = found.name
    assert falsely == {}


@pytest.mark.parametrize("animal", zoo.RIGHT, ids=lambda animal: animal.name)
def test_a_right_function_is_never_given_a_mistake(animal):
    assert named(find_way(animal.kind, animal.function)) is None


# --- the commonest, as somebody else would type them ------------------------------------------------------------------


def softmax_naive(x, axis=-1):
    num = np.exp(x)
    den = np.sum(num, axis=axis, keepdims=True)
    return np.divide(num, den)


def softmax_whole_sum(scores):
    exps = np.exp(scores - np.amax(scores, axis=-1, keepdims=True))
    return exps / np.sum(exps)


def softmax_no_axis_at_all(x):
    return np.exp(x - np.max(x)) / np.sum(np.exp(x - np.max(x)))


def softmax_axis_0(x):
    x = x - x.max(axis=-1)[..., np.newaxis]
    return np.exp(x) / np.exp(x).sum(axis=0)[np.newaxis]


def softmax_no_keepdims(x):
    shifted = x - np.max(x, axis=-1, keepdims=True)
    ex = np.exp(shifted)
    return ex / np.sum(ex, axis=-1)


def softmax_global_max(x, axis=-1):
    ex = np.exp(x - np.max(x))
    return ex / np.expand_dims(ex.sum(axis), axis)


def log_of_the_softmax(x, axis=-1):
    x = x - x.max(axis=axis, keepdims=True)
    p = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    return np.log(p)


def minus_lse(x):
    m = np.max(x, axis=-1, keepdims=True)
    return x - (m + np.log(np.sum(np.exp(x - m), axis=-1, keepdims=True)))


def log_eps(x, axis=-1):
    x = x - x.max(axis=axis, keepdims=True)
    p = np.exp(x) / np.exp(x).sum(axis=axis, keepdims=True)
    return np.log(p + 1e-9)


def minus_log_p(logits, y):
    e = np.exp(logits - logits.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    return np.mean(-np.log(p[range(len(y)), y]))


def clipped_p(logits, y, reduction="mean"):
    e = np.exp(logits - logits.max(-1, keepdims=True))
    p = np.clip(e / e.sum(-1, keepdims=True), 1e-12, None)
    nll = -np.log(np.take_along_axis(p, np.expand_dims(y, -1), axis=-1).squeeze(-1))
    return {"none": lambda v: v, "sum": np.sum, "mean": np.mean}[reduction](nll)


def mean_of_everything(logits, y):
    x = logits - logits.max(-1, keepdims=True)
    logp = x - np.log(np.exp(x).sum(-1, keepdims=True))
    hot = np.zeros_like(logits)
    hot[np.arange(len(y)), y] = 1
    return -np.mean(np.where(hot > 0, logp, 0))


def grad_not_averaged(logits, y, reduction="mean"):
    e = np.exp(logits - logits.max(1, keepdims=True))
    d = e / e.sum(1, keepdims=True)
    d[np.arange(logits.shape[0]), y] -= 1
    return d


def grad_without_the_target(logits, y):
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True) / logits.shape[0]


def grad_of_all_columns(logits, y):
    e = np.exp(logits - logits.max(1, keepdims=True))
    d = e / e.sum(1, keepdims=True)
    d[:, y] -= 1
    return d / len(logits)


def grad_the_wrong_way(logits, y):
    e = np.exp(logits - logits.max(1, keepdims=True))
    onehot = np.eye(logits.shape[1])[y]
    return (onehot - e / e.sum(1, keepdims=True)) / len(y)


COMMONEST = [
    ("softmax", softmax_naive, "exp of the scores as they are"),
    ("softmax", softmax_whole_sum, "dividing by the sum of the whole array"),
    ("softmax", softmax_no_axis_at_all, "the maximum of the whole array and dividing by the sum of the whole array"),
    ("softmax", softmax_axis_0, "summing over axis 0"),
    ("softmax", softmax_no_keepdims, "a sum without keepdims"),
    ("softmax", softmax_global_max, "the maximum of the whole array"),
    ("log_softmax", log_of_the_softmax, "as log(softmax(z)). "),
    ("log_softmax", minus_lse, "The shift must come before the logarithm"),
    ("log_softmax", log_eps, "log(softmax(z) + 1e-9)"),
    ("cross_entropy", minus_log_p, "as -log(softmax(z)[y]). "),
    ("cross_entropy", clipped_p, "-log(max(p, 1e-12))"),
    ("cross_entropy", mean_of_everything, "dividing by the number of entries"),
    ("cross_entropy_backward", grad_not_averaged, "the gradient of the sum in place of that of the mean"),
    ("cross_entropy_backward", grad_without_the_target, "the probabilities alone"),
    ("cross_entropy_backward", grad_of_all_columns, "subtracting 1 from the columns of all targets in every row"),
    ("cross_entropy_backward", grad_the_wrong_way, "onehot - p"),
]


@pytest.mark.parametrize(("kind", "function", "words"), COMMONEST, ids=[f.__name__ for _, f, _ in COMMONEST])
def test_the_commonest_mistakes_are_named_in_the_first_line(kind, function, words):
    report = examine(kind, function, tier="identities", budget=3, shrink=False)
    first = str(report).splitlines()[0]
    assert first.startswith("This gives exactly the same results as ")
    assert words in first
    assert {verdict.diagnosis for verdict in report if not verdict.passed} == {first}


def test_an_unknown_mistake_gets_the_hint_of_the_property():
    report = examine("softmax", lambda z, axis=-1: np.cosh(z) / np.cosh(z).sum(axis, keepdims=True), budget=5)
    assert report.diagnosis == ""
    assert "hint" in str(report)


def test_two_slips_are_named_together():
    def twofold(z, axis=-1):
        return np.exp2(z) / np.exp2(z).sum(axis=axis, keepdims=True)

    sentence = examine("softmax", twofold, tier="identities", budget=5, shrink=False).diagnosis
    assert "exp of the scores as they are and taking powers of 2. " in sentence
