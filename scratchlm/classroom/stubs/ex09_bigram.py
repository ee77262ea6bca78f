"""Exercise 9: a language model that only counts.

The simplest language model looks at one token and guesses the next. It needs no training: count how often each token
followed each other token, and take the shares. No other table has a lower loss on the text that was counted, so
gradient descent on a table of scores would arrive here too, given enough time.

Next: a network that looks further back, and its gradients by hand.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def bigram_by_counts(previous, following, vocab_size):
    """Return a table (V, V): row i holds the log of each token's share among the tokens that followed i.

    Formula: table[i, j] = log(count[i, j] / sum_k count[i, k]).
    Shapes: previous (N,) and following (N,) of whole numbers from 0 to V - 1, pair by pair -> (V, V), float64. N may
    be 0.
    A pair that never came gets -inf. A token that nothing followed gets a row of log(1 / V): nothing is known about it.

    In plain loops:

        for n in range(N):
            count[previous[n], following[n]] += 1
        for i in range(V):
            total = sum of count[i]
            for j in range(V):
                if total == 0:
                    table[i, j] = log(1 / V)
                elif count[i, j] == 0:
                    table[i, j] = -inf
                else:
                    table[i, j] = log(count[i, j] / total)

    Think: count[previous, following] += 1 is one line without a loop, and wrong. What does it do with a pair that
    occurs twice? See `np.add.at` or `np.bincount`.
    """
    raise NotImplementedError
