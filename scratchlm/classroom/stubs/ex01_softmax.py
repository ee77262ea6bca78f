"""Exercise 1: softmax, from scores to probabilities.

A model gives every token a score, any real number. Softmax makes probabilities of a row of scores: positive numbers
that sum to 1, and the higher the score, the higher the probability. The formula takes one line. The trouble is that
exp(710) is more than a float64 can hold, and then inf / inf is no number. You will need one idea to get around it.

Next: logsumexp, the logarithm of the sum that you divide by here.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def softmax(logits, axis=-1):
    """Return the probabilities that are proportional to exp(logits), along an axis.

    Formula: p_k = exp(z_k) / sum_j exp(z_j), for each row z.
    Shapes: logits (..., V) -> (..., V); float32 gives float32, float64 gives float64.

    In plain loops, for one row z and any number c (every c gives the same p on paper; which one is good for floats?):

        total = 0
        for j in range(V):
            total += exp(z[j] - c)
        for k in range(V):
            p[k] = exp(z[k] - c) / total

    A score of -inf is a masked token: its probability is 0. (No row is masked as a whole.) Leave `logits` as it was.

    Goal with a star (☆, for later): right to the last digits even in rows that are hundreds wide. Errors are counted in
    ulps; an ulp is the step from one float to the next. What costs the digits is the rounding of z - max z.

    Think: what happens to p if 1 is added to every score of a row? And if 1000 is taken away?
    Think: two rows lie side by side, one at 0 and one at 5000. Which number suits both?
    Think: divide p_k by exp(z_k), above and below. It becomes 1 / (1 + odds), with the odds against class k: the sum of
    exp(z_j - z_k) over all the other classes j. You will meet them again, in the stars of the next exercises.
    """
    raise NotImplementedError
