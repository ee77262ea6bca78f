"""Exercise 6: the chain rule through softmax and log_softmax.

Somewhere above, a loss was computed from probabilities (or log-probabilities), and you are given its gradient g with
respect to them. You return its gradient with respect to the scores. On paper that is g times a table of V x V
derivatives, the Jacobian. With a vocabulary of 50,000, that table would have 2.5 billion entries for every row. So work
out the product on paper first, and compute only the rest.

Next: a claim from a course note, and your turn to refute it.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def softmax_backward(grad_output, probs, axis=-1):
    """Return the gradient with respect to the logits, given the one with respect to probs = softmax(logits).

    Formula: dp_j / dz_k = p_j ([j = k] - p_k), where [j = k] is 1 if j = k, else 0.
    Shapes: grad_output, probs (..., V) -> (..., V), in the dtype of probs.

    In plain loops, for one row:

        for k in range(V):
            grad[k] = 0
            for j in range(V):
                grad[k] += g[j] * p[j] * ((1 if j == k else 0) - p[k])

    Goal with a star: a row with p = [1, 1e-30] and g = [1, 0] has the gradient [1e-30, -1e-30], not 0. Only the entry
    of a confident favourite, one with more than half of the probability, needs a different formula.

    Think: split the inner sum into the term with j = k and a sum over all j. Which part does not depend on k?
    Think: how does the result change if you add the same number to every g?
    """
    raise NotImplementedError


def log_softmax_backward(grad_output, log_probs, axis=-1):
    """Return the gradient with respect to the logits, given the one with respect to log_probs = log_softmax(logits).

    Formula: dl_j / dz_k = [j = k] - p_k, with p = exp(log_probs).
    Shapes: grad_output, log_probs (..., V) -> (..., V), in the dtype of log_probs.

    In plain loops, for one row:

        for k in range(V):
            grad[k] = 0
            for j in range(V):
                grad[k] += g[j] * ((1 if j == k else 0) - exp(l[k]))

    Goal with a star: a row with l = [-1e-30, -69] and g = [-1, 0] has the gradient [-1e-30, 1e-30], not [0, 1e-30].
    Again, only the entry of a confident favourite needs a different formula. You can compute the probability of the
    others, 1 - p, from l without losing digits: see `np.expm1`.

    Think: split the sum as above. What is left of the sum over j this time?
    """
    raise NotImplementedError
