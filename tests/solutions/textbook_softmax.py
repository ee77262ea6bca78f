"""The textbooks' softmax, with the shift: it passes everything that exercise 1 requires."""

import numpy as np


def softmax(logits, axis=-1):
    e = np.exp(logits - logits.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)
