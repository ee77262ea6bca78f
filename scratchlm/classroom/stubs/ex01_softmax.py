"""Exercise 1: softmax, from scores to probabilities.

A model gives every token a score, which may be any real number. Softmax turns a row of scores into probabilities:
positive numbers that sum to 1, and the higher the score, the higher the probability. The formula takes one line. The
trouble is that exp(710) is too large for a float64: it becomes inf, and inf / inf is nan. You need one idea to avoid
that.

Next: logsumexp, the logarithm of the sum that you divide by here.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def softmax(logits, axis=-1):
    """Return the probabilities proportional to exp(logits), along an axis.

    Formula: p_k = exp(z_k) / sum_j exp(z_j), for each row z.
    Shapes: logits (..., V) -> (..., V); float32 gives float32, float64 gives float64.

    In plain loops, for one row z and any number c (every c gives the same p on paper; which one is good for floats?):

        total = 0
        for j in range(V):
            total += exp(z[j] - c)
        for k in range(V):
            p[k] = exp(z[k] - c) / total

    A score of -inf is a masked token: its probability is 0. (No row is fully masked.) Do not modify `logits`.

    Goal with a star (☆, for later): right to the last digits, even in rows that are hundreds of nats wide. Errors are
    counted in ulps; an ulp is the step from one float to the next. The rounding of z - max z costs the digits.

    Think: what happens to p if you add 1 to every score of a row? And if you subtract 1000?
    Think: two rows lie side by side, one at 0 and one at 5000. Which number suits both?
    Think: divide the numerator and the denominator of p_k by exp(z_k). It becomes 1 / (1 + odds), with the odds against
    class k: the sum of exp(z_j - z_k) over all other classes j. You will meet the odds again in the next exercises.
    """
    raise NotImplementedError
