"""Exercise 13: write the examination.

So far you were examined. Now you get a function that claims to be a softmax, and you say whether it is one. You cannot
look inside it; you can only call it. Some of the candidates are right, each in its own way. The others are wrong: some
badly, and some only where you have to look for it. The better you know what must be true of every softmax, the more of
them you catch.

This is the last exercise. The package examines in the same way: see `python -m scratchlm examine --help`.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def looks_like_softmax(softmax):
    """Return True if the function is a right softmax along the last axis, and False if not.

    Call it as softmax(z), where z is an array of float64 with one or two axes. A right one returns, for every row,
    exp(z_k) / sum_j exp(z_j), correct to at least ten digits, for scores from -1000 to 1000, and for rows in which
    some scores (not all) are -inf. A wrong one may return anything, or raise an exception.

    Identities that you can try, with rows of your own choice:

    - all entries lie between 0 and 1, and every row sums to 1
    - p_j / p_k = exp(z_j - z_k)
    - softmax(z + c) = softmax(z), even for large c
    - if you shuffle the scores, the probabilities are shuffled in the same way
    - a row gives the same result alone and beside other rows
    - -inf gives 0, and the other entries are as if it were not there
    - equal scores have equal probabilities

    Think: for each identity, can you write a wrong function that satisfies it anyway?
    Think: numbers that should be equal differ in the last digits. How close is close enough?
    Think: nan > 0.1 is False, and so is nan < 0.1. Which way round must you write the comparison to catch a nan?
    """
    raise NotImplementedError
