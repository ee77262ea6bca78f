"""log_softmax of a row in four ways, each right where the one above it breaks.

In: scores z of one row, (V,). Out: l = log(softmax(z)), (V,), in nats. On paper all four are the same. Read them from
the top down, and try the input that breaks each one:

    naive        l = log(exp(z) / sum exp(z))                  nan at [1000, 999]: exp overflows
    shifted      naive, applied to z - max z                   -inf at [1000, 0]: exp underflows, and log 0 is -inf
    on_paper     l = d - log(sum exp(d)), with d = z - max z   0 at [40, 0]: 1 + exp(-40) rounds to 1
    log1p_odds   l = d - log1p(odds)                           right

The class with the largest score is the favourite. The odds against it are the sum of exp(d) over all other classes,
divided by the favourite's own exp(0) = 1.

SciPy and PyTorch stop at the third. `functional.log_softmax` is the fourth, for arrays of any shape. It usually does
not shift before exp at all; `functional.exp_shifted` explains why.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

Row = NDArray[np.floating[Any]]  # for the type checker


def naive(z: ArrayLike) -> Row:
    """Return log(exp(z) / sum exp(z)), as textbooks print it.

    >>> naive([1.0, 0.0]).round(4)
    array([-0.3133, -1.3133])
    >>> with np.errstate(all="ignore"):
    ...     naive([1000.0, 999.0])  # exp(1000) is inf, and inf / inf is nan
    array([nan, nan])
    """
    e = np.exp(z)
    log_p: Row = np.log(e / e.sum())
    return log_p


def shifted(z: ArrayLike) -> Row:
    """Return naive(z - max z): a shift does not change softmax, and now no exp is larger than 1.

    >>> shifted([1000.0, 999.0]).round(4)
    array([-0.3133, -1.3133])
    >>> with np.errstate(all="ignore"):
    ...     shifted([1000.0, 0.0])  # exp(-1000) is 0, and an unlikely token becomes an impossible one
    array([  0., -inf])
    """
    return naive(z - np.max(z))


def on_paper(z: ArrayLike) -> Row:
    """Return d - log(sum exp(d)): on paper log(exp(d) / sum) is d - log(sum), and no tiny exp meets a logarithm.

    >>> on_paper([1000.0, 0.0])
    array([    0., -1000.])
    >>> on_paper([40.0, 0.0])  # the first should be -4e-18, but 1 + exp(-40) rounds to 1
    array([  0., -40.])
    """
    d = z - np.max(z)
    log_p: Row = d - np.log(np.exp(d).sum())
    return log_p


def log1p_odds(z: ArrayLike) -> Row:
    """Return d - log1p(odds against the favourite): the favourite's own exp, which is 1, is left out of the sum.

    The full sum is 1 + odds, and log1p(odds) is its logarithm, computed without ever adding the 1.

    >>> log1p_odds([40.0, 0.0])
    array([-4.24835426e-18, -4.00000000e+01])
    """
    d = z - np.max(z)
    odds = np.exp(np.delete(d, d.argmax())).sum()
    log_p: Row = d - np.log1p(odds)
    return log_p
