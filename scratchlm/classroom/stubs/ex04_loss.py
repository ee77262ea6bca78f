"""Exercise 4: the loss, or what a prediction costs when the truth comes out.

The model said how likely every token was; then one of them came. The loss is minus the logarithm of its probability:
0 if the model was certain of it, log V if it had no idea, and without bound if it had ruled the token out. nll_loss
("negative log-likelihood") starts from log-probabilities, cross_entropy starts from scores. It is one loss with two
doors.

Next: which way to move the scores so that the loss falls.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def nll_loss(log_probs, targets, reduction="mean"):
    """Return minus the log-probability of the targets: their mean, their sum, or ("none") one number a row.

    Formula: loss_i = -l[i, y_i].
    Shapes: log_probs (..., V), targets (...) of whole numbers from 0 to V - 1 -> a number, or (...) for "none"; the
    dtype of log_probs stays. One row (V,) has one number as its target; a batch (N, V) has N of them, (N,).

    In plain loops, for log_probs (N, V) and targets (N,):

        for i in range(N):
            loss[i] = -log_probs[i, targets[i]]
        mean = sum(loss) / N

    Think: the mean is over what? The rows, or all the entries?
    Think: how do you pick one entry out of each row without a loop? See `np.take_along_axis`.
    """
    raise NotImplementedError


def cross_entropy(logits, targets, reduction="mean"):
    """Return the loss of the targets under softmax(logits): mean, sum, or ("none") one number a row.

    Formula: loss_i = Z_i - z[i, y_i], with Z_i = log sum_j exp(z[i, j]).
    Shapes: logits (..., V), targets (...) -> a number, or (...) for "none"; the dtype stays.

    In plain loops, for logits (N, V), targets (N,), and for each row any number c:

        for i in range(N):
            total = 0
            for j in range(V):
                total += exp(logits[i, j] - c[i])
            loss[i] = log(total) - (logits[i, targets[i]] - c[i])

    Goal with a star: a model that is sure and right has a loss that is tiny, but not 0. The probability of the target
    is 1 / (1 + odds). What is minus its logarithm, and when are the odds against it tiny?

    Think: ten equal scores, all of them 1e8. The loss should be log 10. What do you get, and where was it lost?
    """
    raise NotImplementedError
