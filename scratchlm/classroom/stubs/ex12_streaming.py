"""Exercise 12: logsumexp of a stream.

A row may be too long for memory. Then its scores come in chunks; you see each chunk once, and then it is gone. You may
keep only two numbers: the largest score so far, and the sum of exp(score - largest) so far. When a larger score comes,
the old sum was measured from the wrong level and must be corrected. This is the "online softmax" (Milakov & Gimelshein
2018), which computes today's attention layers.

Next: you write the examination yourself.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def absorb(running_max, running_sum, chunk):
    """Return (new_max, new_sum) after one more chunk.

    Formula: new_max = max(running_max, max of chunk);
             new_sum = running_sum * exp(running_max - new_max) + sum_k exp(chunk_k - new_max).
    Shapes: two numbers (floats), chunk (n,) of float64, with n = 0 allowed -> two numbers.

    The start is (-inf, 0.0): nothing has come yet. (If a report shows a `row` and `cuts`, you were given the chunks
    np.split(row, cuts), one after the other.) In plain loops:

        for x in chunk:
            if x > running_max:
                running_sum = running_sum * exp(running_max - x) + 1
                running_max = x
            elif x > -inf:
                running_sum = running_sum + exp(x - running_max)

    (Why `x > -inf`? If x is -inf and nothing came before it, exp(x - running_max) would be nan, but the state should
    still be (-inf, 0.0).)

    Think: what does `chunk.max()` do with an empty chunk? See its argument `initial`.
    Think: what is exp(-inf - (-inf))? When does it occur?
    """
    raise NotImplementedError


def result(running_max, running_sum):
    """Return the logsumexp of everything absorbed so far.

    Formula: Z = running_max + log(running_sum).
    If nothing was absorbed, or only -inf, the state is (-inf, 0.0), and Z is -inf.

    Think: why can the sum be neither tiny nor huge, however large the scores are?
    """
    raise NotImplementedError
