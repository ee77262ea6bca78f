"""What is owed by every function, whatever it computes: shape, dtype, layout, an untouched input, and no warnings."""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional, sampling
from scratchlm.properties.battery import Case, Implementation, property_of
from scratchlm.properties.compare import Array, demand, near, numbers
from scratchlm.properties.inputs import (
    LOG_PROBS,
    PROBS,
    TEMPERATURES,
    also,
    grad_and,
    grad_and_logits,
    masked_rows,
    only,
    rows,
    with_targets,
)

LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "Fortran order": lambda a: np.asfortranarray(a),
    "a reversed view": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every second entry of a larger array": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "read-only memory": lambda a: np.broadcast_to(a.copy(), a.shape),
}


@dataclass(frozen=True)
class _Kind:
    """A kind of function: ours, which settles shapes and dtypes, and ordinary and extreme arguments for it."""

    ours: Callable[..., Any]
    cases: st.SearchStrategy[Case]
    extreme: st.SearchStrategy[Case]

    @property
    def options(self) -> dict[str, Any]:
        """Return what is passed by keyword: libraries have other defaults than we."""
        defaults = {"axis": -1, "reduction": "mean"}
        return {name: defaults[name] for name in inspect.signature(self.ours).parameters if name in defaults}


_wide = rows(bound=2000) | masked_rows()
KINDS = {
    "logsumexp": _Kind(functional.logsumexp, only(rows()), only(_wide)),
    "softmax": _Kind(functional.softmax, only(rows()), only(_wide)),
    "log_softmax": _Kind(functional.log_softmax, only(rows()), only(_wide)),
    "nll_loss": _Kind(functional.nll_loss, with_targets(rows(), "log_probs"), with_targets(_wide, "log_probs")),
    "cross_entropy": _Kind(functional.cross_entropy, with_targets(rows()), with_targets(rows(bound=2000))),
    "logsumexp_backward": _Kind(functional.logsumexp_backward, grad_and_logits(), grad_and_logits(bound=2000)),
    "softmax_backward": _Kind(functional.softmax_backward, PROBS, grad_and("probs", functional.softmax, 2000)),
    "log_softmax_backward": _Kind(
        functional.log_softmax_backward, LOG_PROBS, grad_and("log_probs", functional.log_softmax, 2000)
    ),
    "nll_loss_backward": _Kind(
        functional.nll_loss_backward, with_targets(rows(), "log_probs"), with_targets(_wide, "log_probs")
    ),
    "cross_entropy_backward": _Kind(
        functional.cross_entropy_backward, with_targets(rows()), with_targets(rows(bound=2000))
    ),
    "apply_temperature": _Kind(
        sampling.apply_temperature,
        also(only(rows(), "scores"), temperature=TEMPERATURES),
        also(only(_wide, "scores"), temperature=TEMPERATURES),
    ),
    "top_k": _Kind(
        sampling.top_k,
        also(only(rows(), "scores"), k=st.integers(1, 6)),
        also(only(_wide, "scores"), k=st.integers(1, 6)),
    ),
    "top_p": _Kind(
        sampling.top_p,
        also(only(rows(), "scores"), p=st.floats(0.125, 1)),
        also(only(_wide, "scores"), p=st.floats(0.125, 1)),
    ),
    "min_p": _Kind(
        sampling.min_p,
        also(only(rows(), "scores"), p=st.floats(0.125, 1)),
        also(only(_wide, "scores"), p=st.floats(0.125, 1)),
    ),
}


