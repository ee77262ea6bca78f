"""A solution of exercise 6, with the stars."""

import numpy as np


def softmax_backward(grad_output, probs, axis=-1):
    g, p = grad_output, probs
    favourite = p.argmax(axis=axis, keepdims=True)
    g_top = np.take_along_axis(g, favourite, axis=axis)
    from_mean = g - (p * g).sum(axis=axis, keepdims=True)
    lead = (p * (g_top - g)).sum(axis=axis, keepdims=True)  # g_top - mean: its own term is 0, so nothing cancels
    np.put_along_axis(from_mean, favourite, lead, axis=axis)
    return (p * from_mean).astype(probs.dtype)


def log_softmax_backward(grad_output, log_probs, axis=-1):
    g, p = grad_output, np.exp(log_probs)
    g_sum = g.sum(axis=axis, keepdims=True)
    confident = p > 0.51  # more than half, so no row has two of them, however p was rounded
    g_others = np.where(confident, 0, g).sum(axis=axis, keepdims=True)
    # For these, g - p sum(g) nearly cancels. Since g = sum(g) - (the other g), it is (1 - p) sum(g) - (the other g),
    # and what the others have, 1 - p = odds / (1 + odds), is -expm1(l).
    careful = -g_others - np.expm1(log_probs) * g_sum
    return np.where(confident, careful, g - p * g_sum).astype(log_probs.dtype)
