"""A solution to exercise 2, with the star."""

import numpy as np


def logsumexp(logits, axis=-1, keepdims=False):
    z = logits.astype(np.float64)
    favourite = z.argmax(axis=axis, keepdims=True)
    m = np.take_along_axis(z, favourite, axis=axis)
    e = np.exp(z - m)  # the rounding error of z - m is negligible beside m, which is added below
    np.put_along_axis(e, favourite, 0, axis=axis)  # its own 1 would swallow the others
    odds = e.sum(axis=axis, keepdims=True)
    total = (m + np.log1p(odds)).astype(logits.dtype)
    return total if keepdims else total.squeeze(axis)
