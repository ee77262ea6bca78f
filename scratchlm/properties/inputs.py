"""What an implementation is given: families of arrays, from ordinary to masked and huge, as Hypothesis strategies."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from scratchlm import functional
from scratchlm.properties.battery import Case
from scratchlm.properties.compare import Array

FLOATS = [np.float64, np.float32]
SHIFTS = st.sampled_from([0.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1000.0, -1000.0])


def _few_digits(bound: int) -> st.SearchStrategy[float]:
    """Draw a whole number, or one with eighths: float32 holds them all, and they are easy to read."""
    return st.integers(-bound, bound) | st.integers(-8 * bound, 8 * bound).map(lambda n: n / 8)


# More classes, and more axes, than small arrays have: every property is tried on each of these shapes, once.
LARGE = [(9,), (40,), (2, 1, 3), (3, 12), (2, 2, 9)]
_shape: ContextVar[tuple[int, ...] | None] = ContextVar("_shape", default=None)


@contextmanager
def in_shape(shape: tuple[int, ...]) -> Iterator[None]:
    """Let `rows` draw arrays of this shape meanwhile, where a property can take so many axes."""
    token = _shape.set(shape)
    try:
        yield
    finally:
        _shape.reset(token)


@st.composite
def rows(
    draw: st.DrawFn,
    bound: int = 30,
    dims: tuple[int, int] = (1, 2),
    whole: bool = False,
) -> Array:
    """Draw a small array of a few axes, with at least two classes, and entries up to the bound.

    `whole` numbers are for sums that must come out exactly. A large array (see `in_shape`) has whole numbers in a
    pattern, so that there is little to draw.
    """
    dtype, shape = draw(st.sampled_from(FLOATS)), _shape.get()
    if shape and dims[0] <= len(shape) and (len(shape) == 1 or dims[1] > 1):
        step = draw(st.integers(1, 40))
        return np.asarray(np.arange(math.prod(shape)) * step % (2 * bound + 1) - bound, dtype).reshape(shape)
    lead = draw(st.lists(st.integers(1, 4), min_size=dims[0] - 1, max_size=dims[1] - 1))
    shape = (*lead, draw(st.integers(2, 5)))
    entries = st.integers(-bound, bound) if whole else _few_digits(bound)
    numbers = draw(st.lists(entries, min_size=math.prod(shape), max_size=math.prod(shape)))
    return np.array(numbers, dtype).reshape(shape)


@st.composite
def batches_at_levels(draw: st.DrawFn) -> Array:
    """Draw a batch whose first row lies at one level, and the others at another."""
    z = draw(rows(bound=20, dims=(2, 2)))
    z[1:] += z.dtype.type(draw(SHIFTS))  # whose sum with an eighth is exact
    return z


@st.composite
def masked_rows(draw: st.DrawFn) -> Array:
    """Draw rows in which some tokens are masked, but never all of a row."""
    z = draw(rows(bound=20))
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


def log_probs(rows: st.SearchStrategy[Array]) -> st.SearchStrategy[Array]:
    """Draw log-probabilities of few digits: rounded down to eighths, so that their exps sum to 1 at most."""
    return rows.map(lambda z: np.floor(8 * functional.log_softmax(z)) / z.dtype.type(8))


@st.composite
def probs(draw: st.DrawFn) -> Array:
    """Draw probabilities of few digits, none of them 0: each class takes some quarters of what is left."""
    z = draw(rows(bound=5))
    share = (z % 2 + 2) / 4 if z.shape[-1] > 5 else np.array([1, 2, 3], z.dtype)[z.astype(int) % 3] / 4
    share[..., -1] = 1
    before = np.cumprod(1 - share, axis=-1)
    before = np.concatenate([np.ones_like(z[..., :1]), before[..., :-1]], axis=-1)
    return np.asarray(share * before, z.dtype)


@st.composite
def and_grad(draw: st.DrawFn, name: str, outputs: st.SearchStrategy[Array]) -> Case:
    """Draw an output of softmax or log_softmax, and a gradient from above for it."""
    output = draw(outputs)
    g = draw(hnp.arrays(output.dtype, output.shape, elements=st.integers(-3, 3)))
    return {"grad_output": g, name: output}


PROBS = and_grad("probs", probs())
LOG_PROBS = and_grad("log_probs", probs().map(np.log))
TEMPERATURES = st.integers(1, 64).map(lambda n: n / 8)


@st.composite
def grad_and_logits(draw: st.DrawFn, bound: int = 5) -> Case:
    """Draw logits, and a gradient from above for each row's logsumexp."""
    z = draw(rows(bound=bound))
    return {"grad_output": draw(hnp.arrays(z.dtype, z.shape[:-1], elements=st.integers(-3, 3))), "logits": z}
