"""A solution of exercise 3, with the star."""

import numpy as np


def log_softmax(logits, axis=-1):
    z = np.moveaxis(logits.astype(np.float64), axis, -1)
    top = z.argmax(axis=-1)[..., None]
    m = np.take_along_axis(z, top, axis=-1)
    e = np.exp(z - np.floor(m - np.clip(m, 0, 685)))
    e_top = np.take_along_axis(e, top, axis=-1)
    np.put_along_axis(e, top, 0.0, axis=-1)
    log_probs = (z - m) - np.log1p(e.sum(axis=-1, keepdims=True) / e_top)
    return np.moveaxis(log_probs, -1, axis).astype(logits.dtype)
