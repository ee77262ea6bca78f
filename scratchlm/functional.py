"""The heart: logsumexp, softmax, log_softmax, nll_loss and cross_entropy, each with its derivative right under it.

In: scores of any shape, with the classes along one axis. Out: numbers that are right to the last few bits, however
large, small, confident or masked the row. Three ideas do all the work, and you will meet them again and again:

1. **Shift before exp.** Softmax cannot see a number that is subtracted from every score of a row. Subtract about the
   largest score, and no exp overflows. (Textbooks subtract exactly the largest. That difference is rounded, and exp
   makes much of the rounding: see `_exp_shifted`.)
2. **Leave the largest out of the sum.** Beside exp(0) = 1, what the other classes have may be a billion times smaller
   and would be rounded away. So sum the *rest*, and use log1p(rest), which is log(1 + rest) without the addition. (For
   a loss, leave the target out: what the others have beside it are the odds against it.)
3. **Never compute p - 1.** A confident p rounds to 1, and the difference to 0. What p lacks to be 1 is what the other
   classes have: sum the others.

What belongs to a row as a whole (a sum, a logarithm, a loss) is one number among many: it is kept in float64, and only
what belongs to an entry is computed in the row's own dtype.

Every function takes float16 (computed in float32, rounded once), float32 and float64, and keeps the dtype; integers and
bools become float64. A score of -inf is a masked token: probability 0, log-probability -inf, gradient 0. A row of
nothing but masked tokens, a row with +inf and a row with nan give nan in that row only (logsumexp: -inf, inf, nan).
Nothing is ever written to what you pass in. For all: TypeError for complex, object or string arrays; ValueError for a
single number, or for no classes at all.

Accuracy, and why these forms: Blanchard, Higham & Higham (2021), "Accurately computing the log-sum-exp and softmax
functions", IMA Journal of Numerical Analysis 41:2311. Logarithms are natural, so losses are in nats.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from scratchlm._rows import (
    Axis,
    FloatArray,
    IntArray,
    as_array,
    as_floats,
    checked_targets,
    in_double,
    loss_rows,
    losses_and_gradient,
    map_rows,
    places,
    reduce_rows,
    reduced_shape,
    row_sums,
    sums_apart,
    top_classes,
)

# A sum may have a logarithm up to here: what does not overflow, less 24, which leaves space for a mean of e^24 rows.
ROOM = {dtype: float(np.log(np.finfo(dtype).max) - 24) for dtype in (np.float32, np.float64, np.longdouble)}


def _exp_shifted(z: FloatArray, e: FloatArray, apart: IntArray | None = None) -> tuple[FloatArray, ...]:
    """Write exp(z - c) into e for rows z; return c, and the sums of e without and with class apart[i], (n,) each.

    In e, that class is left at 0; without `apart`, the two sums are one.
    Textbooks take c = m, the largest score. But z - m is rounded, and exp makes an absolute error of half an ulp of 30
    a relative error of 8 ulps. Exp needs less: a score up to 88.72 (float32) or 709.78 (float64) does not overflow. So
    try c = 0, and look at the sum: it is huge if exp is about to overflow, and tiny if the whole row underflows. Only
    such rows need a c: a large m is brought down to `ROOM`, a negative one up to 0. A whole number c has no low
    digits that z - c could lose: it is exact, but for scores so far below c that they need another bit. From 1 / eps
    up all floats are whole numbers, and c = m will do.
    """
    np.exp(z, out=e)
    c, room = np.zeros(len(z)), ROOM[z.dtype.type]
    others, total = sums_apart(e, apart)
    if not (total.min() >= 0.5 and total.max() <= np.exp(room)):
        rows = np.flatnonzero(~((total >= 0.5) & (total <= np.exp(room))))
        m = in_double(z[rows].max(axis=-1))
        c[rows] = np.where(m < 1 / np.finfo(z.dtype).eps, np.floor(m - np.clip(m, 0, room)), m)
        part = np.exp(z[rows] - c[rows, None].astype(z.dtype))
        others[rows], total[rows] = sums_apart(part, None if apart is None else apart[rows])
        e[rows] = part
    return c, others, total


def _max_and_log1p_rest(z: FloatArray, e: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return, (n,) each, the largest score m of rows z, and log(1 + sum of exp(z - m) over all entries but one m)."""
    top = top_classes(z)
    m = z.take(places(z, top))
    c, rest, _ = _exp_shifted(z, e, top)
    return m, np.log1p(rest * np.exp(c - in_double(m)))


