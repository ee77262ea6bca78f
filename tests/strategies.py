"""Inputs for the tests, in one place: rows of every kind, dtypes, memory layouts and extreme values."""

import hypothesis.strategies as st
import numpy as np
from hypothesis.extra import numpy as hnp

FLOATS = [np.float16, np.float32, np.float64]
WIDE_FLOATS = [np.float32, np.float64]  # those with an accuracy contract in ulps
KINDS = ["ordinary", "confident", "offset", "wide", "equal", "levels"]

# The same values in different memory layouts.
LAYOUTS = {
    "contiguous": lambda a: a.copy(),
    "fortran": lambda a: np.asfortranarray(a),
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
    "every second": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "transposed": lambda a: np.ascontiguousarray(a.T).T,
    "upside down": lambda a: a[::-1].copy()[::-1],
    "read-only": lambda a: _read_only(a.copy()),
    "big-endian": lambda a: a.astype(a.dtype.newbyteorder(">")),
}


def _read_only(array):
    array.flags.writeable = False
    return array


def make_row(kind, n, rng, dtype):
    """Return one row of n logits of a kind known to cause trouble."""
    noise = rng.normal(size=n)
    row = {
        "ordinary": 3 * noise,
        "confident": np.where(np.arange(n) == rng.integers(n), 20 + 3 * abs(noise), noise),
        "offset": 2 * noise + 1e4 * rng.normal(),
        "wide": 20 * noise,
        "equal": np.where(np.arange(n) == 0, 0, -abs(3 * rng.normal())) * np.ones(n),
        "levels": rng.choice(3 * rng.normal(size=3), n),
    }[kind]
    return row.astype(dtype)


@st.composite
def rows_of_a_kind(draw, dtypes=WIDE_FLOATS, max_classes=64):
    """Draw a row of one of the KINDS, of any length up to max_classes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n = draw(st.integers(1, max_classes))
    return make_row(draw(st.sampled_from(KINDS)), n, rng, draw(st.sampled_from(dtypes)))


def finite_floats(dtype, bound=None):
    """Return a strategy for finite numbers of a dtype, up to its largest or to a bound."""
    bound = float(np.finfo(dtype).max) if bound is None else bound
    return st.floats(-bound, bound, width=8 * np.dtype(dtype).itemsize)


@st.composite
def logits(draw, dtypes=FLOATS, bound=None, min_dims=1, max_dims=3, masked=False):
    """Draw an array of any shape and dtype with finite entries, or with some -inf but never a whole row of it."""
    dtype = draw(st.sampled_from(dtypes))
    shape = draw(hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, max_side=6))
    bound = min(bound, float(np.finfo(dtype).max)) if bound is not None else None
    array = draw(hnp.arrays(dtype, shape, elements=finite_floats(dtype, bound)))
    if masked:
        mask = draw(hnp.arrays(bool, shape))
        mask[..., draw(st.integers(0, shape[-1] - 1))] = False
        array[mask] = -np.inf
    return array
