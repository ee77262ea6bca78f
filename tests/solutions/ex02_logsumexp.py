"""A solution of exercise 2, with the star."""

import numpy as np


def logsumexp(logits, axis=-1, keepdims=False):
    z = np.moveaxis(logits.astype(np.float64), axis, -1)
    top = z.argmax(axis=-1)[..., None]
    m = np.take_along_axis(z, top, axis=-1)
    e = np.exp(z - np.floor(m - np.clip(m, 0, 685)))  # a whole number as shift: exact
    e_top = np.take_along_axis(e, top, axis=-1)
    np.put_along_axis(e, top, 0.0, axis=-1)
    total = m + np.log1p(e.sum(axis=-1, keepdims=True) / e_top)  # one maximum is left out of the sum: it is the 1
    total = np.moveaxis(total, -1, axis).astype(logits.dtype)
    return total if keepdims else total.squeeze(axis)[()]
