"""The heart: logsumexp, softmax, log_softmax, nll_loss and cross_entropy, each followed by its derivative.

The code you read is the code that runs. A formula takes rows of scores (n, V) and returns rows, or one number per row
as a column (n, 1). The decorator above it accepts arrays of any shape and dtype, adds `axis`, `keepdims` or
`reduction`, checks the arguments, and takes the mean or sum of the losses (`_engine/arrays.py`). `softmax.formula` is
softmax without its decorator. The formulas share a vocabulary of six words (`_engine/sums.py`):

    row_sum(e)     the sum of each row, as a column       pick(z, k)     the column z[i, k[i]]
    favourite(z)   the id of each row's largest score     put(e, k, v)   writes v into e[i, k[i]] and returns e
    extent(z)      the lowest and highest of all scores   double(x)      x in float64

row_sum adds float32 in float64, and returns the dtype of its rows.

Three ideas do all the work:

1. **Shift before exp.** exp overflows for large scores. Subtracting the same number from every score in a row does not
   change its softmax, so subtract first wherever exp might overflow: `exp_shifted`.
2. **Compute the odds against a class**: the probability of all the others, divided by its own.

       odds_k = sum over j != k of exp(z_j - z_k)        p_k = 1 / (1 + odds_k)        -log p_k = log1p(odds_k)

   Textbooks compute log(1 + odds). When a model is sure, the odds against its favourite may be a billionth. In float32,
   1 plus a billionth is 1, and the loss is gone; in float64, half its digits are gone. log1p(x) is log(1 + x) without
   the addition.
3. **Never compute p - 1.** A sure p rounds to 1, and the difference becomes 0. But p_k - 1 = -odds_k / (1 + odds_k):
   class k lacks exactly the probability that the other classes have.

Results have the dtype of the scores; integers and bools become float64. float16 is computed in float32 and rounded
once. A score of -inf masks a token: its probability is 0, its log-probability -inf, its gradient 0. If every score in a
row is -inf, its logsumexp is -inf; if any score is +inf, it is inf. Every other result for such a row is nan, and so is
every result for a row with a nan. Other rows are unaffected. Your arguments are never modified. Every function raises
TypeError for complex, object, string or longdouble arrays (the format of longdouble depends on the platform), and
ValueError for a single number or for rows without classes.

Logarithms are natural, so losses are in nats. An ulp is the distance from a float to the next one, and [j = k] is 1 if
j is k, else 0. For the accuracy of these forms, and the reasons for them, see Blanchard, Higham & Higham (2021),
"Accurately computing the log-sum-exp and softmax functions", IMA Journal of Numerical Analysis 41:2311.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchlm._engine.arrays import (
    backward,
    backward_of_one_number,
    loss,
    loss_and_gradient,
    loss_gradient,
    of_rows,
    one_number_a_row,
)
from scratchlm._engine.checks import FloatArray, IntArray, as_floats, class_ids
from scratchlm._engine.sums import double, extent, favourite, pick, put, row_sum

__all__ = [
    "cross_entropy",
    "cross_entropy_backward",
    "cross_entropy_with_grad",
    "linear_cross_entropy_with_grad",
    "log_softmax",
    "log_softmax_backward",
    "logsumexp",
    "logsumexp_backward",
    "nll_loss",
    "nll_loss_backward",
    "softmax",
    "softmax_backward",
]

# exp is safe from LOW to HIGH. Below LOW it loses digits; up to HIGH, e^24 of its results add up without overflow.
LOW = {dtype: float(np.log(np.finfo(dtype).tiny)) for dtype in (np.float32, np.float64)}
HIGH = {dtype: float(np.log(np.finfo(dtype).max)) - 24 for dtype in (np.float32, np.float64)}


# --- the shift and the odds ------------------------------------------------------------------------------------------


def exp_shifted(z: FloatArray) -> tuple[FloatArray, FloatArray | float]:
    """Return e = exp(z - c) and c, a whole number for each row: 0 where exp is safe without a shift.

    Textbooks take c = m, the largest score. But z - m is rounded, and an error of x in z - m becomes a relative error
    of x in its exp: half an ulp of a difference of 30 costs e 8 ulps or more. Subtracting a whole number is exact,
    unless |z - c| is so much larger than |z| that the last bits of z are lost. So c is 0 wherever that is safe.
    Otherwise c brings a large m down to about HIGH and no further, so that the scores below m do not underflow, or a
    negative m up to about 0.
    """
    low, high = LOW[z.dtype.type], HIGH[z.dtype.type]
    lowest, highest = extent(z)
    if low <= lowest and highest <= high:  # nearly always: no row needs a shift
        return np.exp(z), 0.0
    m, least = z.max(axis=-1, keepdims=True), z.min(axis=-1, keepdims=True)  # of each row
    c = np.floor(m - np.clip(m, 0, high))
    c = np.where(m < 1 / np.finfo(z.dtype).eps, c, m)  # from 1 / eps upwards, m is whole, and m - high would be rounded
    c = np.where((low <= least) & (m <= high), 0, c)
    return np.exp(z - c), c


def set_apart(z: FloatArray, k: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the parts of the odds against class k: e, others, log_own.

    They are e = exp(z - c) with a 0 for class k; the row sum of e, which leaves class k out; and z_k - c in float64,
    the logarithm of class k's own exp.
    """
    e, c = exp_shifted(z)
    log_own = double(pick(z, k)) - c
    put(e, k, 0)
    return e, row_sum(e), log_own


