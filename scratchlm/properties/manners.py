"""The second tier, manners: what every function owes its caller, whatever it computes.

It takes any shape, axis and memory layout, keeps the dtype, leaves its arguments as they were, and does not warn. A
function may be right without any manners: then it is a correct implementation that takes less than it could.
"""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm.properties.battery import Case, property_of
from scratchlm.properties.compare import Array, demand, near, numbers
from scratchlm.properties.inputs import (
    LOG_PROBS,
    PROBS,
    TEMPERATURES,
    also,
    grad_and_logits,
    log_probs,
    masked_rows,
    only,
    rows,
    with_targets,
)
from scratchlm.properties.kinds import KINDS
from scratchlm.properties.way import NAMES, REDUCTIONS, Way, copies

manners = functools.partial(property_of, tier="manners")

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": lambda a: np.asfortranarray(a),
    "a reversed view": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every second entry of a larger array": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only memory": lambda a: np.broadcast_to(a.copy(), a.shape),
}


_wide = rows(bound=2000) | masked_rows()
_losses, _wide_losses = with_targets(rows()), with_targets(rows(bound=2000))
_nll = with_targets(log_probs(rows()), "log_probs"), with_targets(log_probs(_wide), "log_probs")


def _scores_and(values: st.SearchStrategy[Any], name: str) -> tuple[st.SearchStrategy[Case], st.SearchStrategy[Case]]:
    return also(only(rows(), "scores"), **{name: values}), also(only(_wide, "scores"), **{name: values})


# Ordinary arguments, and extreme ones, which must not cause warnings.
CASES: dict[str, tuple[st.SearchStrategy[Case], st.SearchStrategy[Case]]] = {
    "logsumexp": (only(rows()), only(_wide)),
    "softmax": (only(rows()), only(_wide)),
    "log_softmax": (only(rows()), only(_wide)),
    "nll_loss": _nll,
    "cross_entropy": (_losses, _wide_losses),
    "logsumexp_backward": (grad_and_logits(), grad_and_logits(bound=2000)),
    "softmax_backward": (PROBS, PROBS),
    "log_softmax_backward": (LOG_PROBS, LOG_PROBS),
    "nll_loss_backward": _nll,
    "cross_entropy_backward": (_losses, _wide_losses),
    "apply_temperature": _scores_and(TEMPERATURES, "temperature"),
    "top_k": _scores_and(st.integers(1, 2), "k"),
    "top_p": _scores_and(st.integers(1, 8).map(lambda n: n / 8), "p"),
    "min_p": _scores_and(st.integers(1, 8).map(lambda n: n / 8), "p"),
}


def _of_any(kind: str) -> None:
    """Enter what every function owes its caller, whatever it computes."""
    ours, options = KINDS[kind].ours, KINDS[kind].options
    ordinary, extreme = CASES[kind]

    @manners(
        kind,
        "any number of axes",
        "f of an array is f of its rows, however many axes come before the classes",
        why="One token has a vector of scores, a text has a matrix, and a batch of texts has one more axis.",
        hint="Write axis=-1 instead of axis=1, [..., None] instead of [:, None], and do not unpack the shape.",
        cases=st.just({}),
    )
    def takes_any_number_of_axes(f: Way) -> None:
        taken = _listed(f.depths)
        demand(f.depths == tuple(NAMES), f"it takes {taken} only", _listed(tuple(NAMES)), taken)

    @manners(
        kind,
        "both precisions",
        "float64 is computed in float64, float32 in float32",
        why="A caller who passes float64 wants its 16 digits, and a check by central differences needs them.",
        hint="Do not fix the dtype: z.astype(np.float32) loses digits. JAX keeps float64 if jax_enable_x64 is set.",
        cases=st.just({}),
    )
    def computes_in_both_precisions(f: Way) -> None:
        kept = " and ".join(np.dtype(dtype).name for dtype in f.kept)
        demand(len(f.kept) == 2, f"it computes in {kept} only", "float64 and float32", kept)

    @manners(
        kind,
        "shape and dtype",
        "float32 in, float32 out; the shape follows the axis",
        why="A stray float64 doubles the memory of everything after it, and a wrong shape broadcasts silently.",
        hint="Reduce along the class axis with keepdims=True, and keep float64 arrays (np.zeros(n)) out of the sum.",
        cases=ordinary,
    )
    def keeps_shape_and_dtype(f: Way, **case: Any) -> None:
        right, result = np.asarray(ours(*case.values())), numbers(f(*case.values(), **options))
        demand(result.shape == right.shape, "the shape", str(right.shape), str(result.shape))
        demand(result.dtype == right.dtype, "the dtype", str(right.dtype), str(result.dtype))

    @manners(
        kind,
        "input untouched",
        "f(z) leaves z as it was",
        why="The caller still needs z, for the backward pass or for the next temperature.",
        hint="Look for -=, /=, out=, sort() or an assignment to z[...] on the argument itself; work on a copy.",
        cases=ordinary,
    )
    def leaves_its_input_untouched(f: Way, **case: Any) -> None:
        before = {name: np.array(value) for name, value in case.items()}
        result = f.answer(*case.values(), **options)
        for name, value in case.items():
            demand(np.array_equal(before[name], value), f"{name} was changed", before[name], value)
            if isinstance(value, np.ndarray) and isinstance(result, np.ndarray):
                shared = np.shares_memory(value, result)
                demand(not shared, f"the result shares memory with {name}", "its own memory", "a view")

    @manners(
        kind,
        "any memory layout",
        "f(z) depends on the numbers in z, not on how they lie in memory",
        why="A transposed or sliced array is an ordinary argument.",
        hint="Avoid ravel(order='K'), .data, strides and in-place tricks; index by axis.",
        cases=ordinary,
    )
    def takes_any_memory_layout(f: Way, **case: Any) -> None:
        plain = numbers(f(*case.values(), **options))
        for layout, laid in LAYOUTS.items():
            arguments = [laid(a) if isinstance(a, np.ndarray) and a.ndim else a for a in case.values()]
            near(f.answer(*arguments, **options), plain, f"the result for {layout}", rtol=1e-5, atol=1e-5)

    @manners(
        kind,
        "no warnings",
        "no overflow, no division by 0, no log of 0 on the way",
        why="A RuntimeWarning in a training log is either a bug or the reason the next bug is overlooked.",
        hint="Subtract the maximum before exp. np.where computes both branches: mask the argument, not the result.",
        cases=extreme,
    )
    def does_not_warn(f: Way, **case: Any) -> None:
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("always")
            f.answer(*case.values(), **options)
        told = [str(w.message) for w in caught if issubclass(w.category, RuntimeWarning)]  # others only advise
        demand(not told, "it warns", "no warning", "".join(told[:1]))


