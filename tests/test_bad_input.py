"""A table of bad input: each row is a call with one mistake, which must raise an error with one helpful line.

The exception has the documented type and names the argument or the bad value. It comes without a warning, changes no
argument and leaves no file behind. It is one file because it is one table. Scores of -inf, inf and nan are not bad
input for `functional`: their results are documented, and tested elsewhere.
"""

import inspect
import os
import re
import tempfile
import warnings
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.exceptions import AxisError  # NumPy's own: a ValueError and an IndexError

from scratchlm import data, gradcheck, models, optim, oracle, sampling, training
from scratchlm import functional as F
from scratchlm.data import (
    Contexts,
    Vocabulary,
    WordVocabulary,
    contexts_and_targets,
    read_text,
    split_texts,
    texts_in,
    windows_and_targets,
)
from scratchlm.models import MLPLM, BigramLM
from scratchlm.objectives import Objective
from scratchlm.optim import SGD, AdamW
from scratchlm.properties import examine
from scratchlm.training import Data, learning_rate_at, loss_and_grads, mean_nll, train

HUGE = 10**400  # a whole number too large for a float
NAN, INF = np.nan, float("1e400")  # a float as large as this is infinite
ROWS = np.array([[1.0, 2.0, 3.0], [0.0, 1.0, 0.0]])
LOGS = np.log([[0.5, 0.25, 0.25], [0.125, 0.125, 0.75]])
IDS = np.array([0, 2])
BIGRAM, MLP = BigramLM(3), MLPLM(3, 2, 2, 2)
LETTERS, WORDS = Vocabulary("abc"), WordVocabulary(["to be"])
CONTEXTS = np.array([[0], [1]])
PAIRS = Data(CONTEXTS, IDS)
NEW_BIGRAM, NEW_MLP = BigramLM(3), MLPLM(3, 2, 2, 2)  # forward is never called on these
WENT_BIGRAM, WENT_MLP = BigramLM(3), MLPLM(3, 2, 2, 2)  # forward has been called on these, with two contexts
WENT_BIGRAM.forward(CONTEXTS)
WENT_MLP.forward([[0, 1], [1, 2]])
PARAMS = {"w": np.array([1.0, 2.0]), "b": np.array([3.0])}
GRADS = {"w": np.array([0.5, -0.5]), "b": np.array([1.0])}
STEPS = [SGD({"w": np.ones(2), "b": np.ones(1)}).step, AdamW({"w": np.ones(2), "b": np.ones(1)}).step]


