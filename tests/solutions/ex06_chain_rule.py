"""A solution to exercise 6, with the stars."""

import numpy as np


def softmax_backward(grad_output, probs, axis=-1):
    p, favourite = probs, probs.argmax(axis=axis, keepdims=True)
    confident = np.take_along_axis(p, favourite, axis=axis) > 0.5
    # Adding a number to every g changes nothing. Measured from the favourite's g, the others are not drowned out.
    g = grad_output - np.where(confident, np.take_along_axis(grad_output, favourite, axis=axis), 0)
    return (p * (g - (p * g).sum(axis=axis, keepdims=True))).astype(p.dtype)


def log_softmax_backward(grad_output, log_probs, axis=-1):
    g, p = grad_output, np.exp(log_probs)
    g_sum = g.sum(axis=axis, keepdims=True)
    confident = p > 0.51  # more than half, so no row has two, however p was rounded
    g_others = np.where(confident, 0, g).sum(axis=axis, keepdims=True)
    # For these, g - p sum(g) nearly cancels. Since g = sum(g) - (the other g), it is (1 - p) sum(g) - (the other g),
    # and the probability of the others, 1 - p = odds / (1 + odds), is -expm1(l).
    careful = -g_others - np.expm1(log_probs) * g_sum
    return np.where(confident, careful, g - p * g_sum).astype(log_probs.dtype)
