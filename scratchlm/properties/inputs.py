"""What an implementation is given: families of arrays, from ordinary to masked and huge, as Hypothesis strategies."""

from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchlm import functional
from scratchlm.properties.battery import Case
from scratchlm.properties.compare import Array

FLOATS = [np.float64, np.float32]
SHIFTS = st.sampled_from([0.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1000.0, -1000.0])


@st.composite
def rows(
    draw: st.DrawFn, bound: float = 30, dims: tuple[int, int] = (1, 2), whole: bool = False, min_side: int = 1
) -> Array:
    """Draw an array of one or two axes with entries up to the bound; whole numbers, if sums must come out exactly."""
    dtype = draw(st.sampled_from(FLOATS))
    shape = draw(hnp.array_shapes(min_dims=dims[0], max_dims=dims[1], min_side=min_side, max_side=5))
    width = 8 * np.dtype(dtype).itemsize
    entries = st.integers(-int(bound), int(bound)) if whole else st.floats(-bound, bound, width=width)  # type: ignore[arg-type]
    return draw(hnp.arrays(dtype, shape, elements=entries))


@st.composite
def batches_at_levels(draw: st.DrawFn) -> Array:
    """Draw a batch whose first row lies at one level, and the others at another."""
    z = draw(rows(bound=20, dims=(2, 2)))
    z[1:] += z.dtype.type(draw(SHIFTS))
    return z


@st.composite
def masked_rows(draw: st.DrawFn) -> Array:
    """Draw rows in which some tokens are masked, but never all of a row."""
    z = draw(rows(bound=20, min_side=2))
    mask = draw(hnp.arrays(bool, z.shape))
    stays = draw(st.integers(0, z.shape[-1] - 1))
    mask[..., stays] = False
    mask[..., (stays + 1) % z.shape[-1]] |= not mask.any()  # one at least, or it would say nothing about masks
    z[mask] = -np.inf
    return z


@st.composite
def huge_rows(draw: st.DrawFn) -> Array:
    """Draw [h, h, -h], [h] or [-h, -h] for a large h."""
    h, dtype = 2.0 ** draw(st.integers(3, 25)), draw(st.sampled_from(FLOATS))
    return np.array(draw(st.sampled_from([[h, h, -h], [h], [-h, -h]])), dtype)


def with_targets(rows: st.SearchStrategy[Array], name: str = "logits") -> st.SearchStrategy[Case]:
    """Draw rows and a target for each."""

    def targets(z: Array) -> st.SearchStrategy[Case]:
        ids = hnp.arrays(np.int64, z.shape[:-1], elements=st.integers(0, z.shape[-1] - 1))
        return ids.map(lambda y: {name: z, "targets": y})

    return rows.flatmap(targets)


def only(rows: st.SearchStrategy[Array], name: str = "logits") -> st.SearchStrategy[Case]:
    return rows.map(lambda z: {name: z})


def also(cases: st.SearchStrategy[Case], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    return st.tuples(cases, st.fixed_dictionaries(more)).map(lambda both: {**both[0], **both[1]})


@st.composite
def grad_and(draw: st.DrawFn, name: str, function: Callable[[Array], Array], bound: float = 5) -> Case:
    """Draw a gradient from above, and the output of a function of logits that it belongs to."""
    z = draw(rows(bound=bound))
    g = draw(hnp.arrays(z.dtype, z.shape, elements=st.integers(-3, 3)))
    return {"grad_output": g, name: function(z)}


PROBS = grad_and("probs", functional.softmax)
LOG_PROBS = grad_and("log_probs", functional.log_softmax)
TEMPERATURES = st.floats(0.125, 8, width=32)


@st.composite
def grad_and_logits(draw: st.DrawFn, bound: float = 5) -> Case:
    """Draw logits, and a gradient from above for each row's logsumexp."""
    z = draw(rows(bound=bound))
    return {"grad_output": draw(hnp.arrays(z.dtype, z.shape[:-1], elements=st.integers(-3, 3))), "logits": z}
