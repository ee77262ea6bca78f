"""A solution of exercise 1, with the star."""

import numpy as np


def softmax(logits, axis=-1):
    z = logits.astype(np.float64)
    m = z.max(axis=axis, keepdims=True)
    # The shift need not be the maximum: any whole number that keeps exp in range will do, and is subtracted exactly.
    # While the maximum lies between 0 and 685, where even e^24 terms can be added, none is needed.
    c = np.floor(m - np.clip(m, 0, 685))
    e = np.exp(z - c)
    return (e / e.sum(axis=axis, keepdims=True)).astype(logits.dtype)
