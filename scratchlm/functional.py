"""The heart: logsumexp, softmax, log_softmax, nll_loss and cross_entropy, each with its derivative right under it.

In: scores of any shape, with the classes along one axis. Out: numbers that are right to the last few bits, however
large, small, confident or masked the row. Three ideas do all the work, and you will meet them again and again:

1. **Shift before exp.** Softmax cannot see a number that is subtracted from every score of a row. Subtract about the
   largest score, and no exp overflows. (Textbooks subtract exactly the largest. That difference is rounded, and exp
   makes much of the rounding: see `_exp_shifted`.)
2. **Leave the largest out of the sum.** Beside exp(0) = 1, what the other classes have may be a billion times smaller
   and would be rounded away. So sum the *rest*, and use log1p(rest), which is log(1 + rest) without the addition.
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
    as_floats,
    in_double,
    loss_rows,
    map_rows,
    reduce_rows,
    reduced_shape,
    row_sums,
)


def _exp_shifted(z: FloatArray, m: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return e = exp(z - c) for rows z with largest scores m (n, 1), and exp(c - m), which turns e into exp(z - m).

    Textbooks take c = m. But z - m is rounded, and exp makes an absolute error of half an ulp of 30 a relative error of
    8 ulps. Exp needs less: a score up to 88.72 (float32) or 709.78 (float64) does not overflow. So c = 0 will do for m
    up to `room`, which leaves space to sum e^24 terms; a larger m is brought down to it, and a negative m up to 0, lest
    the whole row underflow. A whole number c has no low digits that z - c could lose: it is exact, but for scores so
    far below c that they need another bit. From 1 / eps up all floats are whole numbers, and c = m will do.
    """
    info = np.finfo(z.dtype)
    room = np.log(info.max) - 24
    c = np.where(m < 1 / info.eps, np.floor(m - np.clip(m, 0, room)), m)
    return np.exp(z - c), np.exp(in_double(c - m))


def _in_units_of_top(sums: FloatArray, e_top: FloatArray, scale: FloatArray) -> FloatArray:
    """Return sums of exp(z - c) as sums of exp(z - m): by division if others tie with the top, so that each gives 1."""
    return np.where(sums < e_top, sums * scale, sums / e_top)


