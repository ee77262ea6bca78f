"""A solution of exercise 5, with the star."""

import numpy as np


def cross_entropy_backward(logits, targets, reduction="mean"):
    z, y = logits.astype(np.float64), targets[..., None]
    m = z.max(axis=-1, keepdims=True)
    e = np.exp(z - np.floor(m - np.clip(m, 0, 685)))
    e_y = np.take_along_axis(e, y, axis=-1)
    np.put_along_axis(e, y, 0.0, axis=-1)
    others = e.sum(axis=-1, keepdims=True)
    np.put_along_axis(e, y, -others, axis=-1)  # p - 1 is minus what the others have
    n = targets.size if reduction == "mean" else 1
    return (e / ((others + e_y) * n)).astype(logits.dtype)