def minus_log_p(others: FloatArray, log_own: FloatArray) -> FloatArray:
    """Return -log p_k = log1p(odds_k) in float64, from the last two results of set_apart."""
    odds = others * np.exp(-log_own)
    if odds.max() < np.inf:
        return np.log1p(odds)
    return np.where(odds < np.inf, np.log1p(odds), np.log(others) - log_own)  # where odds overflow: log(odds)


# --- logsumexp -------------------------------------------------------------------------------------------------------


@one_number_a_row
def logsumexp(logits: FloatArray) -> FloatArray:
    """Return the logarithm of the sum of exponentials, a maximum with rounded corners.

    Formula: Z = log sum_j exp(z_j) = z_k - log p_k for any k; so Z = m + log1p(odds), with m = max z, the score of the
    favourite, and the odds against the favourite.
    Shapes: logits (..., V) -> (...), or (..., 1) with keepdims; `axis` may be an int, a tuple of ints, or None for all.
    Always max z <= Z <= max z + log V.

    >>> logsumexp(np.float32([1000, 1000]))  # exp(1000) would overflow
    np.float32(1000.6932)
    >>> logsumexp(np.float32([0, -40]))  # not 0: exp(-40) is still there
    np.float32(4.248354e-18)
    """
    top = favourite(logits)
    m = pick(logits, top)
    _, others, log_own = set_apart(logits, top)
    return np.where(np.isinf(m), m, m + minus_log_p(others, log_own))  # all masked: -inf; an infinite score: inf


@backward_of_one_number
def logsumexp_backward(grad_output: FloatArray, logits: FloatArray) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to Z = logsumexp.

    Formula: dZ/dz_k = exp(z_k) / sum_j exp(z_j) = p_k, so grad_k = grad_output p_k: the slope of logsumexp is softmax.
    Shapes: grad_output (...) or (..., 1), as logsumexp returned it; logits (..., V) -> (..., V), in the logits' dtype.

    >>> logsumexp_backward(1.0, [0.0, 0.0])
    array([0.5, 0.5])
    """
    p: FloatArray = softmax.formula(logits)
    return grad_output * p


# --- softmax ---------------------------------------------------------------------------------------------------------


@of_rows
def softmax(logits: FloatArray) -> FloatArray:
    """Return the probabilities proportional to exp(logits).

    Formula: p_k = exp(z_k) / sum_j exp(z_j) = exp(z_k - c) / sum_j exp(z_j - c), for any c. exp_shifted explains which
    c, and why not max z.
    Shapes: logits (..., V) -> (..., V), where each row sums to 1; `axis` may be an int, a tuple of ints, or None.

    >>> softmax([1000.0, 1000.0, -np.inf])  # exp(1000) would overflow; the third token is masked
    array([0.5, 0.5, 0. ])
    """
    e, _ = exp_shifted(logits)
    return e / row_sum(e)


@backward
def softmax_backward(grad_output: FloatArray, probs: FloatArray) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to softmax(logits).

    Formula: dp_j/dz_k = p_j ([j = k] - p_k), so grad_k = p_k (g_k - sum_j p_j g_j), with g = grad_output.
    Shapes: grad_output, probs (..., V) -> (..., V), in the dtype of probs. The rows of the result sum to 0.

    Adding the same number to every g_k changes nothing. So where the favourite has more than half the probability, its
    g is subtracted from every g. It becomes 0 and cannot swamp the small differences that make up a confident row's
    gradient. In an unsure row the favourite's g may dwarf the others, and subtracting it would round them.

    >>> softmax_backward([1.0, 0.0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """
    p, top = probs, favourite(probs)
    g = grad_output - np.where(pick(p, top) > 0.5, pick(grad_output, top), 0)
    return p * (g - row_sum(p * g))


# --- log_softmax -----------------------------------------------------------------------------------------------------


