"""The battery on trial: ours pass, every wrong implementation is caught by name, every right one is left in peace."""

import os
import sys

import numpy as np
import pytest
import zoo

from scratchlm import naive
from scratchlm.properties import PROPERTIES, examine
from scratchlm.properties.battery import TIERS
from scratchlm.properties.imported import imported
from scratchlm.properties.kinds import KINDS

# What follows from other properties of the same kind, and why it stays all the same.
FOLLOWS = {
    "temperature": "from `ratios`; it is the identity that the article got wrong, so it stands on its own",
    "permutation": "from the defining identity; nobody who sees its counterexample needs a hint",
    "exp gives softmax": "from `normalised` and `differences kept`; it ties the two functions together",
    "twice is once": "from `normalised`; it says why a redundant log_softmax is harmless",
    "temperature survives": "from `differences kept`; it refutes the article's main claim",
    "the logits come back": "from `normalised` and `differences kept`; it says what is lost, and that it is one number",
    "between max and max + log n": "from `in two parts` and `n copies`; the first thing to look at in a plot",
    "n copies": "from `in two parts`; ties deserve a case of their own",
    "a shift comes through": "from `huge, tiny, alone` and `in two parts`; it is the reason for the shift",
    "sums to zero": "from `the Jacobian`; a check that a student can do by eye",
    "linear": "from `the Jacobian`; a failure says at once that g was squared or forgotten",
    "central differences": "from the formula; the witness that needs no algebra",
    "any level": "from `huge, tiny, alone`; all else rests on the shift, so its failure should be told by name",
    "signs": "from `the formula`; it is what learning is, in one line",
}
# A filter's set is settled by these two together.
FOLLOWS_IN_ONE = {
    (
        "top_p",
        "never the better before the worse",
    ): "from `the smallest nucleus`, nearly; it names a sort in the wrong order",
    ("softmax", "huge, tiny, alone"): "from `blind to a shift`; the input that everybody should try first",
    ("logsumexp_backward", "sums to g"): "from `softmax is its slope`; a check that a student can do by eye",
    (
        "min_p",
        "never the better before the worse",
    ): "from `at least p times the best`; it names a sort in the wrong order",
}


def caught_by(animal, names):
    """Return which of these properties an implementation fails, on a small budget."""
    verdicts = examine(animal.kind, animal.function, names=names, budget=10, shrink=False)
    return {verdict.property.name for verdict in verdicts if not verdict.passed}


