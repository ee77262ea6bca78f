"""The softmax of the textbooks, with the shift: it passes all that is required of exercise 1."""

import numpy as np


def softmax(logits, axis=-1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
