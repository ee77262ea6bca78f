"""Exercise 2: logsumexp, a maximum with rounded corners.

Z = log(sum of exp(z)) is the logarithm of the number that softmax divides by. It lies between the largest score and the
largest score plus log V. It comes back in every exercise: in the loss, and as the one number that is lost when scores
are normalised.

Next: log_softmax, which is z - Z.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def logsumexp(logits, axis=-1, keepdims=False):
    """Return the logarithm of the sum of the exponentials, along an axis.

    Formula: Z = log sum_j exp(z_j), for each row z.
    Shapes: logits (..., V) -> (...), or (..., 1) with keepdims=True; the dtype stays the same.

    In plain loops, for one row z and any number c (every c gives the same Z on paper; which one is good for floats?):

        total = 0
        for j in range(V):
            total += exp(z[j] - c)
        Z = c + log(total)

    A score of -inf is a masked token and adds nothing to the sum. (No row is fully masked.)

    Goal with a star: logsumexp([0, -40]) is not 0 but exp(-40), about 4e-18. The favourite is the class with the
    largest score m. The sum is exp(m) (1 + odds): the favourite's own 1, plus the odds against it, the sum of
    exp(z_j - m) over all the others. Added to 1, tiny odds are rounded away. Can you leave the 1 out of the sum? See
    `np.log1p`.

    Think: if you know logsumexp(z), what is logsumexp(z + c)? Try it on paper with two scores.
    Think: which c makes sure that no exp overflows, and that not all of them become 0?
    """
    raise NotImplementedError
