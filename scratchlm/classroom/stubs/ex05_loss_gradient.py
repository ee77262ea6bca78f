"""Exercise 5: the gradient of the loss, the belief minus the truth.

The gradient says, for every score, how the loss changes if you raise that score a little. For cross-entropy it is
surprisingly simple: the probabilities, minus 1 at the token that came. Everything that such a model learns, it learns
from this difference.

Next: the gradient of softmax itself, for any other loss above it.
"""

import numpy as np  # and Python's own modules, if you like; SciPy, PyTorch and the like are refused


def cross_entropy_backward(logits, targets, reduction="mean"):
    """Return the gradient of the cross-entropy with respect to the logits.

    Formula: grad[i, k] = (p[i, k] - [k = y_i]) / N for the mean, with p = softmax(z); without the N for "sum" and
    "none". [k = y_i] is 1 at the target and 0 elsewhere.
    Shapes: logits (..., V), targets (...) of whole numbers -> (..., V), in the dtype of logits. N is the number of
    rows. One row (V,) has one number as its target; a batch (N, V) has N of them, (N,).

    In plain loops, for logits (N, V), targets (N,) and probs = softmax(logits):

        for i in range(N):
            for k in range(V):
                grad[i, k] = probs[i, k]
                if k == targets[i]:
                    grad[i, k] -= 1
                grad[i, k] /= N

    Goal with a star: when p at the target rounds to 1, p - 1 is 0, but the gradient is not. With p = 1 / (1 + odds) it
    is -odds / (1 + odds): minus the probability of the others. Never compute p - 1.

    Think: what must the gradients of a row sum to? (What does softmax do if all scores rise by 1?)
    Think: derive the gradient for two classes: the loss is log(1 + odds), with odds = exp(z_other - z_target).
    """
    raise NotImplementedError
