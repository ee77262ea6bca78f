"""Exercise 7: temperature, from log-probabilities only.

To make a model more or less adventurous, divide its scores by a temperature T before softmax: below 1, likely tokens
become likelier; above 1, all tokens become more alike. A course note says that this needs the scores, and that with
log-probabilities alone you are stuck at T = 1. Show that this is wrong. You get log-probabilities, and nothing else.

Next: the one thing that log-probabilities really lack.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def probs_at_temperature(log_probs, temperature):
    """Return the probabilities at a temperature, softmax(logits / T), without knowing the logits.

    Formula: p_k = exp(l_k / T) / sum_j exp(l_j / T), for each row l.
    Shapes: log_probs (..., V), temperature a number above 0 -> (..., V).

    In plain loops, for one row l of log-probabilities and any number c:

        total = 0
        for j in range(V):
            total += exp((l[j] - c) / T)
        for k in range(V):
            p[k] = exp((l[k] - c) / T) / total

    A log-probability of -inf is a masked token, and its probability stays 0. (No row is fully masked.)

    Think: l = z - Z, with one number Z for the whole row. What happens to Z / T in the formula?
    Think: log-probabilities are never above 0, so nothing overflows. Is that the only thing that can go wrong? Try
    five equally likely tokens at T = 0.001.
    """
    raise NotImplementedError
