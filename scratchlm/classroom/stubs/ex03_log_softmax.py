"""Exercise 3: log_softmax, the logarithm of the probabilities.

On paper it is log(softmax(z)). On a computer that is a bad idea: a probability of 1e-400 is 0 in float64, and its
logarithm is -inf, although the right answer, -921, is an ordinary number. So take the logarithm on paper first, and
never go through the probabilities.

After you have solved it, read `scratchlm/ladder.py`: four ways to log_softmax, each right where the one above it
breaks.

Next: the loss of a prediction, which is minus a log-probability.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def log_softmax(logits, axis=-1):
    """Return the logarithms of the probabilities, along an axis.

    Formula: l_k = z_k - Z, with Z = log sum_j exp(z_j), for each row z.
    Shapes: logits (..., V) -> (..., V); the dtype stays the same. No entry is ever above 0.

    In plain loops, for one row z and any number c (every c gives the same l on paper; which one is good for floats?):

        total = 0
        for j in range(V):
            total += exp(z[j] - c)
        for k in range(V):
            l[k] = (z[k] - c) - log(total)

    A score of -inf is a masked token: it stays -inf. (No row is fully masked.)

    Goal with a star: log_softmax([20, 0]) begins with -2.06e-09, not with 0. The favourite's probability is
    1 / (1 + odds), so its logarithm is -log1p(odds). Every other entry lies as far below that as its score lies below
    the favourite's.

    Think: exercise 2 gave you Z without overflow. Is z - Z enough?
    Think: z is 1e8 and Z is 1e8 + 0.7. How many digits does the difference have? Which subtraction should come first?
    """
    raise NotImplementedError
