"""The judge: the same functions to 60 digits, and the distance from them.

In: one row of numbers (or a nested list of rows). Out: `decimal.Decimal`, exact far beyond any float. Slow, short, and
written straight from the definitions, because at 60 digits, with exponents up to 10^18, nothing overflows and nothing
that matters is rounded away. Every accuracy claim in this package is a distance from these numbers, in ulps.

A float is a binary fraction, so Decimal(x) is exactly the number that the float functions receive.
"""

import functools
import math
from collections.abc import Iterable, Sequence
from decimal import Context, Decimal, InvalidOperation, localcontext
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from scratchlm._engine.checks import class_id, real

DIGITS = 60

# No traps: exp(-1e300) is 0 here, as it should be. Ten extra digits absorb the rounding errors on the way.
_CONTEXT = Context(prec=DIGITS + 10, Emax=999_999_999_999_999_999, Emin=-999_999_999_999_999_999, traps=[])


def logsumexp(logits: Any) -> Any:
    """Return log sum_j exp(z_j) of a row as a Decimal, in nats; for nested rows, a list of them.

    Errors: TypeError for anything but numbers; ValueError for an empty row, nan, +inf, or a row of -inf only.

    >>> f"{logsumexp([0.0, -40.0]):.30g}"
    '4.24835425529158898630497784363e-18'
    """
    if _is_nested(logits):
        return [logsumexp(row) for row in logits]
    with localcontext(_CONTEXT):
        m, _, log1p_odds = _parts(logits)
        return m + log1p_odds


def softmax(logits: Any) -> list[Any]:
    """Return exp(z_k) / sum_j exp(z_j) of a row as a list of Decimals; for nested rows, a list of lists.

    Errors: those of logsumexp.

    >>> [f"{p:.20f}" for p in softmax([0.0, 0.0])]
    ['0.50000000000000000000', '0.50000000000000000000']
    """
    if _is_nested(logits):
        return [softmax(row) for row in logits]
    with localcontext(_CONTEXT):
        return [log_prob.exp() for log_prob in log_softmax(logits)]


def log_softmax(logits: Any) -> list[Any]:
    """Return z_k - log sum_j exp(z_j) of a row as a list of Decimals, in nats; for nested rows, a list of lists.

    Errors: those of logsumexp.

    >>> [f"{l:.12g}" for l in log_softmax([20.0, 0.0])]
    ['-2.06115362031e-9', '-20.0000000021']
    """
    if _is_nested(logits):
        return [log_softmax(row) for row in logits]
    with localcontext(_CONTEXT):
        _, differences, log1p_odds = _parts(logits)
        return [d - log1p_odds for d in differences]


def cross_entropy(logits: Any, targets: Any) -> Any:
    """Return -log softmax(z)[y] of a row and its class id as a Decimal, in nats; for nested rows, a list of them.

    Errors: those of logsumexp; TypeError for a target that is not an integer; IndexError for one out of range.

    >>> f"{cross_entropy([1e8, 1e8], 0):.20f}"
    '0.69314718055994530942'
    """
    if _is_nested(logits):
        return [cross_entropy(row, y) for row, y in _pairs(logits, targets)]
    with localcontext(_CONTEXT):
        log_probs = log_softmax(logits)
        return -log_probs[class_id("targets", targets, len(log_probs))]


def cross_entropy_backward(logits: Any, targets: Any) -> list[Any]:
    """Return p - onehot(y) of a row and its class id as a list of Decimals; for nested rows, a list of lists.

    Formula: at the target, p - 1 = -odds / (1 + odds): minus the sum of the other probabilities.
    Errors: those of cross_entropy.

    >>> [f"{g:.12g}" for g in cross_entropy_backward([40.0, 0.0], 0)]
    ['-4.24835425529e-18', '4.24835425529e-18']
    """
    if _is_nested(logits):
        return [cross_entropy_backward(row, y) for row, y in _pairs(logits, targets)]
    with localcontext(_CONTEXT):
        grad = softmax(logits)
        y = class_id("targets", targets, len(grad))
        grad[y] = Decimal(0)
        grad[y] = -sum(grad, Decimal(0))
        return grad


def ulp_error(actual: ArrayLike, exact: Any) -> Any:
    """Return how far `actual` is from `exact`, in units in the last place of actual's dtype at the exact value.

    Formula: |actual - exact| / ulp(exact), with ulp(x) = 2^(floor(log2 |x|) - digits), never below the smallest
    subnormal. A correctly rounded result is at most 0.5 away. Equal infinities are 0 apart, and so are two nans; an
    infinity or nan on one side only is infinitely far off.
    Shapes: actual (...), exact a Decimal, or nested lists of the same shape -> float, or float64 array (...).

    >>> round(ulp_error(np.float32(0.1), Decimal("0.1")), 3)
    0.2
    """
    values = np.asarray(actual)
    if values.dtype not in (np.float16, np.float32, np.float64):
        raise TypeError(f"actual must be float16, 32 or 64, not {values.dtype}: an ulp depends on the dtype")
    exacts = np.array(exact, dtype=object)
    if values.shape != exacts.shape:
        raise ValueError(f"actual has shape {values.shape}, but exact has shape {exacts.shape}")
    pairs = zip(values.reshape(-1).tolist(), exacts.reshape(-1).tolist(), strict=True)
    errors: NDArray[np.float64] = np.array([_ulps(a, _exact(e), values.dtype) for a, e in pairs], dtype=np.float64)
    return errors.reshape(values.shape) if values.shape else float(errors[0])