@of_rows
def log_softmax(logits: FloatArray) -> FloatArray:
    """Return the logarithms of the probabilities, in nats.

    Formula: l_k = z_k - Z = (z_k - m) - log1p(odds), with m = max z, the score of the favourite, and the odds against
    the favourite. (No exp follows this z - m, so its rounding error is not magnified.)
    Shapes: logits (..., V) -> (..., V), never above 0; `axis` may be an int, a tuple of ints, or None for all.

    The only information lost is Z = logsumexp(z), one number per row. All differences between scores survive, so a
    temperature can still be applied: softmax(l / T) = softmax(z / T).

    >>> log_softmax(np.float32([20, 0]))  # SciPy and PyTorch return 0 for the first
    array([-2.0611537e-09, -2.0000000e+01], dtype=float32)
    """
    top = favourite(logits)
    _, others, log_own = set_apart(logits, top)
    return (logits - pick(logits, top)) - minus_log_p(others, log_own).astype(logits.dtype)


@backward
def log_softmax_backward(grad_output: FloatArray, log_probs: FloatArray) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to log_softmax(logits).

    Formula: dl_j/dz_k = [j = k] - p_k, so grad_k = g_k - p_k sum_j g_j, with g = grad_output and p = exp(log_probs).
    Shapes: grad_output, log_probs (..., V) -> (..., V), in the dtype of log_probs. The rows of the result sum to 0,
    unless a masked token has a nonzero g.

    After nll_loss only the target has a nonzero g. If it is the favourite, and its p is close to 1, then g_k and
    p_k sum_j g_j are nearly equal, and their difference loses its digits. So a favourite with more than half the
    probability gets (1 - p_k) sum_j g_j - (sum of the other g) instead, with 1 - p = -expm1(l); expm1(x) is exp(x) - 1
    without the subtraction. In an unsure row those two terms may be large and nearly equal, and the first form is
    better.

    >>> log_softmax_backward([-1.0, 0.0], log_softmax([40.0, 0.0]))  # p - 1 would be 0
    array([-4.24835426e-18,  4.24835426e-18])
    """
    g, top = grad_output, favourite(log_probs)
    g_others = row_sum(put(g.copy(), top, 0))
    g_sum = g_others + pick(g, top)
    grad = np.where(log_probs == -np.inf, 0, g - np.exp(log_probs) * g_sum)  # a masked token has gradient 0
    log_p = pick(log_probs, top)
    sure = -np.expm1(log_p) * g_sum - g_others
    return put(grad, top, np.where(log_p > -np.log(2), sure, pick(grad, top)))  # sure: p > 1/2


# --- nll_loss --------------------------------------------------------------------------------------------------------


@loss
def nll_loss(log_probs: FloatArray, targets: IntArray) -> FloatArray:
    """Return the negative log-likelihood of the targets, in nats.

    Formula: loss_i = -l[i, y_i], then the mean or the sum over the N rows or, with "none", one loss per row.
    Shapes: log_probs (..., V), targets (...) of integers in 0 ... V - 1 -> a number, or (...) for "none".

    It trusts its input: given raw logits instead of log-probabilities, it has no lower bound.
    Errors: ValueError or TypeError, naming the first bad target and its index.

    >>> nll_loss(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 0]) / np.log(2)  # 1 bit and 2 bits, on average
    np.float64(1.5)
    """
    return -pick(log_probs, targets)


@loss_gradient
def nll_loss_backward(log_probs: FloatArray, targets: IntArray) -> FloatArray:
    """Return the gradient of nll_loss with respect to the log-probabilities.

    Formula: dloss/dl[i, k] = -[k = y_i], divided by N for the mean.
    Shapes: log_probs (..., V), targets (...) -> (..., V).

    >>> nll_loss_backward([[-1.0, -2.0], [-3.0, -4.0]], [0, 1])
    array([[-0.5,  0. ],
           [ 0. , -0.5]])
    """
    return put(np.zeros_like(log_probs), targets, -1)


# --- cross_entropy ---------------------------------------------------------------------------------------------------


@loss
def cross_entropy(logits: FloatArray, targets: IntArray) -> FloatArray:
    """Return the cross-entropy between the targets and softmax(logits), in nats.

    Formula: loss_i = -log p[i, y_i] = log1p(odds_i), with the odds against the target, favourite or not. Then the mean
    or the sum over the N rows or, with "none", one loss per row.
    Shapes: logits (..., V), targets (...) of integers in 0 ... V - 1 -> a number, or (...) for "none".

    It equals nll_loss(log_softmax(logits), targets), but does not compute V log-probabilities to use one. It also
    equals Z - z[y], but there the digits cancel, since Z is rounded before z[y] is subtracted. The odds avoid Z:

    >>> cross_entropy(np.float32([[1e8, 1e8]]), [0])  # log 2, not 0
    np.float32(0.6931472)

    A masked target costs inf. Errors: ValueError or TypeError, naming the first bad target and its index.
    """
    _, others, log_own = set_apart(logits, targets)
    return minus_log_p(others, log_own)


def cross_entropy_backward(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> FloatArray:
    """Return the gradient of cross_entropy with respect to the logits: the second result of cross_entropy_with_grad.

    Formula: dloss/dz[i, k] = p[i, k] - [k = y_i], divided by N for the mean.
    Shapes: logits (..., V), targets (...) -> (..., V). N counts the rows for the mean, and is 1 for "sum" and "none".
    Each row sums to 0: the target gains what the others lose. A masked token gets 0. If it is the target, the row sums
    to 1 / N.

    >>> cross_entropy_backward([[40.0, 0.0]], [0])  # sure, and right: p - 1 would be 0
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    return cross_entropy_with_grad(logits, targets, reduction)[1]