@pytest.mark.parametrize("budget", [5, pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", PROPERTIES)
def test_ours_pass_every_property(kind, budget):
    verdicts = examine(kind, KINDS[kind].ours, budget=budget)
    assert [(v.property.name, v.counterexample, v.message) for v in verdicts if not v.passed] == []


def test_every_property_is_written_for_a_reader():
    for properties in PROPERTIES.values():
        assert len({p.name for p in properties}) == len(properties)
        for p in properties:
            assert p.name
            assert p.identity
            assert p.why.endswith(".")
            assert p.hint
            assert p.tier in TIERS


def test_the_zoo_is_large_and_covers_every_kind():
    by_hand = {animal.function.__name__ for animal in zoo.WRONG}
    assert len(by_hand) >= 100
    assert {animal.kind for animal in zoo.WRONG} == {animal.kind for animal in zoo.RIGHT} == set(PROPERTIES)


def one_first(animals, key):
    """Return parameters of a test: the first animal of each key, and all others for the long tests."""
    first = {key(animal): animal for animal in reversed(animals)}.values()
    marks = {animal.name: [] if animal in first else [pytest.mark.long] for animal in animals}
    return [pytest.param(animal, marks=marks[animal.name], id=animal.name) for animal in animals]


OF_ALL_CALLS = {"it answers", "any number of axes", "both precisions", "every reduction"}  # and of no case


# Manners are one piece of code for all kinds; to show it of one kind is to show it of all.
MANNERS = {*zoo.MANNERS.values(), *zoo.OF_AN_OPTION.values()}


def kind_and_catcher(animal):
    return animal.kind if animal.caught_by not in MANNERS else "", animal.caught_by


@pytest.mark.parametrize("animal", one_first(zoo.WRONG, kind_and_catcher))
def test_every_wrong_one_is_caught_by_the_property_that_is_named(animal):
    verdict = zoo.caught(animal, shrink=False)  # the smallest ones are in the table that `python tests/zoo.py` prints
    print(zoo.line(animal, verdict))
    assert not verdict.passed
    assert verdict.property.name in (animal.caught_by or verdict.property.name, "it answers")
    assert verdict.counterexample or verdict.property.name in OF_ALL_CALLS
    assert verdict.message


@pytest.mark.parametrize("budget", [3, pytest.param(12, marks=pytest.mark.long)])
@pytest.mark.parametrize("animal", one_first(zoo.RIGHT, lambda animal: animal.kind))
def test_every_right_one_is_left_in_peace(animal, budget):
    verdicts = examine(animal.kind, animal.function, tier="identities", budget=budget)
    assert [(v.property.name, v.counterexample, v.message) for v in verdicts if not v.passed] == []


EACH_ALONE = [
    (kind, p)
    for kind, properties in PROPERTIES.items()
    for p in properties
    if p.name not in FOLLOWS and (kind, p.name) not in FOLLOWS_IN_ONE and (kind == "softmax" or p.name not in MANNERS)
]


@pytest.mark.long  # it is about the battery's economy: that no property could be left out
@pytest.mark.parametrize(("kind", "p"), EACH_ALONE, ids=lambda x: x if isinstance(x, str) else x.name)
def test_without_this_property_a_mutant_would_live(kind, p):
    """Some mutant is caught by this property, and by no other of its tier but such as follow from it.

    And what only the oracle catches passes every identity: it is a correct textbook implementation, told kindly.
    """
    others = {
        q.name for q in PROPERTIES[kind] if q != p and q.name not in FOLLOWS and (kind, q.name) not in FOLLOWS_IN_ONE
    }
    if p.tier == "identities":
        others -= {q.name for q in PROPERTIES[kind] if q.tier == "accuracy"}
    candidates = [animal for animal in zoo.WRONG if animal.kind == kind and animal.caught_by in ("", p.name)]
    candidates.sort(key=lambda animal: not animal.caught_by)  # those that are meant for it come first
    assert any(caught_by(animal, [p.name]) and not caught_by(animal, others) for animal in candidates)


# --- examine itself --------------------------------------------------------------------------------------------------


def test_the_counterexample_is_small_and_can_be_pasted():
    verdicts = {v.property.name: v for v in examine("softmax", naive.softmax, names=["blind to a shift"])}
    verdict = verdicts["blind to a shift"]
    assert not verdict.passed
    scope = {"np": np}
    exec(verdict.counterexample, scope)
    assert scope["logits"].size == 2
    assert np.isnan(naive.softmax(scope["logits"] + scope["logits"].dtype.type(scope["c"]))).all()
    assert "0.5" in verdict.expected
    assert "nan" in verdict.actual
    textbook = {v.property.name: v for v in examine("log_softmax", zoo.textbook_log, names=["accurate in float64"])}
    exec(textbook["accurate in float64"].counterexample, scope)
    assert scope["logits"].size == 2


IDENTITIES = {(kind, p.name): p for kind, found in PROPERTIES.items() for p in found if p.tier == "identities"}
TAUGHT = {(a.kind, a.caught_by): a for a in zoo.WRONG if (a.kind, a.caught_by) in IDENTITIES}


@pytest.mark.parametrize("animal", one_first(list(TAUGHT.values()), lambda animal: animal.kind))
def test_a_counterexample_is_one_that_a_person_learns_from(animal):
    (verdict,) = examine(animal.kind, animal.function, names=[animal.caught_by], budget=30)
    scope = {}
    exec(verdict.counterexample, {"np": np}, scope)
    for name, value in scope.items():
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.size:
            assert value.shape[-1:] != (1,) or name == "grad_output" or animal.caught_by == "huge, tiny, alone"
            assert value.size <= 40
            if name == "log_probs":
                assert (value <= 0).all()  # 1 is the log of no probability
            if name != "log_probs" or "backward" not in animal.kind:
                assert max(len(f"{x:.17g}") for x in value.ravel()) <= 12, value


def rude(how):
    def implementation(z, axis=-1):
        if how == "raises":
            raise RuntimeError("no")
        if how == "exits":
            raise SystemExit(0)
        if how == "recurses":
            return implementation(z, axis)
        return {"none": None, "text": "0.5", "ragged": [[1.0], [1.0, 2.0]], "objects": np.array([None]), "ints": 1}[how]

    return implementation


@pytest.mark.parametrize("how", ["raises", "exits", "recurses", "none", "text", "ragged", "objects", "ints"])
def test_whatever_an_implementation_does_becomes_a_verdict(how):
    for verdict in examine("softmax", rude(how), budget=5, names=["a distribution", "shape and dtype"]):
        assert not verdict.passed
        assert verdict.message


def test_an_implementation_with_random_answers_is_recognised():
    calls = iter(range(10**9))
    random = examine("softmax", lambda z, axis=-1: np.full(z.shape, 1.0 / z.shape[axis] + next(calls) % 2), budget=30)
    assert any(not verdict.passed for verdict in random)


def test_examine_is_deterministic_and_leaves_nothing_behind(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = (examine("log_softmax", naive.log_softmax, budget=2, tier="identities") for _ in range(2))
    assert first == second
    assert os.listdir(tmp_path) == []


def test_examine_complains_about_its_own_arguments():
    for arguments, message in (
        ({"kind": "softmin"}, "kind must be one of"),
        ({"tier": "speed"}, "tier must be"),
        ({"budget": 0}, "budget must be at least 1"),
        ({"names": ["sums to 1"]}, "softmax has no property sums to 1"),
    ):
        with pytest.raises(ValueError, match=message):
            examine(**{"kind": "softmax", "implementation": naive.softmax, **arguments})


def test_an_implementation_without_an_axis_is_correct_and_fails_manners_once():
    def last_axis_only(z):
        return KINDS["softmax"].ours(z)

    report = examine("softmax", last_axis_only, budget=20)
    assert [v.property.name for v in report if not v.passed] == ["one axis, slice by slice"]
    assert "this is a correct implementation" in str(report)


def test_scipy_passes_the_identities_and_fails_accuracy():
    special = pytest.importorskip("scipy.special", reason="a comparison: needs the extra `peers`")
    for kind in ("softmax", "log_softmax", "logsumexp"):
        verdicts = examine(kind, getattr(special, kind), tier="identities", budget=10)
        assert [v.property.name for v in verdicts if not v.passed] == []
    failed = [v for v in examine("log_softmax", special.log_softmax, tier="accuracy") if not v.passed]
    assert len(failed) == 2


@pytest.mark.parametrize("body", ["return z", "yield z"])
def test_a_function_that_would_have_to_be_awaited_is_refused(body, tmp_path, monkeypatch):
    name = f"awaited_{body[0]}"
    (tmp_path / f"{name}.py").write_text(f"async def softmax(z, axis=-1):\n    {body}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    with pytest.raises(ValueError, match=f"{name}:softmax is async"):
        imported(f"{name}:softmax")
