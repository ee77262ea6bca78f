"""A function is judged on what it takes: ordinary people are right, and who answers nothing earns nothing."""

import importlib
import json
import math
import warnings

import numpy as np
import pytest
from calls import run_process

from scratchlm import functional as F
from scratchlm.properties import PROPERTIES, examine
from scratchlm.properties.calling import Unanswered, find_way
from scratchlm.properties.kinds import KINDS


def library(name):
    """Return a function of a library, or skip the test where that is not installed."""
    module, _, attribute = name.partition(":")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries say of each other while they are imported
        pytest.importorskip(module.partition(".")[0], reason="a comparison: needs the library")
        return getattr(importlib.import_module(module), attribute)


def failing(kind, function, tier="identities", budget=4):
    report = examine(kind, function, tier=tier, budget=budget)
    return [(v.property.name, v.message, v.counterexample, v.actual) for v in report if not v.passed]


def failing_apart(name, tier):
    """Judge a library's function in a process of its own: after JAX, a process that forks is warned at."""
    pytest.importorskip(name.partition(".")[0].partition(":")[0], reason="a comparison: needs the library")
    told = run_process("examine", name, "--tier", tier, "--budget", "1", "--json").stdout
    return [verdict["message"] for verdict in json.loads(told)["verdicts"] if not verdict["passed"]]


# --- libraries, unwrapped --------------------------------------------------------------------------------------------

LIBRARIES = [
    "scipy.special:softmax",
    "scipy.special:log_softmax",
    "scipy.special:logsumexp",
    "jax.nn:softmax",
    "jax.nn:log_softmax",
    "jax.nn:logsumexp",
    "sklearn.utils.extmath:softmax",
    "torch:softmax",
    "torch:log_softmax",
    "torch:logsumexp",
    "torch.nn.functional:softmax",
    "torch.nn.functional:log_softmax",
    "torch.nn.functional:cross_entropy",
    "torch.nn.functional:nll_loss",
]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.long] * name.startswith(("jax", "sklearn"))) for name in LIBRARIES]
)
def test_a_library_s_function_passes_the_identities_as_it_is(name):
    kind = name.partition(":")[2]
    assert failing_apart(name, "identities") == [] if "jax" in name else failing(kind, library(name)) == []


@pytest.mark.long  # JAX compiles anew for every shape
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("jax.nn:softmax", ["it computes in float32 only"]),
        ("sklearn.utils.extmath:softmax", ["it takes matrices only", "it takes no axis"]),
        ("torch.nn.functional:cross_entropy", ["it takes vectors and matrices only"]),
    ],
)
def test_inputs_that_a_library_refuses_are_reported_once_under_manners(name, said):
    assert failing_apart(name, "manners") == said


def test_torch_may_be_wrapped_in_one_line():
    torch = pytest.importorskip("torch", reason="a comparison: needs PyTorch")
    assert failing("softmax", lambda z, axis=-1: torch.softmax(torch.from_numpy(z), axis).numpy()) == []


@pytest.mark.parametrize("kind", ["apply_temperature", "top_k", "top_p", "min_p"])
def test_the_decoders_of_transformers_pass_the_identities(kind):
    torch = pytest.importorskip("torch", reason="a comparison: needs PyTorch")
    name = {"apply_temperature": "Temperature", "top_k": "TopK", "top_p": "TopP", "min_p": "MinP"}[kind]
    warper = library(f"transformers.generation.logits_process:{name}LogitsWarper")
    assert failing(kind, lambda scores, setting: warper(setting)(None, torch.from_numpy(scores)).numpy()) == []


# --- what people write ------------------------------------------------------------------------------------------------