def _max_and_log1p_rest(z: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return, (n, 1) each, the largest score m of rows z, and log(1 + sum of exp(z - m) over all entries but one m)."""
    i, top = np.arange(len(z)), z.argmax(axis=-1)
    m = z[i, top][:, None]
    e, scale = _exp_shifted(z, m)
    e_top = e[i, top][:, None]
    e[i, top] = 0
    return m, np.log1p(_in_units_of_top(row_sums(e)[:, None], e_top, scale))


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

    def formula(z: FloatArray) -> FloatArray:
        m, log1p_rest = _max_and_log1p_rest(z)
        return np.where(np.isinf(m), m, m + log1p_rest)  # all masked: -inf; an infinite score: inf

    return reduce_rows(formula, axis, keepdims, logits=logits)


def logsumexp_backward(grad_output: ArrayLike, logits: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to Z = logsumexp.

    Formula: dZ/dz_k = exp(z_k) / sum_j exp(z_j) = p_k, so grad_k = grad_output p_k: softmax is logsumexp's slope.
    Shapes: grad_output (...) or (..., 1), as logsumexp gave it; logits (..., V) -> (..., V), in the logits' dtype.

    >>> logsumexp_backward(1.0, [0.0, 0.0])
    array([0.5, 0.5])
    """
    (z,) = as_floats(logits=logits)
    shape = z.shape
    kept = reduced_shape(shape, axis, keepdims=True)
    grad = np.asarray(grad_output)
    if grad.shape not in (kept, reduced_shape(shape, axis, keepdims=False)):
        raise ValueError(f"grad_output has shape {grad.shape}, which is not logsumexp's for logits of shape {shape}")

    def formula(g: FloatArray, z: FloatArray) -> FloatArray:
        return g * _softmax(z)

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


def _softmax(z: FloatArray) -> FloatArray:
    e, _ = _exp_shifted(z, z.max(axis=-1, keepdims=True))
    return e / row_sums(e)[:, None].astype(z.dtype)


def softmax_backward(grad_output: ArrayLike, probs: ArrayLike, axis: Axis = -1) -> FloatArray:
    """Return the gradient of a loss with respect to the logits, given its gradient with respect to softmax(logits).

    Formula: dp_j/dz_k = p_j ([j = k] - p_k), so grad_k = p_k (g_k - sum_j p_j g_j), with g = grad_output.
    Shapes: grad_output, probs (..., V) -> (..., V), in the dtype of probs. The rows of the result sum to 0.

    A number that is added to every g_k of a row changes nothing. So g is measured from its value at the most probable
    class, and the small differences that a confident row lives on are not rounded away.

    >>> softmax_backward([1.0, 0.0], [0.5, 0.5])
    array([ 0.25, -0.25])
    """

    def formula(g: FloatArray, p: FloatArray) -> FloatArray:
        g = g - g[np.arange(len(p)), p.argmax(axis=-1)][:, None]
        grad: FloatArray = p * (g - row_sums(g * p)[:, None].astype(g.dtype))
        return grad

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

    def formula(z: FloatArray) -> FloatArray:
        m, log1p_rest = _max_and_log1p_rest(z)
        return (z - m) - log1p_rest.astype(z.dtype)

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

    def formula(g: FloatArray, log_p: FloatArray) -> FloatArray:
        i, top = np.arange(len(g)), log_p.argmax(axis=-1)
        without_top = g.copy()
        without_top[i, top] = 0
        g_others = row_sums(without_top)
        g_sum = g_others + g[i, top]
        grad: FloatArray = g - np.exp(log_p) * g_sum[:, None].astype(g.dtype)
        grad[i, top] = -g_others - np.expm1(log_p[i, top]) * g_sum
        grad[log_p == -np.inf] = 0  # a masked token does not move
        return grad

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

    def formula(log_p: FloatArray, y: IntArray, n: int) -> tuple[FloatArray]:
        return (-log_p[np.arange(len(y)), y],)

    return loss_rows(formula, reduction, targets, log_probs=log_probs)[0]


def nll_loss_backward(log_probs: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> FloatArray:
    """Return the gradient of nll_loss with respect to the log-probabilities.

    Formula: dloss/dl[i, k] = -[k = y_i] / N for the mean, and -[k = y_i] for "sum" and "none".
    Shapes: log_probs (..., V), targets (...) -> (..., V).

    >>> nll_loss_backward([[-1.0, -2.0], [-3.0, -4.0]], [0, 1])
    array([[-0.5,  0. ],
           [ 0. , -0.5]])
    """

    def formula(log_p: FloatArray, y: IntArray, n: int) -> tuple[FloatArray]:
        grad = np.zeros_like(log_p)
        grad[np.arange(len(y)), y] = -1 / n
        return (grad,)

    grad: FloatArray = loss_rows(formula, reduction, targets, log_probs=log_probs)[0]
    return grad


# --- cross_entropy ---------------------------------------------------------------------------------------------------


def cross_entropy(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Any:
    """Return the cross-entropy between the targets and softmax(logits), in nats.

    Formula: loss_i = Z_i - z[i, y_i] = log1p(rest_i) + (m_i - z[i, y_i]); then the mean over the N rows, their sum, or,
    with "none", one loss a row. Here m = max z, and rest is the sum of exp(z - m) without one m.
    Shapes: logits (..., V), targets (...) of integers in 0 ... V - 1 -> a number, or (...) for "none".

    It is nll_loss(log_softmax(logits), targets). Subtracting the maximum *before* anything is added keeps the loss
    where Z - z[y] would cancel:

    >>> cross_entropy(np.float32([[1e8, 1e8]]), [0])  # log 2, not 0
    np.float32(0.6931472)

    Errors: ValueError or TypeError that names the first bad target and its index. A masked target costs inf.
    """

    def formula(z: FloatArray, y: IntArray, n: int) -> tuple[FloatArray]:
        loss, *_ = _target_against_others(z, y)
        return (loss,)

    return loss_rows(formula, reduction, targets, logits=logits)[0]


def cross_entropy_backward(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> FloatArray:
    """Return the gradient of cross_entropy with respect to the logits.

    Formula: dloss/dz[i, k] = (p[i, k] - [k = y_i]) / N; at the target, -(sum of the other probabilities) / N.
    Shapes: logits (..., V), targets (...) -> (..., V). N counts the rows for the mean, and is 1 for "sum" and "none".
    The rows sum to 0: what the target gains, the others lose. A masked token gets 0, even if it is the target.

    >>> cross_entropy_backward([[40.0, 0.0]], [0])  # sure, and right: p - 1 would be 0
    array([[-4.24835426e-18,  4.24835426e-18]])
    """

    def formula(z: FloatArray, y: IntArray, n: int) -> tuple[FloatArray]:
        _, e, others, total = _target_against_others(z, y)
        return (_gradient(z, y, n, e, others, total),)

    grad: FloatArray = loss_rows(formula, reduction, targets, logits=logits)[0]
    return grad


def cross_entropy_with_grad(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> tuple[Any, FloatArray]:
    """Return cross_entropy and its gradient from one pass over the logits: what a training step needs.

    Formula: loss = log1p(rest) + (m - z[y]) and grad = (p - onehot) / N, with exp computed once for both.
    Shapes: logits (..., V), targets (...) -> a number, or (...) for "none", and (..., V).
    The same to the last bit as cross_entropy and cross_entropy_backward; errors as theirs.

    >>> cross_entropy_with_grad([[0.0, 0.0]], [1])
    (np.float64(0.6931471805599453), array([[ 0.5, -0.5]]))
    """

    def formula(z: FloatArray, y: IntArray, n: int) -> tuple[FloatArray, FloatArray]:
        loss, e, others, total = _target_against_others(z, y)
        return loss, _gradient(z, y, n, e, others, total)

    loss, grad = loss_rows(formula, reduction, targets, logits=logits)
    return loss, grad


def _target_against_others(z: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Return the losses of rows z, and for the gradient e = exp(z - c) with 0 at the target, its sum, and all of e's.

    If the target is the largest score, rest is exactly what the others have. If not, the largest is among the others:
    take it out, and put the target's in.
    """
    i, top = np.arange(len(z)), z.argmax(axis=-1)
    m = z[i, top]
    e, scale = _exp_shifted(z, m[:, None])
    e_top, e_y = in_double(e[i, top]), in_double(e[i, y])
    e[i, y] = 0
    others = row_sums(e)
    rest = _in_units_of_top(others + (e_y - e_top), e_top, scale[:, 0])
    return np.log1p(rest) + (in_double(m) - z[i, y]), e, others, others + e_y


def _gradient(z: FloatArray, y: IntArray, n: int, e: FloatArray, others: FloatArray, total: FloatArray) -> FloatArray:
    """Return the softmax of rows z, with -(sum of the other probabilities) at the target, divided by n."""
    i = np.arange(len(z))
    total = total * n
    grad = e / total[:, None].astype(e.dtype)
    grad[i, y] = np.where(z[i, y] == -np.inf, 0 * total, -others / total)  # a masked target does not move
    return grad
