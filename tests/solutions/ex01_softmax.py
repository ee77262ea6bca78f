"""A solution to exercise 1, with the star."""

import numpy as np


def softmax(logits, axis=-1):
    z = logits.astype(np.float64)
    m = z.max(axis=axis, keepdims=True)
    # Any shift that keeps exp in range will do: none while the maximum lies between 0 and 600, else a whole number,
    # which has no low digits for z - c to lose.
    c = np.floor(m - np.clip(m, 0, 600))
    e = np.exp(z - c)
    return (e / e.sum(axis=axis, keepdims=True)).astype(logits.dtype)