def read(content, mode=0o600):
    """Read a file with this content, in a temporary folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "text.txt"
        path.write_bytes(content)
        path.chmod(mode)
        return read_text(path)


def train_bigram(**settings):
    """Train a new bigram table for a step or two."""
    model = BigramLM(3)
    return train(**{"model": model, "objective": Objective(), "optimizer": SGD(model.params), **settings})


# Valid calls. A row of the table changes one argument, or two that go together.
GOOD = {
    F.logsumexp: {"logits": ROWS, "axis": -1},
    F.softmax: {"logits": ROWS, "axis": -1},
    F.log_softmax: {"logits": ROWS, "axis": -1},
    F.logsumexp_backward: {"grad_output": np.ones(2), "logits": ROWS, "axis": -1},
    F.softmax_backward: {"grad_output": ROWS, "probs": np.exp(LOGS), "axis": -1},
    F.log_softmax_backward: {"grad_output": ROWS, "log_probs": LOGS, "axis": -1},
    F.nll_loss: {"log_probs": LOGS, "targets": IDS, "reduction": "mean"},
    F.nll_loss_backward: {"log_probs": LOGS, "targets": IDS, "reduction": "mean"},
    F.cross_entropy: {"logits": ROWS, "targets": IDS, "reduction": "mean"},
    F.cross_entropy_backward: {"logits": ROWS, "targets": IDS, "reduction": "mean"},
    F.cross_entropy_with_grad: {"logits": ROWS, "targets": IDS, "reduction": "mean"},
    F.linear_cross_entropy_with_grad: {"hidden": ROWS, "weight": ROWS.T, "bias": np.ones(2), "targets": [0, 1]},
    sampling.apply_temperature: {"scores": ROWS, "temperature": 0.5},
    sampling.top_k: {"scores": ROWS, "k": 2},
    sampling.top_p: {"scores": ROWS, "p": 0.5},
    sampling.min_p: {"scores": ROWS, "p": 0.5},
    sampling.scores_kind: {"scores": ROWS},
    sampling.repetition_penalty: {"scores": ROWS, "previous_tokens": CONTEXTS, "penalty": 2.0},
    sampling.sample: {"scores": ROWS, "rng": 0},
    sampling.generate: {"model": BIGRAM, "count": 1, "rng": 0, "max_length": 3},
    Objective: {"head": "logits", "loss": "cross_entropy"},
    Objective("logits", "nll_loss").value_and_grad: {"logits": ROWS, "targets": IDS},
    oracle.logsumexp: {"logits": [0.0, 1.0]},
    oracle.softmax: {"logits": [0.0, 1.0]},
    oracle.log_softmax: {"logits": [0.0, 1.0]},
    oracle.cross_entropy: {"logits": [0.0, 1.0], "targets": 1},
    oracle.cross_entropy_backward: {"logits": [0.0, 1.0], "targets": 1},
    oracle.promised_ulps: {"row": np.zeros(3)},
    oracle.ulp_error: {"actual": np.ones(2), "exact": [Decimal(1), Decimal(1)]},
    gradcheck.numerical_gradient: {"function": np.sum, "x": [1.0, 2.0]},
    gradcheck.max_relative_error: {"analytic": np.ones(2), "numeric": np.ones(2)},
    examine: {"kind": "softmax", "implementation": F.softmax, "names": ["a distribution"], "budget": 1},
    Vocabulary: {"characters": "abc"},
    Vocabulary.from_texts: {"texts": ["abc"]},
    LETTERS.encode: {"text": "abc"},
    LETTERS.encode_all: {"texts": ["abc"]},
    LETTERS.decode: {"ids": [1, 2]},
    WordVocabulary: {"words": ["to be"]},
    WordVocabulary.from_texts: {"texts": ["to be"]},
    WORDS.encode: {"text": "be"},
    WORDS.encode_all: {"texts": ["be"]},
    WORDS.decode: {"ids": [1, 2]},
    contexts_and_targets: {"texts": ["ab"], "vocabulary": LETTERS, "context_length": 2},
    windows_and_targets: {"texts": ["ab"], "vocabulary": LETTERS, "context_length": 2},
    Contexts: {"ids": IDS, "context_length": 2},
    split_texts: {"texts": ["a", "b", "c"], "validation_fraction": 0.5},
    read: {"content": b"anna\n"},
    read_text: {"path": __file__},
    texts_in: {"lines": ["anna"], "name": "a pipe"},
    BigramLM: {"vocab_size": 3},
    BIGRAM.forward: {"contexts": CONTEXTS},
    BIGRAM.fit_counts: {"contexts": CONTEXTS, "targets": IDS, "smoothing": 1.0},
    WENT_BIGRAM.backward: {"grad_logits": ROWS},
    NEW_BIGRAM.backward: {},
    MLPLM: {"vocab_size": 3, "context_length": 2, "embedding_dim": 2, "hidden_dim": 2},
    MLP.forward: {"contexts": [[0, 1]]},
    MLP.loss_and_grads: {"contexts": [[0, 1], [1, 2]], "targets": IDS},
    WENT_MLP.backward: {"grad_logits": ROWS},
    NEW_MLP.backward: {},
    SGD: {"params": PARAMS, "momentum": 0.9},
    AdamW: {"params": PARAMS},
    **{step: {"grads": GRADS, "learning_rate": 0.0} for step in STEPS},
    learning_rate_at: {"step": 0, "steps": 8, "peak": 1.0, "warmup": 2},
    loss_and_grads: {"model": BIGRAM, "objective": Objective(), "batch": PAIRS},
    train_bigram: {"training": PAIRS, "judged_by": PAIRS, "steps": 1, "batch_size": 1, "learning_rate": 0.1},
    mean_nll: {"model": BIGRAM, "data": PAIRS},
}


class Bad(NamedTuple):
    """A call, the exception it must raise, and the message; "..." stands for anything in between."""

    name: str
    call: partial
    error: type
    says: str


TABLE: list[Bad] = []


def bad(what, error, says, *functions, **changes):
    """Add a row for each of the functions."""
    for function in functions:
        name = f"{function.__module__.rpartition('.')[2]}.{function.__qualname__}: {what}"
        TABLE.append(Bad(name, partial(function, **{**GOOD[function], **changes}), error, says))


# --- arrays of scores ------------------------------------------------------------------------------------------------

# Values that are not numbers, and the dtypes that NumPy gives them.
NO_NUMBERS = {
    "a text": ("abc", "<U3"),
    "bytes": (b"abc", "|S3"),
    "numbers as texts": (["1", "2"], "<U1"),
    "None": (None, "object"),
    "a dict": ({0: 1.0}, "object"),
    "a set": ({1.0}, "object"),
    "a generator": ((x for x in ()), "object"),
    "a function": (len, "object"),
    "an array of objects": (np.array([[1.0, None, 2.0]]), "object"),
    "complex numbers": ([1j, 2.0], "complex128"),
    "dates": (np.array(["2000-01-01"], "M8[D]"), "datetime64[D]"),
    "Decimals": ([Decimal(1)], "object"),
    "a number too large for any dtype": ([HUGE, 1.0], "object"),
}
ARRAYS = {
    "logits": [F.softmax, F.log_softmax, F.logsumexp, F.logsumexp_backward, F.cross_entropy, F.cross_entropy_backward],
    "log_probs": [F.nll_loss, F.nll_loss_backward, F.log_softmax_backward],
    "probs": [F.softmax_backward],
    "grad_output": [F.softmax_backward, F.log_softmax_backward],
    "hidden": [F.linear_cross_entropy_with_grad],
    "weight": [F.linear_cross_entropy_with_grad],
    "bias": [F.linear_cross_entropy_with_grad],
    "scores": [
        *(sampling.apply_temperature, sampling.top_k, sampling.top_p, sampling.min_p),
        *(sampling.repetition_penalty, sampling.sample, sampling.scores_kind),
    ],
}
VALUE_AND_GRAD = next(function for function in GOOD if function.__qualname__ == "Objective.value_and_grad")
ARRAYS["logits"] += [F.cross_entropy_with_grad, VALUE_AND_GRAD]

for argument, functions in ARRAYS.items():
    for kind, (value, dtype) in NO_NUMBERS.items():
        says = f"{argument} must contain real numbers, not {dtype}"
        bad(f"{argument} is {kind}", TypeError, says, *functions, **{argument: value})
    says = f"{argument} must have at least one axis ... single number"
    bad(f"{argument} is a single number", ValueError, says, *functions, **{argument: 1.0})
    bad(f"{argument} has no axis", ValueError, says, *functions, **{argument: np.array(-0.0)})
    says = f"{argument} must be one array ... different lengths"
    bad(f"{argument} is ragged", ValueError, says, *functions, **{argument: [[1.0, 2.0], [3.0]]})

NO_CLASS = np.zeros((2, 0))
no_class = partial(bad, "no class", ValueError, "no class to choose from: shape (2, 0)")
no_class(F.softmax, F.log_softmax, F.logsumexp, F.logsumexp_backward, logits=NO_CLASS)
no_class(F.cross_entropy, F.cross_entropy_backward, F.cross_entropy_with_grad, VALUE_AND_GRAD, logits=NO_CLASS)
no_class(F.nll_loss, F.nll_loss_backward, log_probs=NO_CLASS)
no_class(F.softmax_backward, grad_output=NO_CLASS, probs=NO_CLASS)
no_class(F.log_softmax_backward, grad_output=NO_CLASS, log_probs=NO_CLASS)
bad("no class in an empty list", ValueError, "shape (0,)", F.softmax, F.log_softmax, F.logsumexp, logits=[])
bad("no class", ValueError, "no classes", F.linear_cross_entropy_with_grad, weight=np.ones((3, 0)), bias=np.ones(0))

says = "probs has shape (2, 3) ... grad_output ... (3,)"
bad("two shapes", ValueError, says, F.softmax_backward, grad_output=ROWS[0])
says = "log_probs has shape (2, 3) ... grad_output ... (2, 1)"
bad("two shapes", ValueError, says, F.log_softmax_backward, grad_output=ROWS[:, :1])
says = "grad_output has shape (3,); for logits of shape (2, 3) it must be (2, 1) or (2,)"
bad("grad_output for other rows", ValueError, says, F.logsumexp_backward, grad_output=np.ones(3))
bad("grad_output in the shape of the logits", ValueError, "(2, 3)", F.logsumexp_backward, grad_output=ROWS)
says = "grad_output must be one array"
bad("grad_output is ragged", ValueError, says, F.logsumexp_backward, grad_output=[[1.0], []])
says = "grad_output must contain real numbers ... complex128"
bad("grad_output is complex", TypeError, says, F.logsumexp_backward, grad_output=[1j, 1j])
says = "shapes (2, 4), (3, 2) and (2,)"
bad("a layer of another width", ValueError, says, F.linear_cross_entropy_with_grad, hidden=np.ones((2, 4)))
bad("hidden is one row", ValueError, "shapes (3,)", F.linear_cross_entropy_with_grad, hidden=np.ones(3))
bad("bias of other classes", ValueError, "and (3,)", F.linear_cross_entropy_with_grad, bias=np.ones(3))

# --- axis, targets, reduction ----------------------------------------------------------------------------------------

ALONG_AN_AXIS = [function for function, arguments in GOOD.items() if "axis" in arguments]
NO_AXES = {
    "a text": ("0", "not '0'"),
    "bytes": (b"0", "not b'0'"),
    "a float": (1.0, "not 1.0"),
    "minus zero": (-0.0, "not -0.0"),
    "nan": (NAN, "not nan"),
    "a complex number": (1j, "not 1j"),
    "a list": ([0], "not [0]"),
    "a set": ({0}, "not {0}"),
    "an array": (np.array([0, 1]), "not array([0, 1])"),
    "a tuple of None": ((None,), "not (None,)"),
    "a tuple of floats": ((0.0, 1.0), "not (0.0, 1.0)"),
}
for kind, (value, says) in NO_AXES.items():
    bad(f"axis is {kind}", TypeError, f"axis must be an int ... {says}", *ALONG_AN_AXIS, axis=value)
for value in (2, -3, (0, 2), (0, 0), (1, -1), (), 2**63, -HUGE):
    says = f"axis {value} does not fit shape (2, 3)"
    bad(f"axis is {str(value)[:20]}", AxisError, says, *ALONG_AN_AXIS, axis=value)

WITH_TARGETS = [
    *(F.nll_loss, F.nll_loss_backward, F.cross_entropy, F.cross_entropy_backward, F.cross_entropy_with_grad),
    *(F.linear_cross_entropy_with_grad, VALUE_AND_GRAD),
]
NO_IDS = {
    "floats": ([0.0, 1.0], "float64"),
    "minus zero": ([-0.0, 0.0], "float64"),
    "nan": ([0, NAN], "float64"),
    "bools": ([True, False], "bool"),
    "one hot": (np.eye(2), "float64"),
    "complex numbers": ([0, 1j], "complex128"),
    "texts": (["0", "1"], "<U1"),
    "bytes": (b"01", "|S2"),
    "None": (None, "object"),
    "a dict": ({0: 1}, "object"),
    "a generator": ((x for x in ()), "object"),
    "a number too large for any dtype": ([0, HUGE], "object"),
    "a list with 2**63, which NumPy reads as floats": ([0, 2**63], "float64"),
}
for kind, (value, dtype) in NO_IDS.items():
    bad(f"targets: {kind}", TypeError, f"targets must be integer class ids, not {dtype}", *WITH_TARGETS, targets=value)
for value in (-1, 3, 2**62, -(2**63)):
    bad(
        f"targets: {value}", ValueError, f"targets[1] is {value}; valid ids are 0 to", *WITH_TARGETS, targets=[0, value]
    )
says = f"targets[0] is {2**63}"
bad("targets: 2**63 in uint64", ValueError, says, *WITH_TARGETS, targets=np.array([2**63, 0], np.uint64))
for kind, value, shape in (
    ("one for all rows", 0, "()"),
    ("none", [], "(0,)"),
    ("too few", [0], "(1,)"),
    ("too many", [0, 1, 0], "(3,)"),
    ("a column", [[0], [1]], "(2, 1)"),
):
    bad(f"targets: {kind}", ValueError, f"targets must have shape (2,) ... not {shape}", *WITH_TARGETS, targets=value)
bad("targets: ragged", ValueError, "targets must be one array", *WITH_TARGETS, targets=[[0], [1, 2]])
bad("targets: of one row", ValueError, "targets is 3", F.cross_entropy, logits=ROWS[0], targets=3)

REDUCED = [function for function, arguments in GOOD.items() if "reduction" in arguments]
for value in ("average", "MEAN", "", "mean\n", None, 0, b"mean", ["mean"], {"mean": 1}, np.array(["mean", "sum"])):
    says = f"reduction must be one of mean, sum, none, not {value!r}"
    bad(f"reduction is {value!r}", ValueError, says, *REDUCED, reduction=value)
EMPTY = np.zeros((0, 3))
says = "mean over no rows"
bad("an empty batch", ValueError, says, F.nll_loss, F.nll_loss_backward, log_probs=EMPTY, targets=[])
bad("an empty batch", ValueError, says, F.cross_entropy, F.cross_entropy_backward, logits=EMPTY, targets=[])
bad("an empty batch", ValueError, says, F.cross_entropy_with_grad, VALUE_AND_GRAD, logits=EMPTY, targets=[])
bad("an empty batch", ValueError, says, F.linear_cross_entropy_with_grad, hidden=EMPTY, targets=[])

# --- decoders --------------------------------------------------------------------------------------------------------

# An option of generate is named as an argument of the step that receives it.
NUMBERS = [
    (sampling.apply_temperature, "temperature", "temperature must be a"),
    (sampling.repetition_penalty, "penalty", "penalty must be a"),
    (sampling.top_p, "p", "p must be a"),
    (sampling.min_p, "p", "p must be a"),
    (sampling.generate, "temperature", "temperature must be a"),
    (sampling.generate, "repetition_penalty", "penalty must be a"),
    (sampling.generate, "top_p", "p must be a"),
    (sampling.generate, "min_p", "p must be a"),
]
for function, argument, says in NUMBERS:
    for value in (0, -1, -0.0, -5e-324, NAN, INF, -INF, HUGE, -HUGE, False):
        bad(f"{argument} is {str(value)[:9]}", ValueError, f"{says} ... not {value}", function, **{argument: value})
    for value in ("1", b"1", 1j, [0.5], {}, np.array([0.5, 0.5]), len):
        bad(f"{argument} is {value!r}", TypeError, f"{says} ... not {value!r}", function, **{argument: value})
bad("p is above 1", ValueError, "p must be ... at most 1, not 1.0000000000000002", sampling.top_p, p=1 + 2**-52)
bad("p is 2**63", ValueError, f"p must be ... at most 1, not {2**63}", sampling.min_p, sampling.top_p, p=2**63)
for function, argument, says in NUMBERS[:5]:  # in generate, None leaves a step out
    bad(f"{argument} is None", TypeError, f"{says} ... not None", function, **{argument: None})
says = "temperature 1e-320 makes scores overflow"
bad("a temperature that is too low", ValueError, says, sampling.apply_temperature, temperature=1e-320)

WHOLE = [
    (sampling.top_k, "k", "k", 1),
    (sampling.generate, "top_k", "k", 1),
    (sampling.generate, "count", "count", 0),
    (sampling.generate, "max_length", "max_length", 1),
]
for function, argument, name, least in WHOLE:
    for value in (1.5, 1.0, -0.0, NAN, INF, "1", b"1", 1j, [1], {}, np.array([1, 2])):
        says = f"{name} must be a whole number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
    for value in (least - 1, -HUGE):
        says = f"{name} must be at least {least}, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
for value in (2**62, 2**63, 10**400):  # the first fits an index, but not the memory
    kind, words = (MemoryError, f"{value}") if value < 2**63 else (ValueError, "must be below")
    bad(f"{str(value)[:9]} texts", kind, words, sampling.generate, count=value)
    bad(f"texts of {str(value)[:9]} tokens", kind, words, sampling.generate, max_length=value)

for value, error in (("1", TypeError), (1.5, TypeError), (NAN, TypeError), ({}, TypeError), (-1, ValueError)):
    says = f"rng must be a generator ... not {value!r}"
    bad(f"rng is {value!r}", error, says, sampling.sample, sampling.generate, rng=value)

says = "no token to choose from ... (2, 0)"
FILTERS = [sampling.apply_temperature, sampling.top_k, sampling.top_p, sampling.min_p, sampling.repetition_penalty]
bad("no token", ValueError, says, *FILTERS, sampling.scores_kind, scores=NO_CLASS)
bad("no token", ValueError, "nothing to draw from", sampling.sample, scores=NO_CLASS)
bad("every token masked", ValueError, "every token of a row is masked", sampling.sample, scores=ROWS - INF)
bad("a score is nan", ValueError, "contains nan", sampling.sample, scores=[0.0, NAN])
bad("a score is infinite", ValueError, "contains inf", sampling.sample, scores=[0.0, INF])

for kind, (value, dtype) in NO_IDS.items():
    says = f"previous_tokens must be integer token ids, not {dtype}"
    bad(f"previous_tokens: {kind}", TypeError, says, sampling.repetition_penalty, previous_tokens=value)
for value in (-1, 3, 2**62, -(2**63)):
    says = f"previous_tokens[1, 0] is {value}; valid ids are 0 to 2"
    bad(f"previous_tokens: {value}", ValueError, says, sampling.repetition_penalty, previous_tokens=[[0], [value]])
for value in (0, [0], [[0]], [[[0]], [[1]]]):
    says = f"previous_tokens must have shape (2,) and one axis more, not {np.shape(value)}"
    bad(f"previous_tokens: {value}", ValueError, says, sampling.repetition_penalty, previous_tokens=value)
says = "previous_tokens must have shape () and one axis more, not ()"
bad("one previous token", ValueError, says, sampling.repetition_penalty, scores=[1.0], previous_tokens=0)
says = "previous_tokens must be one array"
bad("previous_tokens: ragged", ValueError, says, sampling.repetition_penalty, previous_tokens=[[0], [1, 2]])

# --- objectives ------------------------------------------------------------------------------------------------------

for value in ("probits", "Logits", "", None, 0, b"logits", ["logits"], {}, np.array(["logits", "softmax"])):
    bad(f"head is {value!r}", ValueError, f"head must be one of ... not {value!r}", Objective, head=value)
    bad(f"loss is {value!r}", ValueError, f"loss must be one of ... not {value!r}", Objective, loss=value)

# --- the judge and the witness ---------------------------------------------------------------------------------------

OF_A_ROW = [oracle.logsumexp, oracle.softmax, oracle.log_softmax, oracle.cross_entropy, oracle.cross_entropy_backward]
for value in ("abc", b"abc", None, 1.0, len, {0: 1.0}, {1.0}, np.array(1.0)):
    says = f"logits must be a row of numbers ... not {value!r}"
    bad(f"logits is {value!r}", TypeError, says, *OF_A_ROW, logits=value)
for value, part in (([1j], "1j"), ([None], "None"), ([0.0, "1"], "'1'"), ([0.0, [1.0]], "[1.0]"), ([0.0, {}], "{}")):
    bad(
        f"logits is {value!r}",
        TypeError,
        f"each entry of logits must be a real number, not {part}",
        *OF_A_ROW,
        logits=value,
    )
for value in ([], [NAN, 0.0], [INF, 0.0], [0.0, HUGE], [-INF, -INF]):
    says = f"needs a row of finite numbers ... not {value}"
    bad(f"logits is {str(value)[:20]}", ValueError, says, *OF_A_ROW, logits=value)
says = "logits must be a row of numbers ... not 'ab'"
bad("rows of text", TypeError, says, oracle.logsumexp, oracle.softmax, oracle.log_softmax, logits=["ab", "cd"])
says = "logits must be a row of numbers ... not 1.0"
bad("a row and a number", TypeError, says, oracle.logsumexp, oracle.softmax, oracle.log_softmax, logits=[[0.0], 1.0])
for value in (0.0, -0.0, NAN, "0", None, 1j, [0], slice(0, 1), np.array([0])):
    says = f"targets must be integer class ids, not {value!r}"
    bad(f"targets is {value!r}", TypeError, says, *OF_A_ROW[3:], targets=value)
for value in (2, -1, 2**63, HUGE):
    says = f"targets contains {value}; valid ids are 0 to 1"
    bad(f"targets is {str(value)[:9]}", IndexError, says, *OF_A_ROW[3:], targets=value)
for value in (0, None, [0], [0, 1, 0]):
    says = f"targets must be one class id for each of 2 rows, not {value}"
    bad(f"targets of two rows: {value}", ValueError, says, *OF_A_ROW[3:], logits=ROWS, targets=value)

for value, dtype in ((1, "int64"), ("x", "<U1"), (None, "object"), (1j, "complex128"), ({}, "object")):
    bad(f"actual is {value!r}", TypeError, f"actual must be float16 ... not {dtype}", oracle.ulp_error, actual=value)
bad("two shapes", ValueError, "actual has shape (2,) ... exact has shape (1,)", oracle.ulp_error, exact=[Decimal(1)])
for value in (None, "x", 1j, b"1", [1, 2]):
    says = f"exact must contain Decimals, not {value!r}"
    bad(f"exact contains {value!r}", TypeError, says, oracle.ulp_error, actual=[1.0, 1.0], exact=[Decimal(1), value])

for value, dtype in (([1, 2], "int64"), (np.zeros(2, np.float16), "float16"), (["x"], "<U1"), (None, "object")):
    bad(f"row of {dtype}", TypeError, f"row must be float32 or float64, not {dtype}", oracle.promised_ulps, row=value)
for value in (np.zeros(0), np.zeros((2, 2)), np.full(2, -INF), np.array([0.0, INF]), np.array([NAN])):
    says = "row must be one row of finite scores (some may be -inf), not"
    bad(f"row is {value.tolist()}", ValueError, says, oracle.promised_ulps, row=value)

for kind, (value, dtype) in NO_NUMBERS.items():
    bad(f"x is {kind}", TypeError, f"x must contain real numbers, not {dtype}", gradcheck.numerical_gradient, x=value)
    for argument in ("analytic", "numeric"):
        says = f"{argument} must contain real numbers, not {dtype}"
        bad(f"{argument} is {kind}", TypeError, says, gradcheck.max_relative_error, **{argument: value})
for value in (NAN, INF, -INF):
    says = f"x must contain only finite numbers, not {value}"
    bad(f"x contains {value}", ValueError, says, gradcheck.numerical_gradient, x=[1.0, value])
bad("x is ragged", ValueError, "x must be one array", gradcheck.numerical_gradient, x=[[1.0], []])
for value in (None, NAN, INF, 1j, "1", HUGE, {}):
    says = f"function must return one finite number ... it returned {value!r}"
    name = f"function returns {str(value)[:9]}"
    bad(name, ValueError, says, gradcheck.numerical_gradient, function=lambda x, value=value: value)
says = "function must return one finite number ... an array of shape (2,)"
bad("function returns its argument", ValueError, says, gradcheck.numerical_gradient, function=lambda x: x)
says = "function must return one finite number ... an array of shape (2, 2)"
bad("function returns a table", ValueError, says, gradcheck.numerical_gradient, function=lambda x: np.ones((2, 2)))
bad("function is None", TypeError, "'NoneType' ... not callable", gradcheck.numerical_gradient, function=None)
says = "analytic has shape (3,) ... numeric has shape (2,)"
bad("two shapes", ValueError, says, gradcheck.max_relative_error, analytic=np.ones(3))
bad("a single number", ValueError, "analytic has shape ()", gradcheck.max_relative_error, analytic=1.0)
bad("ragged", ValueError, "numeric must be one array", gradcheck.max_relative_error, numeric=[[1.0], []])

for value in ("softmin", "Softmax", "", None, 0, ["softmax"], {}):
    bad(f"kind is {value!r}", ValueError, f"kind must be one of softmax ... not {value!r}", examine, kind=value)
for value in (None, "softmax", 1):
    says = f"implementation must be a function, not {value!r}"
    bad(f"implementation is {value!r}", TypeError, says, examine, implementation=value)
for value in ("speed", "", 0, b"accuracy", ["accuracy"]):
    says = f"tier must be one of identities, manners, accuracy, not {value!r}"
    bad(f"tier is {value!r}", ValueError, says, examine, tier=value)
for value in ("float16", "", 0, np.float32, ["float32"]):
    bad(f"dtype is {value!r}", ValueError, f"dtype must be float32 or float64, not {value!r}", examine, dtype=value)
for value in (1.0, "1", None, NAN, [1]):
    for argument in ("budget", "seed"):
        says = f"{argument} must be a whole number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, examine, **{argument: value})
for value in (0, -1, -HUGE):
    bad(f"budget is {str(value)[:9]}", ValueError, f"budget must be at least 1, not {value}", examine, budget=value)
for value in ("a distribution", 1, (name for name in ("a distribution",))):
    bad(f"names is {str(value)[:9]}", TypeError, f"names must be a list ... not {value!r}", examine, names=value)
for value in ("sums to 1", 0, None, ["a distribution"]):
    says = f"softmax has no property {value}"
    bad(f"a name is {value!r}", ValueError, says, examine, names=["a distribution", value])

# --- texts -----------------------------------------------------------------------------------------------------------

bad("no character", ValueError, "at least one character", Vocabulary, characters="")
bad("no word", ValueError, "at least one word", WordVocabulary, words=[])
bad("nothing but white space", ValueError, "at least one word", WordVocabulary, words=[" ", "\t\n", "\u2003"])
bad("an unknown character", ValueError, "'z' (U+007A) at position 2", LETTERS.encode, text="abz")
bad("a lone surrogate", ValueError, "U+D800) at position 1", LETTERS.encode, text="a\ud800")
bad("a NUL", ValueError, "U+0000) at position 0", LETTERS.encode, text="\0")
bad("an unknown word", ValueError, "the word 'not'", WORDS.encode, text="not to be")
bad("a lone surrogate", ValueError, r"the word '\ud800'", WORDS.encode, text="\ud800")
TEXTS = [
    *((Vocabulary.from_texts, "texts"), (LETTERS.encode_all, "texts")),
    *((WordVocabulary, "words"), (WordVocabulary.from_texts, "texts"), (WORDS.encode_all, "texts")),
    *((contexts_and_targets, "texts"), (windows_and_targets, "texts"), (split_texts, "texts")),
]
for function, argument in TEXTS:
    for value in ("abc", "", b"abc", None, 1.5, 2**63, Path("abc")):
        says = f"{argument} must be a list of texts, not one {type(value).__name__}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
NO_TEXTS = (None, 5, 1.5, b"a", ["a"], Path("a"), Vocabulary)
for value in NO_TEXTS:
    says = f"a text must be a str, not {type(value).__name__}"
    for function, argument in TEXTS:
        bad(f"{argument} contains {value!r}", TypeError, says, function, **{argument: ["a", value]})
    bad(f"text is {value!r}", TypeError, says, LETTERS.encode, WORDS.encode, text=value)
    bad(f"characters is {value!r}", TypeError, says, Vocabulary, characters=value)
for kind, (value, dtype) in NO_IDS.items():
    says = f"ids must be integer token ids, not {dtype}"
    bad(f"ids: {kind}", TypeError, says, LETTERS.decode, WORDS.decode, Contexts, ids=value)
says = "ids must be one array"
bad("ids: ragged", ValueError, says, LETTERS.decode, WORDS.decode, Contexts, ids=[[1], [1, 2]])
bad("ids: rows", ValueError, "ids must have shape (N,), not (1, 2)", Contexts, ids=[[1, 2]])
for value in (-1, 4, 2**63):
    says = f"ids[0] is {value}; valid ids are 0 to"
    bad(f"token {value}", ValueError, says, LETTERS.decode, WORDS.decode, ids=[value])
IN_CONTEXTS = [contexts_and_targets, windows_and_targets, Contexts]
for value in (0, -1, -HUGE):
    says = f"context_length must be at least 1, not {value}"
    bad(f"context_length is {str(value)[:9]}", ValueError, says, *IN_CONTEXTS, context_length=value)
for value in (2**31, 2**63, HUGE):
    says = f"context_length must be below 2**31, not {value}"
    bad(f"context_length is {str(value)[:9]}", ValueError, says, *IN_CONTEXTS, context_length=value)
for value in (1.5, 2.0, NAN, "2", None, True, [2], np.array([2, 2])):
    says = f"context_length must be a whole number, not {value!r}"
    bad(f"context_length is {value!r}", TypeError, says, *IN_CONTEXTS, context_length=value)
for value in (None, "abc", Vocabulary, ["a"], {"a": 1}):
    says = f"vocabulary must be a Vocabulary or a WordVocabulary, not {type(value).__name__}"
    bad(f"vocabulary is {value!r}", TypeError, says, *IN_CONTEXTS[:2], vocabulary=value)
bad("an unknown character", ValueError, "'z' (U+007A)", contexts_and_targets, texts=["ab", "az"])
bad("an unknown word", ValueError, "the word 'ab'", contexts_and_targets, vocabulary=WORDS)
for value in (-0.1, 1.0, 2**63, NAN, INF, True):
    says = f"validation_fraction must be ... not {value}"
    bad(f"validation_fraction is {value}", ValueError, says, split_texts, validation_fraction=value)
for value in ("0.1", None, 1j, [0.1], np.array([0.1, 0.2])):
    says = f"validation_fraction must be a real number, not {value!r}"
    bad(f"validation_fraction is {value!r}", TypeError, says, split_texts, validation_fraction=value)
for value, error in ((-1, ValueError), (-HUGE, ValueError), ("1", TypeError), (1.5, TypeError), (NAN, TypeError)):
    says = f"seed must be a whole number of at least 0, not {value!r}"
    bad(f"seed is {str(value)[:9]}", error, says, split_texts, MLPLM, seed=value)
says = "a validation_fraction of 0.9 leaves none"
bad("no text is left for training", ValueError, says, split_texts, texts=["a", "a"], validation_fraction=0.9)
bad("no texts", ValueError, "none of 0 texts", split_texts, texts=[])

for kind, content in (
    ("UTF-16", "anna\n".encode("utf-16")),
    ("UTF-32", "anna\n".encode("utf-32")),
    ("Latin-1", b"ren\xe9\n"),
    ("a lone surrogate, as some programs write it", b"a\xed\xa0\x80b\n"),
    ("a character cut off in the middle", b"anna\n\xe2\x82"),
    ("more bytes than a character needs", b"\xc0\x80"),
    ("compressed", b"\x1f\x8b\x08\x00"),
):
    bad(kind, ValueError, "text.txt is not UTF-8", read, content=content)
for kind, content in (
    ("nothing", b""),
    ("a byte order mark and no more", b"\xef\xbb\xbf"),
    ("blank lines", b"\n \r\n\t\n"),
    ("white space outside ASCII", "\u00a0\n\u2003\n".encode()),
):
    bad(f"a file of {kind}", ValueError, "text.txt contains no text", read, content=content)
bad("a NUL", ValueError, "text.txt ... line 2 ... NUL", read, content=b"anna\nb\0en\n")
bad("UTF-16 without its mark", ValueError, "text.txt ... line 1 ... NUL", read, content="anna\n".encode("utf-16-le"))
if not hasattr(os, "geteuid") or os.geteuid():  # root may read everything
    bad("a file that may not be read", PermissionError, "text.txt", read, content=b"anna\n", mode=0)
bad("no lines", ValueError, "a pipe contains no text", texts_in, lines=[])
bad("a NUL", ValueError, "a pipe ... line 2 ... NUL", texts_in, lines=["anna", "b\0en"])
bad("a folder", IsADirectoryError, "'.'", read_text, path=".")
bad("no file", FileNotFoundError, "no such name.txt", read_text, path="no such name.txt")
bad("no name", FileNotFoundError, "''", read_text, path="")
bad("a file in a file", NotADirectoryError, "text.txt", read_text, path=Path(__file__) / "text.txt")
bad("a name that is too long", OSError, "x" * 300, read_text, path="x" * 300)
bad(
    "a name with a NUL", ValueError, r"'a\x00b' cannot be the name of a file: ... embedded null", read_text, path="a\0b"
)
says = r"'a\ud800' cannot be the name of a file"
bad("a name with a lone surrogate", ValueError, says, read_text, path="a\ud800")
for value, kind in ((None, "NoneType"), (1.5, "float"), (["a"], "list"), ({}, "dict")):
    bad(f"path is {value!r}", TypeError, f"PathLike ... not {kind}", read_text, path=value)

# --- models, steps, the loop -----------------------------------------------------------------------------------------

LENGTHS = [(BigramLM, "vocab_size"), (MLPLM, "vocab_size")]
LENGTHS += [(MLPLM, "context_length"), (MLPLM, "embedding_dim"), (MLPLM, "hidden_dim")]
for function, argument in LENGTHS:
    for value in (0, -1, -HUGE):
        says = f"{argument} must be at least 1, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    for value in (2**31, 2**63, HUGE):
        says = f"{argument} must be below 2**31, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    for value in (1.5, 3.0, -0.0, NAN, "3", None, 1j, [3], True):
        says = f"{argument} must be a whole number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
for value in (np.float16, "int64", complex, object, np.longdouble):
    says = f"dtype must be float32 or float64, not {np.dtype(value)}"
    bad(f"dtype is {np.dtype(value)}", ValueError, says, BigramLM, MLPLM, dtype=value)
for value in ("x", "", 5, None, 1.5, [np.float32], len):
    says = f"dtype must be float32 or float64, not {value!r}"
    bad(f"dtype is {value!r}", ValueError, says, BigramLM, MLPLM, dtype=value)
OF_CONTEXTS = [BIGRAM.forward, MLP.forward, BIGRAM.fit_counts, MLP.loss_and_grads]
for kind, (value, dtype) in NO_IDS.items():
    says = f"contexts must be integer token ids, not {dtype}"
    bad(f"contexts: {kind}", TypeError, says, *OF_CONTEXTS, contexts=value)
    says = f"targets must be integer token ids, not {dtype}"
    bad(f"targets: {kind}", TypeError, says, BIGRAM.fit_counts, targets=value)
    says = f"targets must be integer class ids, not {dtype}"
    bad(f"targets: {kind}", TypeError, says, MLP.loss_and_grads, targets=value)
for value in (0, [], [0, 1], [[0, 1, 2]], [[[0, 1]]]):
    says = f"contexts must have shape (N, ... not {np.shape(value)}"
    bad(f"contexts: {value}", ValueError, says, *OF_CONTEXTS, contexts=value)
bad("contexts: ragged", ValueError, "contexts must be one array", *OF_CONTEXTS, contexts=[[0], [1, 2]])
for value in (0, [[0], [1]], [[0, 1]]):
    says = f"targets must have shape (N,), not {np.shape(value)}"
    bad(f"targets: {value}", ValueError, says, BIGRAM.fit_counts, targets=value)
bad("targets: ragged", ValueError, "targets must be one array", BIGRAM.fit_counts, targets=[[0], [1, 2]])
for value in (-1, 3, 2**62):
    says = f"is {value}; valid ids are 0 to 2"
    for function in (BIGRAM.forward, BIGRAM.fit_counts):
        bad(f"contexts: {value}", ValueError, f"contexts[1, 0] {says}", function, contexts=[[0], [value]])
    bad(f"contexts: {value}", ValueError, f"contexts[0, 1] {says}", MLP.forward, contexts=[[0, value]])
    bad(f"targets: {value}", ValueError, f"targets[1] {says}", BIGRAM.fit_counts, targets=[0, value])
bad("too few targets", ValueError, "must have the same length, not 2 and 1", BIGRAM.fit_counts, targets=[0])
for value in (-1, -5e-324, NAN, INF, HUGE, -HUGE):
    says = f"smoothing must be at least 0 and below inf, not {value}"
    bad(f"smoothing is {str(value)[:9]}", ValueError, says, BIGRAM.fit_counts, smoothing=value)
NO_SETTINGS = ("1", b"1", None, 1j, [0.5], {}, np.array([0.5, 0.5]), len)
for value in NO_SETTINGS:
    says = f"smoothing must be a real number, not {value!r}"
    bad(f"smoothing is {value!r}", TypeError, says, BIGRAM.fit_counts, smoothing=value)

GO_BACK = [WENT_BIGRAM.backward, WENT_MLP.backward]
for value in (ROWS, None):
    says = "call forward first"
    bad("backward before forward", RuntimeError, says, NEW_BIGRAM.backward, NEW_MLP.backward, grad_logits=value)
for kind, (value, dtype) in NO_NUMBERS.items():
    says = f"grad_logits must contain real numbers, not {dtype}"
    bad(f"grad_logits is {kind}", TypeError, says, *GO_BACK, grad_logits=value)
for value in ([], [1.0, 2.0, 3.0], ROWS[:1], ROWS[:, :2], ROWS.T, ROWS[None]):
    says = f"grad_logits must have the shape of the logits, (2, 3), not {np.shape(value)}"
    bad(f"grad_logits has shape {np.shape(value)}", ValueError, says, *GO_BACK, grad_logits=value)
bad("grad_logits is a single number", ValueError, "grad_logits must have at least one axis", *GO_BACK, grad_logits=1.0)
bad("grad_logits is ragged", ValueError, "grad_logits must be one array", *GO_BACK, grad_logits=[[1.0], []])

SETTINGS_OF_STEPS = [
    *((SGD, "momentum", 1), (AdamW, "beta1", 1), (AdamW, "beta2", 1), (AdamW, "epsilon", INF)),
    *((AdamW, "weight_decay", INF), *((step, "learning_rate", INF) for step in STEPS)),
]
for function, argument, high in SETTINGS_OF_STEPS:
    for value in (-0.1, -5e-324, NAN, INF, HUGE, -HUGE, *((1, True, 2**63) if high == 1 else ())):
        says = f"{argument} must be at least 0 and below {high}, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    for value in NO_SETTINGS:
        says = f"{argument} must be a real number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
for argument, functions in (("params", [SGD, AdamW]), ("grads", STEPS)):
    for value in (None, "w", [np.ones(2)], np.ones(2), 1.0):
        says = f"{argument} must be a dict of arrays, not {type(value).__name__}"
        bad(f"{argument} is {value!r}", TypeError, says, *functions, **{argument: value})
    for value in (None, "x", 1.0, [1.0, 2.0], np.float64(1.0)):
        says = f"{argument}['w'] must be an array of floats, not {type(value).__name__}"
        bad(f"{argument} contains {value!r}", TypeError, says, *functions, **{argument: {"w": value}})
    for dtype in ("int64", "bool", "complex128", "object", "<U1"):
        says = f"{argument}['w'] must be an array of floats, not {dtype}"
        bad(f"{argument} of {dtype}", TypeError, says, *functions, **{argument: {"w": np.ones(2).astype(dtype)}})
bad("a gradient is missing", ValueError, "grads has no gradient for 'b'", *STEPS, grads={"w": GRADS["w"]})
bad("no gradient", ValueError, "grads has no gradient for 'w'", *STEPS, grads={})
for value in (np.ones(()), np.ones(0), np.ones(1), np.ones((1, 2)), np.ones(3)):
    says = f"grads['w'] must have shape (2,), not {value.shape}"
    bad(f"a gradient of shape {value.shape}", ValueError, says, *STEPS, grads={**GRADS, "w": value})

COUNTS = [
    *((train_bigram, "steps", 0), (train_bigram, "warmup", 0), (train_bigram, "batch_size", 1)),
    *((train_bigram, "record_every", 1), (train_bigram, "keep_every", 1), (mean_nll, "rows", 1)),
    *((learning_rate_at, "step", 0), (learning_rate_at, "steps", 1), (learning_rate_at, "warmup", 0)),
]
for function, argument, least in COUNTS:
    for value in (least - 1, -HUGE):
        says = f"{argument} must be at least {least}, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    below = 8 if argument == "step" else 2**63
    for value in (below, HUGE):
        says = f"{argument} must be below {'2**63' if below > 8 else below}, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    for value in (1.5, 1.0, -0.0, NAN, INF, "1", 1j, [1], {}, np.array([1, 2])):
        says = f"{argument} must be a whole number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
    if argument not in ("batch_size", "keep_every"):  # where None has a meaning
        bad(f"{argument} is None", TypeError, f"{argument} must be ... not None", function, **{argument: None})
for function, argument in ((train_bigram, "learning_rate"), (learning_rate_at, "peak")):
    for value in (0, -0.0, -1, NAN, INF, HUGE, -HUGE):
        says = f"{argument} must be a finite number above 0, not {value}"
        bad(f"{argument} is {str(value)[:9]}", ValueError, says, function, **{argument: value})
    for value in NO_SETTINGS:
        says = f"{argument} must be a real number, not {value!r}"
        bad(f"{argument} is {value!r}", TypeError, says, function, **{argument: value})
for value, error in ((-1, ValueError), ("x", TypeError), (1.5, TypeError)):
    bad(f"seed is {value}", error, f"seed must be ... not {value!r}", train_bigram, seed=value)
OF_DATA = [(train_bigram, "training"), (train_bigram, "judged_by"), (mean_nll, "data")]
for function, argument in OF_DATA:
    for value in (None, CONTEXTS, (CONTEXTS, IDS), [CONTEXTS, IDS]):
        says = f"{argument} must be Data(contexts, targets), not {type(value).__name__}"
        bad(f"{argument} is a {type(value).__name__}", TypeError, says, function, **{argument: value})
    for value, kinds in ((Data(CONTEXTS, [0, 2]), "ndarray and list"), (Data(None, IDS), "NoneType and ndarray")):
        says = f"{argument} must be Data of an array of contexts and an array of targets, not {kinds}"
        bad(f"{argument}: {kinds}", TypeError, says, function, **{argument: value})
    for contexts in (CONTEXTS, Contexts(IDS, 1)):
        for targets in (IDS[:1], IDS[:0], np.array([0, 1, 2]), CONTEXTS, np.array(0)):
            says = f"{argument} has 2 contexts, but targets of shape {targets.shape}"
            name = f"{argument} of {type(contexts).__name__}, and targets of shape {targets.shape}"
            bad(name, ValueError, says, function, **{argument: Data(contexts, targets)})
NOTHING = Data(CONTEXTS[:0], IDS[:0])
bad("no training data", ValueError, "no target to learn from", train_bigram, training=NOTHING)
bad("no held-out data", ValueError, "no target to measure", train_bigram, judged_by=NOTHING)
bad("no data", ValueError, "no target to measure", mean_nll, data=NOTHING)
bad("an unknown target", ValueError, "targets[1] is 9", mean_nll, data=Data(CONTEXTS, np.array([0, 9])))
bad("an unknown token", ValueError, "contexts[0, 0] is 8", mean_nll, data=Data(CONTEXTS + 8, IDS))
bad("an unknown token", ValueError, "contexts[0, 0] is 8", loss_and_grads, batch=Data(CONTEXTS + 8, IDS))
bad("targets of other contexts", ValueError, "targets must have", loss_and_grads, batch=Data(CONTEXTS, IDS[:1]))

# --- the tests -------------------------------------------------------------------------------------------------------


def arrays_in(value):
    """Return every array in an argument, however deeply nested."""
    if isinstance(value, np.ndarray):
        return [value]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return [array for part in parts for array in arrays_in(part)]


BY_FUNCTION = {function: [row for row in TABLE if row.call.func == function] for function in GOOD}


@pytest.mark.parametrize("rows", BY_FUNCTION.values(), ids=[function.__qualname__ for function in BY_FUNCTION])
def test_bad_input_is_answered_with_one_line_that_names_it_and_changes_nothing(rows, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [f"{row.name}: {wrong}" for row in rows for wrong in wrong_with(row)] == []
    assert list(tmp_path.iterdir()) == []


def wrong_with(row):
    """Yield whatever is wrong with the response to a row of the table."""
    before = [(array, array.tobytes()) for array in arrays_in(row.call.keywords)]
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            row.call()
        except Exception as error:
            message = str(error)
            if type(error) is not row.error:
                yield f"it raises {error!r}, not {row.error.__name__}"
        else:
            yield f"it raises no {row.error.__name__}"
            return
    if not re.search(".*".join(re.escape(words) for words in row.says.split(" ... ")), message):
        yield f"it says {message!r}, not {row.says!r}"
    if not message.isprintable():
        yield f"{message!r} is not one line"
    yield from (f"it warns: {warning.message}" for warning in warned)
    if not all(array.tobytes() == bytes_before for array, bytes_before in before):
        yield "it changes what it was given"


@pytest.mark.parametrize(("function", "arguments"), GOOD.items(), ids=lambda part: getattr(part, "__qualname__", ""))
def test_without_its_mistake_every_call_of_the_table_succeeds(function, arguments):
    if arguments:  # without arguments no call is right
        function(**arguments)


@pytest.mark.parametrize("kind", [SGD, AdamW])
def test_a_step_that_raises_an_error_changes_nothing(kind):
    optimizer = kind({name: param.copy() for name, param in PARAMS.items()})
    optimizer.step(GRADS, 0.1)
    arrays = arrays_in([optimizer.params, optimizer.moments])
    before = [array.tobytes() for array in arrays]
    for grads, rate in (({"w": GRADS["w"]}, 0.1), ({**GRADS, "b": np.ones(2)}, 0.1), (GRADS, NAN)):
        with pytest.raises(ValueError, match=r"grad|learning_rate"):
            optimizer.step(grads, rate)
    assert optimizer.steps == 1
    assert [array.tobytes() for array in arrays] == before


def test_texts_may_come_from_a_generator():
    assert Vocabulary.from_texts(text for text in ("ab", "c")).characters == "abc"
    assert WordVocabulary(word for word in ("to", "be")).words == ("be", "to")
    assert split_texts((text for text in "abc"), 0.5) == split_texts(["a", "b", "c"], 0.5)
    for function in (contexts_and_targets, windows_and_targets):
        contexts, targets = function((text for text in ("ab", "c")), LETTERS, 1)
        assert (contexts[:].tolist(), targets.tolist()) == ([[0], [1], [2], [0], [3]], [1, 2, 0, 3, 0])


def test_the_table_is_long_and_no_public_function_is_left_out():
    assert len(TABLE) >= 110
    assert sum(map(len, BY_FUNCTION.values())) == len(TABLE)
    called = {row.call.func for row in TABLE}
    for module in (F, sampling, oracle, gradcheck):
        named = getattr(module, "__all__", [name for name in vars(module) if not name.startswith("_")])
        things = [getattr(module, name) for name in named]
        public = {f for f in things if inspect.isfunction(f) and f.__module__ == module.__name__}
        assert public
        assert public <= called
    # In the other modules classes and their methods count too, unless they only store their arguments.
    holders = {"LanguageModel", "Optimizer", "Data", "State", "Record", "Diverged"}
    named = {f"{f.__module__}.{f.__qualname__}" for f in called} | {"scratchlm.training.train"}  # as train_bigram
    for module in (data, models, optim, training):
        things = {name: thing for name, thing in vars(module).items() if not name.startswith("_")}
        for name, thing in things.items():
            if getattr(thing, "__module__", "") == module.__name__ and name not in holders:
                methods = [method for method in vars(thing) if not method.startswith("_")]
                parts = [name, *(f"{name}.{method}" for method in methods if callable(getattr(thing, method)))]
                takes_something = inspect.isclass(thing) or inspect.signature(thing).parameters
                assert not takes_something or {f"{module.__name__}.{part}" for part in parts} <= named