# How far NumPy's exp may be off, in eps: float32, 2.1264e-7 (max relative error, in the comments of its
# loops_exponent_log.dispatch.c.src); float64, less than an ulp in every library that NumPy calls.
_EXP_EPS = {np.dtype(np.float32): 2.1264e-7 / 2.0**-23, np.dtype(np.float64): 1.0}


def promised_ulps(row: ArrayLike) -> float:
    """Return how far off softmax, log_softmax, cross_entropy and its gradient may be for this row, in ulps.

    Formula: 2 (2 E + A + 2) + spread / 2, where E is the error of NumPy's exp, A is the error of a sum, and the last 2
    covers the steps around them, all in eps; an eps is at most 2 ulps. E counts twice, since a probability is an exp
    divided by a sum of exps. A is 0 for float32, which is summed in float64. For float64 it is 4.5 for each factor of
    32 in the number of classes: a number is rounded 9 times on its way into a sum of 32. Rounding z - c costs at worst
    half the spread, max z - min z; a row within the reach of exp needs no c and pays none of it. Scores so low that all
    their exps together would be less than the smallest normal number do not count.
    Errors: TypeError for dtypes other than float32 and float64; ValueError for anything but one row of finite scores,
    or of finite scores and -inf.

    >>> promised_ulps(np.zeros(27, np.float32)), promised_ulps(np.zeros(27)), promised_ulps(np.zeros(1000))
    (11.135..., 17.0, 26.0)
    """
    z = np.asarray(row)
    if z.dtype not in _EXP_EPS:
        raise TypeError(f"row must be float32 or float64, not {z.dtype}")
    if z.ndim != 1 or not np.isfinite(z.max(initial=-np.inf)):
        raise ValueError(f"row must be one row of finite scores (some may be -inf), not {z.tolist()}")
    levels = math.ceil(math.log(max(z.size, 2), 32)) if z.dtype == np.float64 else 0
    d = z[np.isfinite(z)].astype(np.float64) - float(z.max())
    spread = -d[d > math.log(np.finfo(z.dtype).tiny) - math.log(z.size)].min()
    return float(2 * (2 * _EXP_EPS[z.dtype] + 4.5 * levels + 2) + spread / 2)


def _ulps(actual: float, exact: Decimal, dtype: "np.dtype[Any]") -> float:
    if math.isnan(actual) or exact.is_nan():
        return 0.0 if math.isnan(actual) and exact.is_nan() else math.inf
    if math.isinf(actual) or exact.is_infinite():
        return 0.0 if exact == Decimal(actual) else math.inf
    info = np.finfo(dtype)
    exponent = math.frexp(float(exact))[1] - 1 if float(exact) else int(info.minexp)
    with localcontext(_CONTEXT):
        if abs(exact) < Decimal(2) ** exponent:  # float(exact) was rounded up to a power of 2
            exponent -= 1
        ulp = Decimal(2) ** (max(exponent, int(info.minexp)) - info.nmant)
        return float(abs(Decimal(actual) - exact) / ulp)


def _is_nested(rows: Any) -> bool:
    if isinstance(rows, str | bytes) or not isinstance(rows, Sequence | np.ndarray) or getattr(rows, "shape", 1) == ():
        raise TypeError(f"logits must be a row of numbers, or nested rows, not {rows!r}")
    return len(rows) > 0 and isinstance(rows[0], Sequence | np.ndarray)


def _pairs(rows: Any, targets: Any) -> list[tuple[Any, Any]]:
    try:
        return list(zip(rows, targets, strict=True))
    except (TypeError, ValueError):
        raise ValueError(f"targets must be one class id for each of {len(rows)} rows, not {targets!r}") from None


def _exact(value: Any) -> Decimal:
    try:
        return Decimal(value)
    except (TypeError, ValueError, InvalidOperation):
        raise TypeError(f"exact must contain Decimals, not {value!r}") from None


def _parts(row: Iterable[Any]) -> tuple[Decimal, tuple[Decimal, ...], Decimal]:
    """Return max z, the differences d = z - max z, and log(1 + odds), with the odds against one favourite."""
    z = tuple(Decimal(real("each entry of logits", x)) for x in row)
    if not z or any(x.is_nan() or x == Decimal("inf") for x in z) or max(z) == Decimal("-inf"):
        raise ValueError(f"the oracle needs a row of finite numbers (some may be -inf), not {list(row)!r}")
    return _parts_of_scores(z)


@functools.lru_cache(maxsize=4)  # all five functions are often called on the same row
def _parts_of_scores(z: tuple[Decimal, ...]) -> tuple[Decimal, tuple[Decimal, ...], Decimal]:
    """Return the parts. The odds are the sum of exp(d) over all but the favourite.

    The differences are exact, so subtracting the maximum is not an approximation. It keeps a row at 1e308 within reach
    of exp.
    """
    m = max(z)
    with localcontext(_CONTEXT) as context:
        context.prec = 800  # enough for the exact sum or difference of any two floats
        differences = tuple(x - m for x in z)
    others = list(differences)
    others.remove(Decimal(0))
    return m, differences, _log1p(sum((d.exp() for d in others), Decimal(0)))


def _log1p(x: Decimal) -> Decimal:
    """Return log(1 + x) for x >= 0. The smaller x, the more digits 1 + x needs; below 10^-DIGITS, two terms will do."""
    if x.is_zero() or x.adjusted() < -DIGITS:
        return x - x * x / 2
    with localcontext(_CONTEXT) as context:
        context.prec = _CONTEXT.prec - min(x.adjusted(), 0)
        return (1 + x).ln()
