"""The inputs to an implementation: families of arrays, from ordinary to masked and huge, as Hypothesis strategies."""

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from hypothesis import strategies as st

from scratchlm import functional
from scratchlm.properties.battery import Case
from scratchlm.properties.compare import Array

FLOATS = [np.float64, np.float32]
SHIFTS = st.sampled_from([0.0, 1.0, -1.0, 30.0, -30.0, 100.0, -100.0, 1000.0, -1000.0])


# Small shapes by number of axes, the simplest first.
SMALL: dict[int, list[tuple[int, ...]]] = {
    1: [(2,), (3,), (4,), (5,)],
    2: [(1, 2), (2, 2), (2, 3), (3, 3), (3, 2), (4, 3), (1, 5), (4, 5)],
}
# More classes than small arrays have: every property is tried on these once.
LARGE = {1: (9,), 2: (3, 12)}
_large: ContextVar[bool] = ContextVar("_large", default=False)


@contextmanager
def large_rows() -> Iterator[None]:
    """Make `rows` draw large arrays inside this context."""
    token = _large.set(True)
    try:
        yield
    finally:
        _large.reset(token)


@functools.cache
def _alphabet(bound: int, whole: bool) -> Array:
    """Return 256 numbers up to the bound, the simplest first: small whole ones, then others with few digits."""
    simple = sorted(range(-min(bound, 40), min(bound, 40) + 1), key=abs)
    spread = np.linspace(-bound, bound, 256 - len(simple))
    return np.concatenate([simple, np.round(spread) if whole else np.round(8 * spread) / 8])  # all exact in float32


def _codes(draw: st.DrawFn, shape: tuple[int, ...]) -> Array:
    """Draw an array of numbers from 0 to 255, one byte each: this is a single, quick draw."""
    size = math.prod(shape)
    return np.frombuffer(draw(st.binary(min_size=size, max_size=size)), np.uint8).astype(int).reshape(shape)


@st.composite
def rows(draw: st.DrawFn, bound: int = 30, dims: tuple[int, int] = (1, 2), whole: bool = False) -> Array:
    """Draw a small array of one or two axes, with at least two classes and entries up to the bound.

    `whole` numbers are for sums that must come out exactly. Large arrays (see `large_rows`) repeat a pattern of them.
    """
    dtype = draw(st.sampled_from(FLOATS))
    if _large.get():
        shape, step = LARGE[dims[1]], draw(st.integers(1, 40))
        return np.asarray(np.arange(math.prod(shape)) * step % (2 * bound + 1) - bound, dtype).reshape(shape)
    small = draw(st.sampled_from([shape for depth in range(dims[0], dims[1] + 1) for shape in SMALL[depth]]))
    return np.asarray(_alphabet(bound, whole)[_codes(draw, small)], dtype)


PAIR = np.array([[0.0, 1.0], [3.0, 2.0]])


def far_up_and_down(**more: Any) -> tuple[Case, ...]:
    """Return two cases that chance must not miss: two rows, to be shifted by 1000 and by -1000."""
    return tuple({"logits": PAIR, **more, "c": c} for c in (1000.0, -1000.0))


@st.composite
def batches_at_levels(draw: st.DrawFn) -> Array:
    """Draw a batch whose first row lies at one level, and the others at another."""
    z = draw(rows(bound=20, dims=(2, 2)))
    z[1:] += z.dtype.type(draw(SHIFTS))  # adding a shift to eighths is exact
    return z


@st.composite
def masked_rows(draw: st.DrawFn) -> Array:
    """Draw rows in which some tokens are masked, but never all of a row."""
    z = draw(rows(bound=20))
    mask = _codes(draw, z.shape) % 2 > 0
    stays = draw(st.integers(0, z.shape[-1] - 1))
    mask[..., stays] = False
    mask[..., (stays + 1) % z.shape[-1]] |= not mask.any()  # at least one, or it would say nothing about masks
    z[mask] = -np.inf
    return z


@st.composite
def huge_rows(draw: st.DrawFn) -> Array:
    """Draw [h, h, -h], [h] or [-h, -h] for a large h."""
    h, dtype = 2.0 ** draw(st.integers(3, 25)), draw(st.sampled_from(FLOATS))
    return np.array(draw(st.sampled_from([[h, h, -h], [h], [-h, -h]])), dtype)


@st.composite
def wide(draw: st.DrawFn) -> Case:
    """Draw [[0, h]] or [[h, 0]] for a whole number h >= 41."""
    h, dtype = draw(st.integers(41, 2**20)), draw(st.sampled_from(FLOATS))
    return {"logits": np.array([draw(st.sampled_from([[0, h], [h, 0]]))], dtype)}


@st.composite
def with_targets(draw: st.DrawFn, rows: st.SearchStrategy[Array], name: str = "logits") -> Case:
    """Draw rows and a target for each."""
    z = draw(rows)
    return {name: z, "targets": np.asarray(_codes(draw, z.shape[:-1]) % z.shape[-1])}


def _slopes(draw: st.DrawFn, shape: tuple[int, ...], dtype: Any) -> Array:
    """Draw an upstream gradient: whole numbers up to 3 in size."""
    return np.asarray(np.array([0, 1, -1, 2, -2, 3, -3], dtype)[_codes(draw, shape) % 7])


def only(rows: st.SearchStrategy[Array], name: str = "logits") -> st.SearchStrategy[Case]:
    return rows.map(lambda z: {name: z})


def also(cases: st.SearchStrategy[Case], **more: st.SearchStrategy[Any]) -> st.SearchStrategy[Case]:
    return st.tuples(cases, st.fixed_dictionaries(more)).map(lambda both: {**both[0], **both[1]})


def log_probs(rows: st.SearchStrategy[Array]) -> st.SearchStrategy[Array]:
    """Draw log-probabilities with few digits, rounded down to eighths so that their exps sum to at most 1."""
    return rows.map(lambda z: np.floor(8 * functional.log_softmax(z)) / z.dtype.type(8))


@st.composite
def probs(draw: st.DrawFn) -> Array:
    """Draw probabilities with few digits, none of them 0: each class takes some quarters of what is left."""
    z = draw(rows(bound=5))
    share = (z % 2 + 2) / 4 if z.shape[-1] > 5 else np.array([1, 2, 3], z.dtype)[z.astype(int) % 3] / 4
    share[..., -1] = 1
    before = np.cumprod(1 - share, axis=-1)
    before = np.concatenate([np.ones_like(z[..., :1]), before[..., :-1]], axis=-1)
    return np.asarray(share * before, z.dtype)


@st.composite
def and_grad(draw: st.DrawFn, name: str, outputs: st.SearchStrategy[Array]) -> Case:
    """Draw an output of softmax or log_softmax, and an upstream gradient for it."""
    output = draw(outputs)
    return {"grad_output": _slopes(draw, output.shape, output.dtype), name: output}


PROBS = and_grad("probs", probs())
LOG_PROBS = and_grad("log_probs", probs().map(np.log))
TEMPERATURES = st.integers(1, 64).map(lambda n: n / 8)


@st.composite
def grad_and_logits(draw: st.DrawFn, bound: int = 5) -> Case:
    """Draw logits, and an upstream gradient for each row's logsumexp."""
    z = draw(rows(bound=bound))
    return {"grad_output": _slopes(draw, z.shape[:-1], z.dtype), "logits": z}
