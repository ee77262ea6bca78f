"""Exercise 13: write the examination.

So far you were examined. Now you are handed a function that claims to be a softmax, and you say whether it is one. You
cannot look inside it; you can only call it. Some of the candidates are right, each in its own way. The others are
wrong: a few badly, and a few only where one has to look for it. The better you know what must be true of every softmax,
the more of them you catch.

This was the last one. The package examines the same way: see `python -m scratchlm examine --help`.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def looks_like_softmax(softmax):
    """Return True if the function handed in is a right softmax along the last axis, and False if not.

    Call it as softmax(z), with z an array of float64 of one or two axes. A right one gives, for every row,
    exp(z_k) / sum_j exp(z_j), correct to ten digits at the least, for scores from -1000 to 1000, and for rows in which
    some scores (not all) are -inf. A wrong one may give anything, and it may raise an exception.

    Identities that you can try, with rows of your own choice:

    - all entries lie between 0 and 1, and every row sums to 1
    - p_j / p_k = exp(z_j - z_k)
    - softmax(z + c) = softmax(z), also for large c
    - shuffle the scores, and the probabilities are shuffled likewise
    - a row gives the same alone and beside other rows
    - -inf gives 0, and the others are as if it were not there
    - equal scores, equal probabilities

    Think: for each identity, can you write down a function that is wrong, and fulfils it all the same?
    Think: numbers that should be equal differ in the last digits. How close is close enough?
    Think: nan > 0.1 is False, and so is nan < 0.1. Which way round must the comparison be, to catch a nan?
    """
    raise NotImplementedError
