"""Exercise 9: a language model that only counts.

The simplest model of a text looks at one token and guesses the next. No learning is needed: count how often each token
followed each, and take the shares. No other table has a lower loss on the text that was counted, so this is what
gradient descent on a table of scores would arrive at, given enough time.

Next: a network that looks further back, and its gradients by hand.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def bigram_by_counts(previous, following, vocab_size):
    """Return a table (V, V): in row i, the log of the share that each next token has among those that followed i.

    Formula: table[i, j] = log(count[i, j] / sum_k count[i, k]).
    Shapes: previous (N,) and following (N,) of whole numbers from 0 to V - 1, pair by pair -> (V, V), float64. N may
    be 0.
    A pair that never came has -inf. A token that nothing followed has a row of log(1 / V): nothing is known about it.

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
    comes twice? See `np.add.at` or `np.bincount`.
    """
    raise NotImplementedError