def commonest(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def of_a_list(scores):
    top = max(scores)
    exps = [math.exp(score - top) for score in scores]
    return [e / sum(exps) for e in exps]


def of_a_vector(z):
    assert z.ndim == 1
    return commonest(z)


def along_axis_1(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def of_a_matrix(z):
    e = np.exp(z - np.max(z, axis=1).reshape(-1, 1))
    return e / np.sum(e, axis=1).reshape(-1, 1)


def in_float32(z):
    return commonest(np.asarray(z, np.float32))


def float32_and_nothing_else(z):
    if z.dtype != np.float32:
        raise TypeError("expected float32")
    return commonest(z)


def with_dim(input, dim):
    return np.moveaxis(commonest(np.moveaxis(input, dim, -1)), -1, dim)


def advises(z, axis=-1):
    warnings.warn("there is a faster way", UserWarning, stacklevel=2)
    return F.softmax(z, axis)


class Tensor:
    """What a library of its own would have: no NumPy function takes it."""

    __array_ufunc__ = None
    __array__ = None

    def __init__(self, data):
        self.data = data

    def numpy(self):
        return self.data


def of_tensors(tensor, axis=-1):
    return Tensor(F.softmax(tensor.data * 1, axis)) if isinstance(tensor, Tensor) else tensor.no_such_thing


RIGHT = {
    commonest: {"one axis, slice by slice"},
    of_a_list: {"any number of axes", "shape and dtype", "one axis, slice by slice"},
    of_a_vector: {"any number of axes", "one axis, slice by slice"},
    along_axis_1: {"any number of axes", "one axis, slice by slice"},
    of_a_matrix: {"any number of axes", "one axis, slice by slice"},
    in_float32: {"both precisions", "one axis, slice by slice"},
    float32_and_nothing_else: {"both precisions", "one axis, slice by slice"},
    with_dim: set(),
    advises: set(),
}


@pytest.mark.parametrize("function", RIGHT, ids=lambda function: function.__name__)
def test_a_right_softmax_is_correct_whatever_it_takes(function):
    names = [p.name for p in PROPERTIES["softmax"] if not p.dtype]
    report = examine("softmax", function, names=names, budget=4)
    assert {verdict.property.name for verdict in report if not verdict.passed} == RIGHT[function]
    assert ("this is a correct implementation" in str(report)) == bool(RIGHT[function])


def log_p(z):
    d = z - z.max(axis=1, keepdims=True)
    return d - np.log(np.exp(d).sum(axis=1, keepdims=True))


LOSSES = {
    "a mean of a matrix": lambda z, y: -log_p(z)[np.arange(len(y)), y].mean(),
    "a sum of a matrix": lambda z, y: -log_p(z)[np.arange(len(y)), y].sum(),
    "a loss for each row": lambda z, y: -log_p(z)[np.arange(len(y)), y],
    "one row and one target": lambda z, y: float(-log_p(z.reshape(1, -1))[0, int(y)]) if z.ndim == 1 else z.no_such,
    "a mean or a sum": lambda z, y, reduction: {"mean": np.mean, "sum": np.sum}[reduction](
        -log_p(z)[np.arange(len(y)), y]
    ),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_right_cross_entropy_is_correct_whatever_it_takes(name):
    assert failing("cross_entropy", LOSSES[name]) == []
    said = [property_name for property_name, *_ in failing("cross_entropy", LOSSES[name], "manners")]
    assert {"any number of axes", "every reduction"} <= set(said)


GRADIENTS = {
    "of the mean": lambda z, y: (np.exp(log_p(z)) - np.eye(z.shape[1])[y]) / len(y),
    "of the sum": lambda z, y: np.exp(log_p(z)) - np.eye(z.shape[1])[y],
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_a_right_gradient_is_correct_of_the_mean_or_of_the_sum(name):
    assert failing("cross_entropy_backward", GRADIENTS[name]) == []


def test_arrays_of_a_library_are_made_and_read(monkeypatch):
    from types import SimpleNamespace

    monkeypatch.setitem(__import__("sys").modules, "tinygrad", SimpleNamespace(Tensor=Tensor))
    assert failing("softmax", of_tensors) == []
    monkeypatch.delitem(__import__("sys").modules, "tinygrad")
    (verdict,) = examine("softmax", of_tensors)
    assert "no_such_thing" in verdict.actual
    assert "wrap it: lambda z, axis=-1:" in verdict.property.hint


# --- nan is no answer, and a function looks at its scores -------------------------------------------------------------


def like(kind, value):
    """Return a function of a kind that answers with the right shape, and always the same number."""

    def constant(*arguments, **options):
        return np.full_like(KINDS[kind].ours(*arguments, **options), value)

    return constant


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 0.5, -1.0])
@pytest.mark.parametrize("kind", ["softmax", "log_softmax", "logsumexp", "nll_loss", "cross_entropy"])
def test_a_function_that_ignores_its_scores_has_one_verdict(kind, value):
    (verdict,) = examine(kind, like(kind, value), budget=5)
    assert not verdict.passed
    assert verdict.property.name == "it answers"
    assert re_word(value) in verdict.message


def re_word(value):
    return "nan" if math.isnan(value) else "infinite" if math.isinf(value) else "the same"


HOW_MANY = {
    "softmax": lambda z, axis=-1: np.full_like(z, 1 / z.shape[axis]),
    "log_softmax": lambda z, axis=-1: np.full_like(z, -math.log(z.shape[axis])),
    "logsumexp": lambda z, axis=-1: np.full_like(z.max(axis=axis), math.log(z.shape[axis])),
}


@pytest.mark.parametrize("kind", HOW_MANY)
def test_the_number_of_classes_is_not_an_answer(kind):
    (verdict,) = examine(kind, HOW_MANY[kind], budget=5)
    assert "the same for every input" in verdict.message


def spoiled(kind, when, value=0.0):
    """Return ours, but another number where the scores are such."""

    def function(*arguments, **options):
        result = np.array(KINDS[kind].ours(*arguments, **options))
        scores = max((a for a in arguments if isinstance(a, np.ndarray)), key=np.ndim)
        if when(scores):
            result[...] = value
        return result

    return function


KINDS_OF_ALL_SORTS = [  # the others differ in nothing that these tests look at
    k if k in ("logsumexp", "cross_entropy", "softmax_backward", "top_k") else pytest.param(k, marks=pytest.mark.long)
    for k in KINDS
]


@pytest.mark.parametrize("kind", KINDS_OF_ALL_SORTS)
def test_more_than_eight_classes_are_among_the_cases_of_every_identity(kind):
    found = failing(kind, spoiled(kind, lambda z: z.shape[-1] > 8, value=math.nan), budget=1)
    of_a_shape_of_its_own = {"huge, tiny, alone", "uniform", "n copies", "a hopeless target", "wide rows"}
    assert {name for name, *_ in found} >= {p.name for p in identities(kind)} - of_a_shape_of_its_own
    scores = {}
    exec(found[0][2], {"np": np}, scores)
    assert max(value.size for value in scores.values() if isinstance(value, np.ndarray)) <= 36


@pytest.mark.parametrize("kind", KINDS_OF_ALL_SORTS)
def test_axis_1_for_the_last_axis_fails_with_three_axes(kind):
    found = failing(kind, spoiled(kind, lambda z: z.ndim > 2), "manners", budget=1)
    assert "any number of axes" in [name for name, *_ in found]
    assert failing(kind, spoiled(kind, lambda z: z.ndim > 2), budget=1) == []


def identities(kind):
    return [p for p in PROPERTIES[kind] if p.tier == "identities"]


def test_right_for_its_first_thousand_calls_is_not_right():
    calls = iter(range(10**9))

    def tires(z, axis=-1):
        return F.softmax(z, axis) if next(calls) < 1000 else F.softmax(z, axis) + 0.1

    names = ["a distribution", "ratios", "blind to a shift", "permutation", "rows keep to themselves"]
    report = examine("softmax", tires, names=names, budget=150, shrink=False)
    assert [v.property.name for v in report] == ["the same again"]
    assert not report.passed


def test_the_same_exception_is_one_verdict():
    (verdict,) = examine("softmax", lambda z, axis=-1: z.no_such_thing)
    assert verdict.raised
    assert "no_such_thing" in verdict.actual


def test_the_cause_is_reported_and_not_a_missing_axis():
    (verdict,) = examine("softmax", lambda z: z.no_such_thing)
    assert "no_such_thing" in verdict.actual
    (verdict,) = examine("softmax", lambda z: None)
    assert "NoneType" in verdict.actual
    (verdict,) = examine("softmax", lambda z: (F.softmax(z), z))
    assert verdict.message == "the result is a tuple of arrays"


def test_a_function_that_is_right_for_vectors_and_silent_for_matrices_is_judged_on_vectors():
    assert failing("logsumexp", lambda x: np.max(x) + np.log(np.sum(np.exp(x - np.max(x))))) == []


def test_writing_into_the_argument_costs_only_manners():
    def in_place(x, axis=-1):
        x -= x.max(axis=axis, keepdims=True)
        np.exp(x, out=x)
        x /= x.sum(axis=axis, keepdims=True)
        return x

    assert failing("softmax", in_place) == []
    assert "input untouched" in [name for name, *_ in failing("softmax", in_place, "manners")]


def test_k_beyond_the_row_is_a_matter_of_manners():
    def by_a_border(scores, k):
        return np.where(scores >= np.sort(scores)[..., -k][..., None], scores, -np.inf).astype(scores.dtype)

    assert failing("top_k", by_a_border) == []
    assert [name for name, *_ in failing("top_k", by_a_border, "manners")] == ["more than there are"]


def test_famous_mistakes_do_not_pass():
    def of_probabilities(limit):
        def loss(z, targets, reduction="mean"):
            p = np.take_along_axis(F.softmax(z), targets[..., None], -1)[..., 0]
            losses = -np.log(np.maximum(p, p.dtype.type(limit)))
            return losses if reduction == "none" else getattr(losses, reduction)()

        return loss

    z, y = np.float32([[0, 110]]), np.array([0])
    with np.errstate(divide="ignore"):
        assert of_probabilities(0)(z, y) == np.inf
    assert F.cross_entropy(z, y) == 110
    for limit in (0, 1e-12, 1e-15, 1e-30):
        (verdict,) = examine("cross_entropy", of_probabilities(limit), names=["a hopeless target"], budget=2)
        assert not verdict.passed
        assert "-log" in verdict.diagnosis or limit == 1e-30


def test_a_way_that_is_not_there_says_why():
    with pytest.raises(Unanswered, match="the result is not an array of floats"):
        find_way("softmax", lambda z, axis=-1: None)
    with pytest.raises(Unanswered, match="raised an exception"):
        find_way("softmax", lambda: None)
