"""The cautionary twin: the same functions as a textbook prints them, kept because they fail.

Arguments and results are those of `functional.py`. No checks, no shift, nothing but the formula. Each docstring says
where the formula breaks. Put the two files side by side: the differences are the lesson.
"""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


def logsumexp(logits: ArrayLike, axis: int = -1, keepdims: bool = False) -> Any:
    """Return log sum_j exp(z_j): in float32, inf once a score reaches 88.73, and -inf if all are -104 or below.

    >>> print(logsumexp(np.float32([-200, -200])))  # the right answer is -199.31
    -inf
    """
    with np.errstate(over="ignore", divide="ignore"):
        return np.log(np.exp(logits).sum(axis=axis, keepdims=keepdims))


def softmax(logits: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return exp(z_k) / sum_j exp(z_j), which is nan for large scores (inf / inf) and for very negative rows (0 / 0).

    >>> softmax(np.float32([100, 0]))  # the right answer is [1, 3.7e-44]
    array([nan,  0.], dtype=float32)
    """
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(logits)
        probs: NDArray[Any] = e / e.sum(axis=axis, keepdims=True)
        return probs


def log_softmax(logits: ArrayLike, axis: int = -1) -> NDArray[Any]:
    """Return log softmax(z), which is -inf where softmax rounded to 0, and 0 where it rounded to 1.

    >>> log_softmax(np.float32([0, -20]))  # the right answer is [-2.06e-09, -20]
    array([  0., -20.], dtype=float32)
    >>> log_softmax(np.float32([0, -120]))  # the right answer is [-7.7e-53, -120]
    array([  0., -inf], dtype=float32)
    """
    with np.errstate(divide="ignore"):
        log_probs: NDArray[Any] = np.log(softmax(logits, axis))
        return log_probs


def cross_entropy(logits: ArrayLike, targets: ArrayLike, reduction: str = "mean") -> Any:
    """Return logsumexp(z) - z[y], where two nearly equal numbers cancel and take the loss with them.

    >>> print(cross_entropy(np.float32([[17, 0]]), [0]))  # the right answer is 4.1399376e-08
    0.0
    >>> print(cross_entropy(np.float32([[100, 0]]), [0]))  # the right answer is 3.7e-44
    inf
    """
    scores = np.asarray(logits)
    target_scores = np.take_along_axis(scores, np.asarray(targets)[..., None], axis=-1)[..., 0]
    with np.errstate(invalid="ignore"):
        losses = logsumexp(scores) - target_scores
    return losses.mean() if reduction == "mean" else losses.sum() if reduction == "sum" else losses
