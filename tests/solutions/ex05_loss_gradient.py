"""A solution to exercise 5, with the star."""

import numpy as np


def cross_entropy_backward(logits, targets, reduction="mean"):
    z, y = logits.astype(np.float64), targets[..., None]
    m = z.max(axis=-1, keepdims=True)
    c = np.floor(m - np.clip(m, 0, 600))  # the shift of exercise 1
    e = np.exp(z - c)
    total = e.sum(axis=-1, keepdims=True)
    np.put_along_axis(e, y, 0, axis=-1)
    others = e.sum(axis=-1, keepdims=True)
    # Not p - 1, but -odds / (1 + odds). The odds are others / e_y, so this is -others / total, even where e_y is 0.
    np.put_along_axis(e, y, -others, axis=-1)
    n = targets.size if reduction == "mean" else 1
    return (e / (total * n)).astype(logits.dtype)