def _of_any(kind: str, entry: _Kind) -> None:
    """Enter what is owed by every function, whatever it computes."""
    ours, options = entry.ours, entry.options

    @property_of(
        kind,
        "shape and dtype",
        "float32 in, float32 out; the shape follows the axis",
        why="A float64 that slips in doubles the memory of all that follows, and a wrong shape broadcasts silently.",
        hint="Reduce along the class axis with keepdims=True, and let no float64 array (np.zeros(n)) into the sum.",
        cases=entry.cases,
    )
    def keeps_shape_and_dtype(f: Implementation, **case: Any) -> None:
        right, result = np.asarray(ours(*case.values())), numbers(f(*case.values(), **options))
        demand(result.shape == right.shape, "the shape", str(right.shape), str(result.shape))
        demand(result.dtype == right.dtype, "the dtype", str(right.dtype), str(result.dtype))

    @property_of(
        kind,
        "input untouched",
        "f(z) leaves z as it was",
        why="The caller still needs z, for the backward pass or for the next temperature.",
        hint="Look for -=, /=, out=, sort() or an assignment to z[...] on the argument itself; work on a copy.",
        cases=entry.cases,
    )
    def leaves_its_input_untouched(f: Implementation, **case: Any) -> None:
        before = {name: np.array(value) for name, value in case.items()}
        result = f(*case.values(), **options)
        for name, value in case.items():
            demand(np.array_equal(before[name], value), f"{name} was changed", before[name], value)
            if isinstance(value, np.ndarray) and isinstance(result, np.ndarray):
                shared = np.shares_memory(value, result)
                demand(not shared, f"the result shares memory with {name}", "memory of its own", "a view")

    @property_of(
        kind,
        "any memory layout",
        "f(z) depends on the numbers in z, not on how they lie in memory",
        why="A transposed or sliced array is an ordinary argument.",
        hint="Avoid ravel(order='K'), .data, strides and in-place tricks; index by axis.",
        cases=entry.cases,
    )
    def takes_any_memory_layout(f: Implementation, **case: Any) -> None:
        plain = numbers(f(*case.values(), **options))
        for layout, laid in LAYOUTS.items():
            arguments = [laid(a) if isinstance(a, np.ndarray) and a.ndim else a for a in case.values()]
            near(f(*arguments, **options), plain, f"the result for {layout}", rtol=1e-5, atol=1e-5)

    @property_of(
        kind,
        "no warnings",
        "no overflow, no division by 0, no log of 0 on the way",
        why="A RuntimeWarning in a training log is either a bug or the reason why the next bug is overlooked.",
        hint="Subtract the maximum before exp. np.where computes both branches: mask the argument, not the result.",
        cases=entry.extreme,
    )
    def does_not_warn(f: Implementation, **case: Any) -> None:
        with warnings.catch_warnings(record=True) as caught, np.errstate(all="warn", under="ignore"):
            warnings.simplefilter("always")
            f(*case.values(), **options)
        demand(not caught, "it warns", "no warning", str(caught[0].message) if caught else "")


def _along_an_axis(kind: str, cases: st.SearchStrategy[Case]) -> None:
    """Enter what is owed by every function with an axis."""

    @property_of(
        kind,
        "one axis, slice by slice",
        "f(z, axis=0) = f(z.T, axis=-1).T",
        why="Classes do not always lie along the last axis; image models put them second.",
        hint="Pass axis on to every max and every sum, and keep its dimension (keepdims=True).",
        cases=cases,
    )
    def works_along_any_axis(f: Implementation, **case: Any) -> None:
        z = list(case.values())[-1]
        by_row = np.asarray(f(*case.values(), axis=-1))
        swapped = [np.swapaxes(a, 0, -1) if a.ndim == z.ndim else a for a in case.values()]
        by_column = numbers(f(*swapped, axis=0))
        back = np.swapaxes(by_column, 0, -1) if by_column.ndim == z.ndim else by_column
        near(back, by_row, "f along axis 0 of the transposed", rtol=1e-5, atol=1e-5)


for _name, _entry in KINDS.items():
    _of_any(_name, _entry)
for _name in ("logsumexp", "softmax", "log_softmax", "logsumexp_backward", "softmax_backward", "log_softmax_backward"):
    _along_an_axis(_name, KINDS[_name].cases)