# --- logsumexp -------------------------------------------------------------------------------------------------------


def logsumexp(logits: ArrayLike, axis: Axis = -1, keepdims: bool = False) -> Any:
    """Return the logarithm of the sum of exponentials, a maximum with rounded corners.

    Formula: Z = log sum_j exp(z_j) = m + log1p(rest), with m = max z and rest the sum of exp(z - m) without one m.
    Shapes: logits (..., V) -> (...), or (..., 1) with keepdims; `axis` may be an int, a tuple of ints, or None for all.
    Always max z <= Z <= max z + log V.

    >>> logsumexp(np.float32([1000, 1000]))  # exp(1000) would overflow
    np.float32(1000.6932)
    >>> logsumexp(np.float32([0, -40]))  # not 0: exp(-40) is still there
    np.float32(4.248354e-18)
    """

    def formula(z: FloatArray, e: FloatArray, _: None) -> FloatArray:
        m, log1p_rest = _max_and_log1p_rest(z, e)
        return np.where(np.isinf(m), m, m + log1p_rest)  # all masked: -inf; an infinite score: inf

    return reduce_rows(formula, axis, keepdims, logits=logits)


def logsumexp_backward(grad_output: ArrayLike, logits: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to Z = logsumexp.

    Formula: dZ/dz_k = exp(z_k) / sum_j exp(z_j) = p_k, so grad_k = grad_output p_k: softmax is logsumexp's slope.
    Shapes: grad_output (...) or (..., 1), as logsumexp gave it; logits (..., V) -> (..., V), in the logits' dtype.

    >>> logsumexp_backward(1.0, [0.0, 0.0])
    array([0.5, 0.5])
    """
    shape = as_floats(logits=logits)[0].shape
    kept = reduced_shape(shape, axis, keepdims=True)
    grad = as_array("grad_output", grad_output)
    if grad.shape not in (kept, reduced_shape(shape, axis, keepdims=False)):
        raise ValueError(f"grad_output has shape {grad.shape}, which is not logsumexp's for logits of shape {shape}")

    def formula(g: FloatArray, z: FloatArray, e: FloatArray, grad: FloatArray) -> None:
        _softmax(z, e, grad)
        grad *= g

    return map_rows(formula, axis, grad_output=np.broadcast_to(grad.reshape(kept), shape), logits=logits)


# --- softmax ---------------------------------------------------------------------------------------------------------


def softmax(logits: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the probabilities that are proportional to exp(logits).

    Formula: p_k = exp(z_k) / sum_j exp(z_j) = exp(z_k - c) / sum_j exp(z_j - c), for any c.
    Shapes: logits (..., V) -> (..., V), where each row sums to 1; `axis` may be an int, a tuple of ints, or None.

    >>> softmax([1000.0, 1000.0, -np.inf])  # exp(1000) would overflow; the third token is masked
    array([0.5, 0.5, 0. ])
    """
    return map_rows(_softmax, axis, logits=logits)


def _softmax(z: FloatArray, e: FloatArray, p: FloatArray) -> None:
    _, _, total = _exp_shifted(z, e)
    np.divide(e, total[:, None].astype(z.dtype), out=p)


def softmax_backward(grad_output: ArrayLike, probs: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to softmax(logits).

    Formula: dp_j/dz_k = p_j ([j = k] - p_k), so grad_k = p_k (g_k - sum_j p_j g_j), with g = grad_output.
    Shapes: grad_output, probs (..., V) -> (..., V), in the dtype of probs. The rows of the result sum to 0.

    A number that is added to every g_k of a row changes nothing. So g is measured from its value at the most probable
    class, and the small differences that a confident row lives on are not rounded away.

    >>> softmax_backward([1.0, 0.0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """

    def formula(g: FloatArray, p: FloatArray, _: FloatArray, grad: FloatArray) -> None:
        np.subtract(g, g[np.arange(len(p)), top_classes(p)][:, None], out=grad)
        grad -= row_sums(grad * p)[:, None].astype(g.dtype)
        grad *= p

    return map_rows(formula, axis, grad_output=grad_output, probs=probs)


# --- log_softmax -----------------------------------------------------------------------------------------------------


def log_softmax(logits: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the logarithms of the probabilities, in nats.

    Formula: l_k = z_k - Z = (z_k - m) - log1p(rest), with m = max z and rest the sum of exp(z - m) without one m.
    Shapes: logits (..., V) -> (..., V), never above 0; `axis` may be an int, a tuple of ints, or None for all.

    One number a row is lost, Z = logsumexp(z). All differences between scores stay, and with them the temperature.

    >>> log_softmax(np.float32([20, 0]))  # SciPy and PyTorch give 0 for the first
    array([-2.0611537e-09, -2.0000000e+01], dtype=float32)
    """

    def formula(z: FloatArray, e: FloatArray, log_p: FloatArray) -> None:
        m, log1p_rest = _max_and_log1p_rest(z, e)
        np.subtract(z, m[:, None], out=log_p)
        log_p -= log1p_rest[:, None].astype(z.dtype)

    return map_rows(formula, axis, logits=logits)


def log_softmax_backward(grad_output: ArrayLike, log_probs: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to log_softmax(logits).

    Formula: dl_j/dz_k = [j = k] - p_k, so grad_k = g_k - p_k sum_j g_j, with g = grad_output and p = exp(log_probs).
    Shapes: grad_output, log_probs (..., V) -> (..., V), in the dtype of log_probs. The rows of the result sum to 0.

    For the most probable class the two terms nearly cancel. There, 1 - p = -expm1(l) turns the difference into
    -(sum of the other g_j) - expm1(l_k) sum_j g_j, which keeps a confident row's tiny gradient.

    >>> log_softmax_backward([-1.0, 0.0], log_softmax([40.0, 0.0]))  # p - 1 would be 0
    array([-4.24835426e-18,  4.24835426e-18])
    """

    def formula(g: FloatArray, log_p: FloatArray, _: FloatArray, grad: FloatArray) -> None:
        i, top = np.arange(len(g)), top_classes(log_p)
        np.copyto(grad, g)
        grad[i, top] = 0
        g_others = row_sums(grad)
        g_sum = g_others + g[i, top]
        np.exp(log_p, out=grad)
        grad *= g_sum[:, None].astype(g.dtype)
        np.subtract(g, grad, out=grad)
        grad[i, top] = -g_others - np.expm1(log_p[i, top]) * g_sum
        grad[log_p == -np.inf] = 0  # a masked token does not move

    return map_rows(formula, axis, grad_output=grad_output, log_probs=log_probs)


# --- nll_loss --------------------------------------------------------------------------------------------------------


def nll_loss(log_probs: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Any:
    """Return the negative log-likelihood of the targets, in nats.

    Formula: loss_i = -l[i, y_i], then the mean over the N rows, their sum, or, with "none", one loss a row.
    Shapes: log_probs (..., V), targets (...) of integers in 0 ... V - 1 -> a number, or (...) for "none".

    It believes what it is given: fed with raw logits instead of log-probabilities it has no lower bound.
    Errors: ValueError or TypeError that names the first bad target and its index.

    >>> nll_loss(np.log([[0.5, 0.5], [0.25, 0.75]]), [0, 0]) / np.log(2)  # 1 bit and 2 bits, on average
    np.float64(1.5)
    """

    def formula(n: int, log_p: FloatArray, y: IntArray, _: FloatArray, __: None) -> FloatArray:
        return -log_p[np.arange(len(y)), y]

    return loss_rows(formula, reduction, targets, gradient=False, log_probs=log_probs)[0]


def nll_loss_backward(log_probs: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> FloatArray:
    """Return the gradient of nll_loss with respect to the log-probabilities.

    Formula: dloss/dl[i, k] = -[k = y_i] / N for the mean, and -[k = y_i] for "sum" and "none".
    Shapes: log_probs (..., V), targets (...) -> (..., V).

    >>> nll_loss_backward([[-1.0, -2.0], [-3.0, -4.0]], [0, 1])
    array([[-0.5,  0. ],
           [ 0. , -0.5]])
    """

    def formula(n: int, log_p: FloatArray, y: IntArray, _: FloatArray, grad: FloatArray) -> FloatArray:
        grad[...] = 0
        grad[np.arange(len(y)), y] = -1 / n
        return -log_p[np.arange(len(y)), y]

    return loss_rows(formula, reduction, targets, gradient=True, log_probs=log_probs)[1]


# --- cross_entropy ---------------------------------------------------------------------------------------------------


def cross_entropy(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Any:
    """Return the cross-entropy between the targets and softmax(logits), in nats.

    Formula: loss_i = Z_i - z[i, y_i] = log1p(odds_i), with odds_i = sum of exp(z[i, k] - z[i, y_i]) over all k but y_i:
    the odds against the target. Then the mean over the N rows, their sum, or, with "none", one loss a row.
    Shapes: logits (..., V), targets (...) of integers in 0 ... V - 1 -> a number, or (...) for "none".

    It is nll_loss(log_softmax(logits), targets). Subtracting z[y] *before* anything is added keeps the loss where
    Z - z[y] would cancel:

    >>> cross_entropy(np.float32([[1e8, 1e8]]), [0])  # log 2, not 0
    np.float32(0.6931472)

    Errors: ValueError or TypeError that names the first bad target and its index. A masked target costs inf.
    """

    def formula(n: int, z: FloatArray, y: IntArray, e: FloatArray, _: None) -> FloatArray:
        return _target_against_others(z, y, e)[0]

    return loss_rows(formula, reduction, targets, gradient=False, logits=logits)[0]


def cross_entropy_backward(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> FloatArray:
    """Return the gradient of cross_entropy with respect to the logits.

    Formula: dloss/dz[i, k] = (p[i, k] - [k = y_i]) / N; at the target, -(sum of the other probabilities) / N.
    Shapes: logits (..., V), targets (...) -> (..., V). N counts the rows for the mean, and is 1 for "sum" and "none".
    The rows sum to 0: what the target gains, the others lose. A masked token gets 0, even if it is the target.

    >>> cross_entropy_backward([[40.0, 0.0]], [0])  # sure, and right: p - 1 would be 0
    array([[-4.24835426e-18,  4.24835426e-18]])
    """
    return cross_entropy_with_grad(logits, targets, reduction)[1]


def cross_entropy_with_grad(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> tuple[Any, FloatArray]:
    """Return cross_entropy and its gradient from one pass over the logits: what a training step needs.

    Formula: loss = log1p(odds) and grad = (p - onehot) / N, with exp computed once for both.
    Shapes: logits (..., V), targets (...) -> a number, or (...) for "none", and (..., V).
    The same to the last bit as cross_entropy and cross_entropy_backward; errors as theirs.

    >>> cross_entropy_with_grad([[0.0, 0.0]], [1])
    (np.float64(0.6931471805599453), array([[ 0.5, -0.5]]))
    """
    return loss_rows(_loss_and_gradient, reduction, targets, gradient=True, logits=logits)


def _loss_and_gradient(n: int, z: FloatArray, y: IntArray, e: FloatArray, grad: FloatArray) -> FloatArray:
    loss, z_y, others, total = _target_against_others(z, y, e)
    total *= n
    np.divide(e, total[:, None].astype(z.dtype), out=grad)
    grad.reshape(-1)[places(grad, y)] = np.where(z_y == -np.inf, 0 * total, -others / total)  # masked: it does not move
    return loss


def _target_against_others(z: FloatArray, y: IntArray, e: FloatArray) -> tuple[FloatArray, ...]:
    """Return, (n,) each, the losses of rows z, the targets' scores, and sums of e = exp(z - c) without and with theirs.

    The odds against the target are what the others have, divided by what it has, and the loss is log(1 + odds): one sum
    without the target, and nothing cancels, be it the largest score or not. In e, the target's is left at 0.
    """
    z_y = in_double(z.take(places(z, y)))
    c, others, total = _exp_shifted(z, e, y)
    odds = others * np.exp(c - z_y)
    loss = np.log1p(odds)
    if not odds.max() < np.inf:
        loss = np.where(odds < np.inf, loss, np.log(others) + (c - z_y))
    return loss, z_y, others, total


# --- a linear layer and its loss -------------------------------------------------------------------------------------


def linear_cross_entropy_with_grad(
    hidden: ArrayLike, weight: ArrayLike, bias: ArrayLike, targets: ArrayLike
) -> tuple[Any, FloatArray, FloatArray, FloatArray]:
    """Return the mean cross-entropy of logits = hidden @ weight + bias, and its gradients, without all of the logits.

    Formula: with G = (softmax(logits) - onehot) / N, the gradients are G weight^T, hidden^T G and the sum of G's rows.
    Shapes: hidden (N, H), weight (H, V), bias (V,), targets (N,) -> a number, (N, H), (H, V), (V,).

    A large vocabulary makes the logits the largest thing there is: 4,096 x 50,257 in float32 take 824 MB. But a row of
    them is needed only until its gradient has gone into the sums. So a few rows at a time are computed, and forgotten.
    Source: Wijmans et al. 2024, "Cut your losses in large-vocabulary language models". Errors: as cross_entropy; and a
    ValueError for shapes that do not fit.

    >>> loss, *grads = linear_cross_entropy_with_grad([[1.0], [2.0]], [[0.0, 0.0]], [0.0, 0.0], [0, 1])
    >>> loss, grads[1]
    (np.float64(0.6931471805599453), array([[ 0.25, -0.25]]))
    """
    (h,), (w,), (b,) = as_floats(hidden=hidden), as_floats(weight=weight), as_floats(bias=bias)
    if h.ndim != 2 or w.ndim != 2 or b.shape != w.shape[1:] or h.shape[1] != w.shape[0]:
        raise ValueError(
            f"hidden, weight and bias have shapes {h.shape}, {w.shape} and {b.shape}, not (N, H), (H, V), (V,)"
        )
    (n, _), classes = h.shape, w.shape[1]
    if 0 in (n, classes):
        raise ValueError("the mean over no rows, or no classes, is not defined")
    y = checked_targets(targets, (n, classes))
    dtype = np.result_type(h, w, b)
    h, w, b = (array.astype(np.result_type(dtype, np.float32), copy=False) for array in (h, w, b))
    grad_h, grad_w, grad_b = np.empty_like(h), np.zeros_like(w), np.zeros_like(b)
    losses, size = np.empty(n, in_double(b).dtype), max(1, 2**24 // (classes * b.itemsize))
    for start in range(0, n, size):
        rows = slice(start, start + size)
        logits = h[rows] @ w
        logits += b
        grad = np.empty_like(logits)
        losses[rows] = losses_and_gradient(_loss_and_gradient, n, logits, y[rows], grad)
        np.matmul(grad, w.T, out=grad_h[rows])
        grad_w += h[rows].T @ grad
        grad_b += grad.sum(axis=0)
    return dtype.type(losses.mean()), *(g.astype(dtype, copy=False) for g in (grad_h, grad_w, grad_b))
