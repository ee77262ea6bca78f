"""Exercise 8: the logits come back.

log_softmax subtracts the same number Z from every score of a row, and keeps all differences. So only this one number is
lost. If you store it beside the log-probabilities, you can get the logits back.

Next: a language model that only counts.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def recover_logits(log_probs, Z):
    """Return the logits, given log_probs = log_softmax(logits) and Z = logsumexp(logits).

    Formula: z_k = l_k + Z, for each row with its own Z.
    Shapes: log_probs (..., V), Z (...), the shape without the last axis -> (..., V).

    In plain loops, for log_probs (N, V) and Z (N,):

        for i in range(N):
            for k in range(V):
                z[i, k] = log_probs[i, k] + Z[i]

    Think: log_probs has shape (3, 3) and Z has shape (3,). What does NumPy do with log_probs + Z, and why does it not
    complain? Which shape must Z have?
    """
    raise NotImplementedError