@loss_and_gradient
def cross_entropy_with_grad(logits: FloatArray, targets: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return cross_entropy and its gradient from one pass over the logits, for a training step.

    Formula: loss = log1p(odds); grad = e / (sum of e), but -others / (sum of e) at the target, with others the sum of
    the other e. Each exp is computed once and serves both.
    Shapes: logits (..., V), targets (...) -> a number, or (...) for "none", and (..., V).
    Both results are those of cross_entropy and cross_entropy_backward, to the last bit, and so are the errors.

    >>> cross_entropy_with_grad([[0.0, 0.0]], [1])
    (np.float64(0.6931471805599453), array([[ 0.5, -0.5]]))
    """
    e, others, log_own = set_apart(logits, targets)
    total = (others + np.exp(log_own)).astype(e.dtype)
    put(e, targets, np.where(pick(logits, targets) == -np.inf, 0, -others))  # a masked target has gradient 0
    e /= total
    return minus_log_p(others, log_own), e


# --- a linear layer and its loss -------------------------------------------------------------------------------------


def linear_cross_entropy_with_grad(
    hidden: ArrayLike, weight: ArrayLike, bias: ArrayLike, targets: ArrayLike
) -> tuple[Any, FloatArray, FloatArray, FloatArray]:
    """Return the mean cross-entropy of logits = hidden @ weight + bias, and its gradients, without storing all logits.

    Formula: with G = (softmax(logits) - onehot) / N, the gradients are G weight^T, hidden^T G and the sum of G's rows.
    Shapes: hidden (N, H), weight (H, V), bias (V,), targets (N,) -> a number, (N, H), (H, V), (V,).

    With a large vocabulary, the logits are the largest array of all: 4,096 x 50,257 in float32 take 823 MB. But each
    row is needed only until its gradient has been added up. So a few rows at a time are computed, used and discarded.
    Source: Wijmans et al. 2024, "Cut your losses in large-vocabulary language models". Errors: those of cross_entropy,
    and ValueError for shapes that do not fit.

    >>> loss, *grads = linear_cross_entropy_with_grad([[1.0], [2.0]], [[0.0, 0.0]], [0.0, 0.0], [0, 1])
    >>> loss, grads[1]
    (np.float64(0.6931471805599453), array([[ 0.25, -0.25]]))
    """
    h, w, b = as_floats("hidden", hidden), as_floats("weight", weight), as_floats("bias", bias)
    if h.ndim != 2 or w.ndim != 2 or b.shape != w.shape[1:] or h.shape[1] != w.shape[0]:
        raise ValueError(
            f"hidden, weight and bias have shapes {h.shape}, {w.shape} and {b.shape}, not (N, H), (H, V), (V,)"
        )
    (n, _), classes = h.shape, w.shape[1]
    if 0 in (n, classes):
        raise ValueError("the mean over no rows or no classes is not defined")
    y = class_ids(targets, (n, classes))
    dtype = np.result_type(h, w, b)
    h, w, b = (array.astype(np.result_type(dtype, np.float32), copy=False) for array in (h, w, b))
    losses, grad_h, grad_w, grad_b = np.empty(n), np.empty_like(h), np.zeros_like(w), np.zeros_like(b)
    size = max(1, 2**24 // (classes * b.itemsize))  # rows whose logits take 16 MB
    with np.errstate(all="ignore"):  # inf and nan are ordinary input here too
        for start in range(0, n, size):
            rows = slice(start, start + size)
            losses[rows], grad = cross_entropy_with_grad(h[rows] @ w + b, y[rows], "none")
            grad /= n
            grad_h[rows] = grad @ w.T
            grad_w += h[rows].T @ grad
            grad_b += grad.sum(axis=0)
        return dtype.type(losses.mean()), *(g.astype(dtype, copy=False) for g in (grad_h, grad_w, grad_b))


__test__ = {name: globals()[name] for name in __all__}  # doctest finds decorated functions only if they are listed