def _along_an_axis(kind: str, cases: st.SearchStrategy[Case]) -> None:
    """Enter what every function with an axis owes its caller."""

    @manners(
        kind,
        "one axis, slice by slice",
        "f(z, axis=0) = f(z.T, axis=-1).T",
        why="Classes do not always lie along the last axis; image models put them second.",
        hint="Pass axis on to every max and every sum, and keep its dimension (keepdims=True).",
        cases=cases,
    )
    def works_along_any_axis(f: Way, **case: Any) -> None:
        demand(f.word, "it takes no axis", "f(z, axis=...)", "no such parameter")
        z = list(case.values())[-1]
        if not f.takes(z.ndim):
            return  # another property reports this
        by_row = np.asarray(f(*case.values(), axis=-1))
        turned = [np.moveaxis(a, -1, 0) if a.ndim == z.ndim else a for a in case.values()]
        by_column = numbers(f.plain(*turned, axis=0))
        back = np.moveaxis(by_column, 0, -1) if by_column.ndim == z.ndim else by_column
        near(back, by_row, "f along axis 0 of the transpose", rtol=1e-5, atol=1e-5)


def _of_a_reduction(kind: str) -> None:
    """Enter what every loss and its gradient owe their caller."""

    @manners(
        kind,
        "every reduction",
        'reduction="none" gives one loss for each row; "sum" and "mean" do what they say',
        why="The mean is for training, the sum for comparing texts, and the loss of each row for finding the bad ones.",
        hint="Compute the losses of all rows first, then return them, their .sum() or their .mean().",
        cases=st.just({}),
    )
    def takes_every_reduction(f: Way) -> None:
        only = {"none": "one loss for each row", "sum": "the sum", "mean": "the mean"}[f.reductions[0]]
        demand(f.word, f"it takes no reduction; it was judged as {only}", "f(..., reduction=...)", f"always {only}")
        demand(
            f.reductions == REDUCTIONS,
            "reductions with an answer of the right shape",
            str(REDUCTIONS),
            str(f.reductions),
        )
        if kind.endswith("_backward"):
            case = f.cast(KINDS[kind].arguments(np.array([[0.0, 1.0, 2.0], [2.0, 0.0, 1.0]])))
            total, each = (f.answer(*copies(case), reduction=told) for told in ("sum", "none"))
            near(each, numbers(total), 'the gradient for "none", compared with the sum', rtol=1e-5)


def _listed(depths: tuple[int, ...]) -> str:
    return " and ".join(NAMES[depth] for depth in depths)


for _name, (_ordinary, _) in CASES.items():
    _of_any(_name)
    if "axis" in KINDS[_name].options:
        _along_an_axis(_name, _ordinary)
    if "reduction" in KINDS[_name].options:
        _of_a_reduction(_name)
