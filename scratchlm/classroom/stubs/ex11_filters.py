"""Exercise 11: top-k and top-p, or which tokens may be drawn.

If every token may be drawn, text now and then goes astray: there are many unlikely tokens, and together they are not so
unlikely. So they are masked with -inf before the draw. top_k keeps the k best tokens. top_p keeps the fewest tokens
that together have probability p: few when the model is sure, many when it is in doubt.

Next: a sum that never sees the whole row.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def top_k(scores, k):
    """Return the scores with all but the k highest of each row set to -inf.

    Shapes: scores (..., V), k a whole number of at least 1 -> (..., V), a new array of the same dtype.
    If k is V or more, all stay. If several tokens tie for the last place, you may keep any of them, or all.

    In plain words, for one row: sort the tokens by score, best first. The first k keep their scores, the others get
    -inf. The tokens stay in their places.

    Think: `np.sort` sorts in ascending order. Where is the k-th best score then?
    """
    raise NotImplementedError


def top_p(scores, p):
    """Return the scores, with -inf for all but the fewest tokens that together have probability p or more.

    Shapes: scores (..., V), 0 < p <= 1 -> (..., V), a new array of the same dtype.
    The probabilities are softmax(scores). The likeliest token always stays.

    In plain loops, for one row:

        before = 0
        for k in (the tokens, the likeliest first):
            if before < p:
                keep k
            before += probs[k]

    Think: is a token judged by the sum including it, or by the sum before it? Which of the two could keep no token?
    Think: after sorting, how do you move the answers back to the places of their tokens? See `np.argsort` (of an
    argsort), or `np.put_along_axis`.
    """
    raise NotImplementedError
