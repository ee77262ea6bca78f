"""Exercise 4: the loss, or the price of a prediction once the truth is known.

The model gave every token a probability; then one of them came. The loss is minus the logarithm of that token's
probability: 0 if the model was certain of it, log V if it had no idea, and infinite if it had ruled the token out.
nll_loss ("negative log-likelihood") starts from log-probabilities, cross_entropy starts from scores. It is the same
loss, with two doors.

Next: which way to move the scores so that the loss falls.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def nll_loss(log_probs, targets, reduction="mean"):
    """Return minus the log-probability of the targets: the mean, the sum, or one number per row ("none").

    Formula: loss_i = -l[i, y_i].
    Shapes: log_probs (..., V), targets (...) of whole numbers from 0 to V - 1 -> a number, or (...) for "none", in the
    dtype of log_probs. One row (V,) has one number as its target; a batch (N, V) has N of them, (N,).

    In plain loops, for log_probs (N, V) and targets (N,):

        for i in range(N):
            loss[i] = -log_probs[i, targets[i]]
        mean = sum(loss) / N

    Think: what is the mean taken over, the rows or all the entries?
    Think: how do you pick one entry out of each row without a loop? See `np.take_along_axis`.
    """
    raise NotImplementedError


def cross_entropy(logits, targets, reduction="mean"):
    """Return the loss of the targets under softmax(logits): the mean, the sum, or one number per row ("none").

    Formula: loss_i = Z_i - z[i, y_i], with Z_i = log sum_j exp(z[i, j]).
    Shapes: logits (..., V), targets (...) -> a number, or (...) for "none"; the dtype stays the same.

    In plain loops, for logits (N, V), targets (N,), and any number c for each row:

        for i in range(N):
            total = 0
            for j in range(V):
                total += exp(logits[i, j] - c[i])
            loss[i] = log(total) - (logits[i, targets[i]] - c[i])

    Goal with a star: a model that is sure and right has a tiny loss, but not 0. The probability of the target is
    1 / (1 + odds). What is minus its logarithm, and when are the odds against the target tiny?

    Think: for ten equal scores, all of them 1e8, the loss should be log 10. What do you get, and where was it lost?
    """
    raise NotImplementedError
