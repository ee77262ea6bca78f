"""A solution to exercise 4, with the star, which the log_softmax of exercise 3 earns."""

import numpy as np


def nll_loss(log_probs, targets, reduction="mean"):
    loss = -np.take_along_axis(log_probs, targets[..., None], axis=-1)[..., 0]
    if reduction == "none":
        return loss
    return loss.mean() if reduction == "mean" else loss.sum()


def log_softmax(logits):
    z = logits.astype(np.float64)
    favourite = z.argmax(axis=-1, keepdims=True)
    m = np.take_along_axis(z, favourite, axis=-1)
    c = np.floor(m - np.clip(m, 0, 600))
    e = np.exp(z - c)
    np.put_along_axis(e, favourite, 0, axis=-1)
    odds = e.sum(axis=-1, keepdims=True) / np.exp(m - c)
    return ((z - m) - np.log1p(odds)).astype(logits.dtype)


def cross_entropy(logits, targets, reduction="mean"):
    # For the favourite this is log1p(odds). For another target, its distance is added to that, and nothing cancels.
    return nll_loss(log_softmax(logits), targets, reduction)
