"""A solution to exercise 3, with the star."""

import numpy as np


def log_softmax(logits, axis=-1):
    z = logits.astype(np.float64)
    favourite = z.argmax(axis=axis, keepdims=True)
    m = np.take_along_axis(z, favourite, axis=axis)
    c = np.floor(m - np.clip(m, 0, 600))  # the shift of exercise 1
    e = np.exp(z - c)
    np.put_along_axis(e, favourite, 0, axis=axis)
    odds = e.sum(axis=axis, keepdims=True) / np.exp(m - c)  # the probability of the others, divided by its own
    return ((z - m) - np.log1p(odds)).astype(logits.dtype)
